package forwarding;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/** One connection to the app, on which requests are written by hand. */
final class Caller implements AutoCloseable {
    private final Socket socket;
    private final InputStream in;

    Caller(int port) throws IOException {
        socket = new Socket(InetAddress.getLoopbackAddress(), port);
        socket.setTcpNoDelay(true);
        in = new BufferedInputStream(socket.getInputStream());
    }

    /** Asks for a path with header lines, and gives the whole answer. */
    String get(String path, String... headers) throws IOException {
        send(path, headers);
        return answer();
    }

    void send(String path, String... headers) throws IOException {
        StringBuilder text = new StringBuilder("GET " + path + " HTTP/1.1\r\nHost: app\r\n");
        for (String header : headers) {
            text.append(header).append("\r\n");
        }
        socket.getOutputStream().write(text.append("\r\n").toString().getBytes(StandardCharsets.ISO_8859_1));
    }

    String answer() throws IOException {
        String head = head(in);
        if (head == null) {
            throw new IOException("no answer");
        }
        return head + body(in, head);
    }

    @Override
    public void close() throws IOException {
        socket.close();
    }

    static String head(InputStream in) throws IOException {
        ByteArrayOutputStream head = new ByteArrayOutputStream();
        int last4 = 0;
        for (int b = in.read(); b >= 0; b = in.read()) {
            head.write(b);
            last4 = last4 << 8 | b;
            if (last4 == 0x0d0a0d0a) {
                return head.toString(StandardCharsets.ISO_8859_1);
            }
        }
        return null;
    }

    /** The body as it is on the wire, chunks and all. */
    static String body(InputStream in, String head) throws IOException {
        String lower = head.toLowerCase(Locale.ROOT);
        ByteArrayOutputStream body = new ByteArrayOutputStream();
        int at = lower.indexOf("\r\ncontent-length:");
        if (at >= 0) {
            int length = Integer.parseInt(lower.substring(at + 17, lower.indexOf("\r\n", at + 2)).trim());
            body.write(in.readNBytes(length));
        } else if (lower.contains("\r\ntransfer-encoding: chunked")) {
            int size;
            do {
                String line = line(in);
                body.write((line + "\r\n").getBytes(StandardCharsets.ISO_8859_1));
                size = Integer.parseInt(line.split(";")[0].trim(), 16);
                body.write(in.readNBytes(size + 2));
            } while (size > 0);
        }
        return body.toString(StandardCharsets.ISO_8859_1);
    }

    private static String line(InputStream in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int b = in.read(); b != '\r'; b = in.read()) {
            if (b < 0) {
                throw new IOException("cut off");
            }
            line.append((char) b);
        }
        in.read();
        return line.toString();
    }
}
