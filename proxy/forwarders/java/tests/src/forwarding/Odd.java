package forwarding;

import java.io.File;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** One request and what its call carries, in a process that is started in some odd way. */
public final class Odd {
    private Odd() {}

    /** Prints the header lines of the call that are about traces. */
    public static void main(String[] arguments) throws Exception {
        if (arguments.length > 1 && arguments[1].equals("child")) {
            // A child process gets the variables with all the rest.
            Process child = new ProcessBuilder(System.getProperty("java.home") + File.separator + "bin"
                    + File.separator + "java", "-cp", System.getProperty("java.class.path"), "forwarding.Odd",
                    arguments[0]).redirectError(ProcessBuilder.Redirect.INHERIT).start();
            System.out.print(new String(child.getInputStream().readAllBytes()));
            System.exit(child.waitFor());
        }
        if (arguments.length > 1 && !arguments[1].isEmpty()) {
            Class.forName(arguments[1]);
        }
        Upstream upstream = Upstream.on(0, false);
        Clients clients = new Clients(0);
        Server server = (Server) Class.forName(arguments[0]).getConstructor().newInstance();
        int port = server.start(0, 4, page -> {
            CompletableFuture.supplyAsync(() -> Ways.quiet(
                    () -> clients.get("send").call("http://127.0.0.1:" + upstream.port + "/odd"))).get();
            page.answer("done");
        });
        try (Caller caller = new Caller(port)) {
            String answer = caller.get("/", "traceparent: " + Storm.parent(7));
            List<String> lines = Rules.trace(upstream.head("/odd"));
            System.out.println(answer.endsWith("done") ? lines : answer);
        }
        System.exit(0);
    }
}
