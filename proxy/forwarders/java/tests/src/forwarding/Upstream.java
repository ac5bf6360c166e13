package forwarding;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.LockSupport;

/** What the app calls: it keeps each request to the byte, by its path, and answers. */
final class Upstream {
    final int port;
    private final ServerSocket listener;
    private final boolean slow;
    private final Map<String, List<String>> seen = new ConcurrentHashMap<>();
    private final ByteArrayOutputStream wire = new ByteArrayOutputStream();

    Upstream(ServerSocket listener, boolean slow) {
        this.listener = listener;
        this.slow = slow;
        port = listener.getLocalPort();
        Thread thread = new Thread(this::accept, "upstream");
        thread.setDaemon(true);
        thread.start();
    }

    static Upstream on(int port, boolean slow) throws IOException {
        ServerSocket listener = new ServerSocket();
        listener.setReuseAddress(true);
        listener.bind(new java.net.InetSocketAddress(InetAddress.getLoopbackAddress(), port), 256);
        return new Upstream(listener, slow);
    }

    /** The heads of the requests for a path, which may be absolute. */
    List<String> heads(String path) {
        List<String> heads = seen.get(path);
        return heads == null ? List.of() : heads;
    }

    /** Waits for a request for the path, and gives up when there is surely none to come. */
    String head(String path) {
        long start = System.nanoTime();
        while (heads(path).isEmpty()) {
            if (System.nanoTime() - start > 60_000_000_000L) {
                throw new IllegalStateException("no call of " + path);
            }
            LockSupport.parkNanos(100_000);
        }
        return heads(path).get(0);
    }

    /** All that came, in the order in which requests were complete. */
    String wire() {
        synchronized (wire) {
            return wire.toString(StandardCharsets.ISO_8859_1);
        }
    }

    private void accept() {
        while (true) {
            try {
                Socket socket = listener.accept();
                Thread thread = new Thread(() -> serve(socket), "upstream connection");
                thread.setDaemon(true);
                thread.start();
            } catch (IOException closed) {
                return;
            }
        }
    }

    private void serve(Socket socket) {
        try (Socket connection = socket) {
            InputStream in = new BufferedInputStream(connection.getInputStream());
            for (String head = Caller.head(in); head != null; head = Caller.head(in)) {
                String body = Caller.body(in, head);
                String path = head.split(" ", 3)[1];
                if (slow) {
                    // So that requests overlap in many ways.
                    LockSupport.parkNanos(ThreadLocalRandom.current().nextInt(2_000_000));
                }
                seen.computeIfAbsent(path, p -> java.util.Collections.synchronizedList(new ArrayList<>())).add(head);
                synchronized (wire) {
                    wire.write((head + body).getBytes(StandardCharsets.ISO_8859_1));
                }
                String answer = head.startsWith("CONNECT")
                        ? "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"
                        : path.contains("/moved/")
                        ? "HTTP/1.1 302 Found\r\nlocation: " + path.replace("/moved/", "/found/")
                                + "\r\ncontent-length: 0\r\n\r\n"
                        : "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";
                connection.getOutputStream().write(answer.getBytes(StandardCharsets.ISO_8859_1));
            }
        } catch (IOException gone) {
            // The app closed the connection.
        }
    }
}
