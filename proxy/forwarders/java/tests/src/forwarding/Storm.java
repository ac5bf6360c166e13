package forwarding;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** Many requests at once through each server, each client and each way: whose headers does each call carry? */
public final class Storm {
    private static final int CONCURRENT = 64;
    private static final int REQUESTS = 320;

    private final Server server;
    private final Upstream upstream = Upstream.on(0, true);
    private final Clients clients = new Clients(0);
    private final Ways ways = new Ways(clients);
    private int port;
    private int right;
    private int abstained;
    private int wrong;
    private int empty;

    private Storm(Server server) throws Exception {
        this.server = server;
    }

    public static void main(String[] arguments) throws Exception {
        Storm storm = new Storm((Server) Class.forName(arguments[0]).getConstructor().newInstance());
        storm.run(arguments[0].replaceAll(".*[.]", "").replace("Server", "") + (arguments.length > 1 ? " " + arguments[1] : ""));
        Check.end();
    }

    private void run(String name) throws Exception {
        port = server.start(0, 96, page -> {
            String[] parts = page.path().split("/");
            Ways.Named named = ways.all.get(parts[1]);
            named.way.go(page, () -> {
                try {
                    return clients.get(parts[2]).call(page.word("url"));
                } finally {
                    page.answer("done");
                }
            });
        });
        for (String client : clients.all().keySet()) {
            storm(name, "direct", client, Ways.Expect.RIGHT);
        }
        for (Map.Entry<String, Ways.Named> way : ways.all.entrySet()) {
            if (!way.getKey().equals("direct")) {
                // By turns, so that each client is met on pool threads too.
                String client = way.getKey().hashCode() % 2 == 0 ? "send" : "url-get";
                storm(name, way.getKey(), client, way.getValue().expect);
            }
        }
        System.out.println("hops    " + name + ": " + right + " right, " + abstained + " abstained, " + wrong
                + " wrong, " + empty + " without context and empty");
    }

    private void storm(String name, String way, String client, Ways.Expect expect) throws Exception {
        AtomicInteger next = new AtomicInteger();
        List<Thread> callers = new ArrayList<>();
        List<String> odd = java.util.Collections.synchronizedList(new ArrayList<>());
        for (int i = 0; i < CONCURRENT; i++) {
            Thread thread = new Thread(() -> {
                try (Caller caller = new Caller(port)) {
                    for (int n = next.incrementAndGet(); n <= REQUESTS; n = next.incrementAndGet()) {
                        String url = "http://127.0.0.1:" + upstream.port + url(way, client, n);
                        String path = "/" + way + "/" + client + "?n=" + n + "&url=" + url;
                        String answer = n % 5 == 0 ? caller.get(path) : caller.get(path, "traceparent: " + parent(n));
                        if (!answer.startsWith("HTTP/1.1 200") || !answer.contains("done")) {
                            odd.add(answer);
                        }
                    }
                } catch (Exception error) {
                    odd.add(error.toString());
                }
            });
            callers.add(thread);
            thread.start();
        }
        for (Thread thread : callers) {
            thread.join();
        }
        int here = 0;
        int none = 0;
        int missed = 0;
        for (int n = 1; n <= REQUESTS; n++) {
            List<String> heads = upstream.heads(url(way, client, n));
            if (heads.size() != 1) {
                odd.add(heads.size() + " calls of request " + n);
                continue;
            }
            String head = heads.get(0).toLowerCase(Locale.ROOT);
            boolean carries = head.contains("\r\ntraceparent:") || head.contains("\r\nthroughline-forwarder:");
            if (n % 5 == 0) {
                if (carries) {
                    wrong++;
                    odd.add("nobody's call carries\r\n" + head);
                } else {
                    empty++;
                    none++;
                }
            } else if (!carries) {
                missed++;
                abstained++;
            } else if (count(head, "\r\ntraceparent: ") == 1
                    && head.contains("\r\ntraceparent: " + parent(n) + "\r\n")
                    && count(head, "\r\nthroughline-forwarder: java/0.1.0\r\n") == 1) {
                here++;
                right++;
            } else {
                wrong++;
                odd.add("call of " + n + " carries\r\n" + head);
            }
        }
        boolean expected = expect == Ways.Expect.RIGHT ? missed == 0
                : expect == Ways.Expect.NONE ? here == 0 : true;
        Check.that(name + " " + way + " " + client + ": " + here + " right, " + missed + " abstained, " + none
                + " empty, none wrong", odd.isEmpty() && expected, odd);
    }

    private static String url(String way, String client, int n) {
        return "/" + way + "/" + client + "/" + n;
    }

    static String parent(int n) {
        return String.format("00-%032x-%016x-01", 0xabc0000L + n, 0xdef0000L + n);
    }

    static int count(String text, String part) {
        int count = 0;
        for (int at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + 1)) {
            count++;
        }
        return count;
    }
}
