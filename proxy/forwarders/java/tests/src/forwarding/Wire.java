package forwarding;

import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/** The same few requests each time, one after the other; writes down every byte that the app sent. */
public final class Wire {
    private Wire() {}

    /** Arguments: the server, two ports, whether the requests carry trace headers, and where to write. */
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(arguments[1]);
        Upstream upstream = Upstream.on(Integer.parseInt(arguments[2]), false);
        boolean traced = arguments[3].equals("traced");
        Clients clients = new Clients(0);
        Ways ways = new Ways(clients);
        Server server = (Server) Class.forName(arguments[0]).getConstructor().newInstance();
        server.start(port, 4, page -> {
            String[] parts = page.path().split("/");
            ways.all.get(parts[1]).way.go(page, () -> {
                try {
                    return clients.get(parts[2]).call(page.word("url"), "x-own: 1");
                } finally {
                    page.answer("done");
                }
            });
        });
        StringBuilder answers = new StringBuilder();
        int n = 0;
        for (String client : clients.all().keySet()) {
            for (String way : new String[] {"direct", "submit-callable", "execute-with-request", "servlet-start"}) {
                try (Caller caller = new Caller(port)) {
                    for (int i = 0; i < 2; i++) {
                        String url = "http://127.0.0.1:" + upstream.port + "/" + way + "/" + client + "/" + ++n;
                        String path = "/" + way + "/" + client + "?url=" + url;
                        answers.append(traced ? caller.get(path, "traceparent: " + Storm.parent(n), "b3: 0")
                                : caller.get(path));
                    }
                }
            }
        }
        try (PrintStream out = new PrintStream(Files.newOutputStream(Path.of(arguments[4])), true, "ISO-8859-1")) {
            out.print(upstream.wire());
            out.print(answers);
        }
        System.exit(0);
    }
}
