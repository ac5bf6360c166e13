package forwarding;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.stream.Collectors;

/** Starts each test in processes of their own, on each Java that it is given, and adds up. */
public final class Run {
    private static final String RIGHT =
            "[throughline-forwarder: java/0.1.0, traceparent: " + Storm.parent(7) + "]";

    private final String java;
    private final String agent = System.getProperty("agent");
    private final String tests = System.getProperty("tests");
    private final Map<String, String> servers = new LinkedHashMap<>();
    private int passed;
    private int failed;
    private final List<String> hops = new ArrayList<>();

    private Run(String java) {
        this.java = java;
        String shared = tests + File.pathSeparator + System.getProperty("clients") + File.pathSeparator;
        servers.put("forwarding.SunServer", shared);
        servers.put("", tests + "/editor");
        servers.put("tomcat9.TomcatServer", shared + System.getProperty("tomcat9"));
        servers.put("tomcat10.TomcatServer", shared + System.getProperty("tomcat10"));
        servers.put("jetty9.JettyServer", shared + System.getProperty("jetty9"));
    }

    /** Arguments: the java programs. */
    public static void main(String[] javas) throws Exception {
        int passed = 0;
        int failed = 0;
        Run eight = new Run(System.getProperty("old"));
        eight.old();
        passed += eight.passed;
        failed += eight.failed;
        for (String java : javas) {
            Run run = new Run(java);
            System.out.println("== " + run.version());
            run.all();
            run.hops.forEach(System.out::println);
            System.out.println(run.passed + " passed, " + run.failed + " failed on " + run.version());
            passed += run.passed;
            failed += run.failed;
        }
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 && passed > 0 ? 0 : 1);
    }

    private void all() throws Exception {
        editor();
        for (String server : servers.keySet()) {
            if (server.isEmpty()) {
                continue;
            }
            Map<String, String> every = Map.of("THROUGHLINE_FORWARD_VIA", "*");
            counted(server, every, List.of("forwarding.Storm", server), "-Xverify:all");
            counted(server, every, List.of("forwarding.Leaks", server));
            counted(server, Map.of("THROUGHLINE_FORWARD_VIA", "*", "THROUGHLINE_FORWARD_GRACE_MS", "600000"),
                    List.of("forwarding.Leaks", server));
            int[] ports = ports();
            counted(server, Map.of("THROUGHLINE_FORWARD_VIA", "[::1]:" + ports[0] + ", nonsense,:1,x:99999,127.0.0.1:" + ports[2],
                    "THROUGHLINE_FORWARD_EXCLUDE", "excluded.example , .sub.EXAMPLE"),
                    List.of("forwarding.Rules", server, "" + ports[0], "" + ports[1], "" + ports[2]),
                    "-Djavax.net.ssl.keyStore=" + tests + "/key.p12", "-Djavax.net.ssl.keyStorePassword=secret",
                    "-Djavax.net.ssl.trustStore=" + tests + "/key.p12", "-Djavax.net.ssl.trustStorePassword=secret");
            wire(server);
        }
        odd();
        quiet();
    }

    /** A Java that is too old for anything has to start all the same. */
    private void old() throws Exception {
        if (java.isEmpty()) {
            System.out.println("SKIPPED Java 8: there is none, see tests/fetch");
            return;
        }
        List<String> lines = lines(List.of(java, "-javaagent:" + agent, "-cp", tests + "/old", "OldHello"),
                Map.of("THROUGHLINE_FORWARD_VIA", "*", "THROUGHLINE_FORWARD_DEBUG", "1"), true);
        check("Java 8 starts and runs", lines.equals(List.of("hello from 1.8")), lines);
    }

    private void editor() throws Exception {
        List<String> command = new ArrayList<>(List.of("throughline.forward.EditorTest"));
        for (String path : (System.getProperty("clients") + File.pathSeparator + System.getProperty("tomcat9")
                + File.pathSeparator + System.getProperty("jetty9")).split(File.pathSeparator)) {
            if (!path.isEmpty() && !command.contains(path)) {
                command.add(path);
            }
        }
        counted("", Map.of(), command);
    }

    /** Ways to start the process, and what the one call carries then. */
    private void odd() throws Exception {
        String with = "-javaagent:" + agent;
        String made = tests + "/agents/";
        is("as it is meant", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with));
        is("in a child process", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with), "child");
        is("named twice", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with + " " + with));
        is("named by variable and by argument", RIGHT, Map.of("JDK_JAVA_OPTIONS", with, "JAVA_TOOL_OPTIONS", with));
        is("after what the image sets", RIGHT, Map.of("JAVA_TOOL_OPTIONS", "-Dof.the.image=1 " + with));
        is("switched off", "[]", Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD", "off"));
        is("with any other word there", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD", "garbage"));
        is("with no way to the sidecar", "[]", Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD_VIA", ""));
        is("with garbage for a way", "[]",
                Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD_VIA", "::1,x,:80,a:b,a:0,a:99999999999,,"));
        is("with garbage for a grace", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD_GRACE_MS", "soon"));
        is("with garbage to leave out", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with, "THROUGHLINE_FORWARD_EXCLUDE", ",.,,..,*"));
        is("with an agent that does not trace", RIGHT,
                Map.of("JAVA_TOOL_OPTIONS", "-javaagent:" + made + "coverage.jar " + with));
        is("with an agent that does not trace, behind", RIGHT,
                Map.of("JAVA_TOOL_OPTIONS", with + " -javaagent:" + made + "coverage.jar"));
        for (String other : new String[] {"opentelemetry-javaagent.jar", "renamed.jar"}) {
            is("with a tracing agent, " + other, "[]",
                    Map.of("JAVA_TOOL_OPTIONS", with + " -javaagent:" + made + other));
            is("with a tracing agent before, " + other, "[]",
                    Map.of("JAVA_TOOL_OPTIONS", "-javaagent:" + made + other + "=some=options " + with));
        }
        is("with OpenTelemetry in the app", "[]", Map.of("JAVA_TOOL_OPTIONS", with),
                "io.opentelemetry.sdk.OpenTelemetrySdk");
        is("with the SDK of X-Ray in the app", "[]", Map.of("JAVA_TOOL_OPTIONS", with),
                "com.amazonaws.xray.AWSXRayRecorder");
        is("with a library that is not as expected", RIGHT, Map.of("JAVA_TOOL_OPTIONS", with), "org.eclipse.jetty.server.HttpChannel");
        is("with hooks that throw", "[]",
                Map.of("JAVA_TOOL_OPTIONS", with + " --add-opens=java.base/java.net=ALL-UNNAMED"), "forwarding.Throwing");
    }

    private void is(String claim, String expected, Map<String, String> variables, String... more) throws Exception {
        Map<String, String> all = new LinkedHashMap<>(Map.of("THROUGHLINE_FORWARD_VIA", "*"));
        all.putAll(variables);
        List<String> command = new ArrayList<>(List.of(java, "-cp",
                tests + File.pathSeparator + tests + "/others" + File.pathSeparator + System.getProperty("clients"),
                "forwarding.Odd", "forwarding.SunServer"));
        command.addAll(List.of(more));
        List<String> lines = lines(command, all, false);
        check(claim, lines.size() == 1 && lines.get(0).equals(expected), lines);
    }

    /** What the process itself prints is what it prints without. */
    private void quiet() throws Exception {
        for (String how : new String[] {"", "-XX:+AutoCreateSharedArchive", "-Xshare:auto", "--module-path=" + tests}) {
            List<String> command = new ArrayList<>(List.of(java));
            if (!how.isEmpty() && !how.contains("AutoCreate")) {
                command.add(how);
            }
            command.addAll(List.of("-cp", tests, "forwarding.Hello"));
            List<String> lines = lines(command, Map.of("THROUGHLINE_FORWARD_VIA", "*",
                    "JAVA_TOOL_OPTIONS", "-javaagent:" + agent), true);
            lines.removeIf(line -> line.startsWith("Picked up JAVA_TOOL_OPTIONS: "));
            check("prints nothing of its own " + how, lines.equals(List.of("hello")), lines);
        }
    }

    /** Every byte with the forwarder is the byte without, but for the lines that it adds. */
    private void wire(String server) throws Exception {
        int[] ports = ports();
        for (String traced : new String[] {"bare", "traced"}) {
            String[] seen = new String[2];
            for (int with = 0; with < 2; with++) {
                Path file = Files.createTempFile("wire", ".txt");
                List<String> command = new ArrayList<>(List.of(java, "-cp", servers.get(server)));
                if (with == 1) {
                    command.add(1, "-javaagent:" + agent);
                }
                command.addAll(List.of("forwarding.Wire", server, "" + ports[0], "" + ports[1], traced, file.toString()));
                List<String> lines = lines(command, Map.of("THROUGHLINE_FORWARD_VIA", "*"), false);
                seen[with] = Files.readString(file, StandardCharsets.ISO_8859_1).replaceAll("(?i)\r\nDate: [^\r]*", "");
                Files.delete(file);
                if (seen[with].isEmpty()) {
                    check("wire " + server, false, lines);
                    return;
                }
            }
            boolean changed = !seen[0].equals(seen[1]);
            String taken = seen[1].replaceAll("\r\n(traceparent|b3|throughline-forwarder): [^\r]*", "");
            check("every byte of " + server + " and of all clients is the same, " + traced,
                    taken.equals(seen[0]) && changed == traced.equals("traced") && seen[0].length() > 5000, differ(seen[0], taken));
        }
    }

    private static String differ(String one, String other) {
        for (int i = 0; i < Math.min(one.length(), other.length()); i++) {
            if (one.charAt(i) != other.charAt(i)) {
                int from = Math.max(0, i - 200);
                return one.substring(from, Math.min(one.length(), i + 200)) + "\n---\n"
                        + other.substring(from, Math.min(other.length(), i + 200));
            }
        }
        return one.length() + " and " + other.length() + " bytes";
    }

    private void counted(String server, Map<String, String> variables, List<String> main, String... options)
            throws Exception {
        List<String> command = new ArrayList<>(List.of(java));
        if (!variables.isEmpty()) {
            command.add("-javaagent:" + agent);
        }
        command.addAll(List.of(options));
        command.addAll(List.of("-cp", servers.get(server)));
        command.addAll(main);
        String what = main.get(0).replaceAll(".*[.]", "") + " " + server;
        List<String> lines = lines(command, variables, false);
        boolean counted = false;
        for (String line : lines) {
            if (line.startsWith("hops ")) {
                hops.add(line);
            } else if (line.matches("(count   )?[0-9]+ passed, [0-9]+ failed")) {
                String[] words = line.replace("count   ", "").split(" ");
                passed += Integer.parseInt(words[0]);
                failed += Integer.parseInt(words[2]);
                counted = Integer.parseInt(words[0]) + Integer.parseInt(words[2]) > 0;
                System.out.println(what + ": " + line.replace("count   ", ""));
            } else if (!line.startsWith("ok ") && !line.startsWith("SLF4J")) {
                System.out.println("  " + line);
            }
        }
        if (!counted) {
            check(what, false, "it did not come to its end");
        }
    }

    private void check(String claim, boolean holds, Object seen) {
        System.out.println((holds ? "ok      " : "FAILED  ") + claim + (holds ? "" : "\n" + seen));
        if (holds) {
            passed++;
        } else {
            failed++;
        }
    }

    private String version() throws Exception {
        return lines(List.of(java, "-version"), Map.of(), true).get(1);
    }

    private static List<String> lines(List<String> command, Map<String, String> variables, boolean errors)
            throws IOException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().keySet().removeIf(name -> name.startsWith("THROUGHLINE_") || name.equals("JAVA_TOOL_OPTIONS"));
        builder.environment().putAll(variables);
        if (errors) {
            builder.redirectErrorStream(true);
        } else {
            builder.redirectError(ProcessBuilder.Redirect.DISCARD);
        }
        Process process = builder.start();
        try (BufferedReader reader = new BufferedReader(new InputStreamReader(process.getInputStream()))) {
            List<String> lines = reader.lines().collect(Collectors.toCollection(ArrayList::new));
            process.waitFor();
            return lines;
        }
    }

    /** Free ports, below those that the system gives to connections in between. */
    private static int[] ports() {
        int[] ports = new int[3];
        for (int found = 0; found < ports.length; ) {
            int port = ThreadLocalRandom.current().nextInt(10_000, 30_000);
            try (ServerSocket socket = new ServerSocket(port)) {
                ports[found++] = socket.getLocalPort();
            } catch (IOException taken) {
                // Another one, then.
            }
        }
        return ports;
    }
}
