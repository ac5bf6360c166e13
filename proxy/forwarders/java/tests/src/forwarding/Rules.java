package forwarding;

import java.net.URLDecoder;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/**
 * What is copied and when, one rule after the other. Started with three ports: the first and the last are
 * in THROUGHLINE_FORWARD_VIA, and the last speaks TLS, with the key of javax.net.ssl.keyStore.
 */
public final class Rules {
    private static final String PARENT = "traceparent: " + Storm.parent(1);
    private static final String[] ALL = {
        PARENT, "tracestate: a=1,b=2", "x-amzn-trace-id: Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1", "b3: 0",
        "x-b3-traceid: 463ac35c9f6413ad48485a3953bb6124", "x-b3-spanid: a2fb4a1d1a96d312",
        "x-b3-parentspanid: 0020000000000001", "x-b3-sampled: 1", "x-b3-flags: 1",
        "uber-trace-id: 1:2:0:1", "x-datadog-trace-id: 1234", "x-datadog-parent-id: 5678",
        "x-datadog-sampling-priority: 1", "x-datadog-origin: rum", "x-datadog-tags: _dd.p.dm=-0",
    };

    private final String server;
    private final int port;
    private final Upstream sidecar;
    private final Upstream elsewhere;
    private final Upstream tls;
    private final Clients straight = new Clients(0);
    private final Clients proxied;
    private int next;

    private Rules(String server, int sidecarPort, int otherPort, int tlsPort) throws Exception {
        this.server = server.replaceAll(".*[.]", "");
        sidecar = Upstream.on(sidecarPort, false);
        elsewhere = Upstream.on(otherPort, false);
        tls = new Upstream(javax.net.ssl.SSLServerSocketFactory.getDefault().createServerSocket(tlsPort), false);
        proxied = new Clients(sidecarPort);
        port = ((Server) Class.forName(server).getConstructor().newInstance()).start(0, 8, page -> {
            String[] parts = page.path().split("/");
            String shown;
            try {
                String header = page.word("header");
                String[] headers = header == null ? new String[0]
                        : new String[] {URLDecoder.decode(header, StandardCharsets.UTF_8)};
                String url = URLDecoder.decode(page.word("url"), StandardCharsets.UTF_8);
                shown = (parts[1].equals("proxied") ? proxied : straight).get(parts[2]).call(url, headers);
            } catch (Exception error) {
                shown = "refused";
            }
            page.answer(shown);
        });
    }

    public static void main(String[] arguments) throws Exception {
        Rules rules = new Rules(arguments[0], Integer.parseInt(arguments[1]), Integer.parseInt(arguments[2]),
                Integer.parseInt(arguments[3]));
        rules.copied();
        for (String client : rules.straight.all().keySet()) {
            rules.calls(client);
        }
        Check.end();
    }

    private void copied() throws Exception {
        String[] more = Arrays.copyOf(ALL, ALL.length + 1);
        more[ALL.length] = "baggage: user=1";
        List<String> all = new ArrayList<>(List.of(ALL));
        all.add("throughline-forwarder: java/0.1.0");
        same("all of them come along, baggage does not", all, copied("url-get", more));
        same("nothing is made up", List.of(), copied("url-get"));
        same("baggage alone is nothing", List.of(), copied("url-get", "baggage: user=1"));
        same("tracestate alone is nothing", List.of(), copied("url-get", "tracestate: a=1"));
        same("tracestate without traceparent stays", marked("b3: 0"), copied("url-get", "tracestate: a=1", "b3: 0"));
        same("a header that came twice stays", marked("b3: 0"),
                copied("url-get", PARENT, "Traceparent: " + Storm.parent(2), "tracestate: a=1", "b3: 0"));
        String long1 = "x".repeat(4096);
        same("4096 bytes are not too long", marked("b3: " + long1), copied("url-get", "b3: " + long1));
        same("4097 bytes are", marked("uber-trace-id: 1"), copied("url-get", "b3: " + long1 + "x", "uber-trace-id: 1"));
        same("what is not ASCII stays", marked("uber-trace-id: 1"), copied("url-get", "b3: \u00e9", "uber-trace-id: 1"));
        same("spaces do", marked("x-datadog-tags: a b"), copied("url-get", "x-datadog-tags: a b"));
        same("names in any case", marked("b3: 0"), copied("url-get", "B3: 0"));
    }

    private void calls(String client) throws Exception {
        String here = "http://127.0.0.1:" + sidecar.port;
        List<String> added = marked(PARENT);
        same(client + " through the sidecar", added, call("straight", client, here, null, sidecar));
        same(client + " elsewhere", List.of(),
                call("straight", client, "http://127.0.0.1:" + elsewhere.port, null, elsewhere));
        same(client + " over TLS", List.of(), call("straight", client, "https://localhost:" + tls.port, null, tls));
        same(client + " by another name of this host", added,
                call("straight", client, "http://localhost:" + sidecar.port, null, sidecar));
        for (String header : ALL) {
            same(client + " with its own " + header.split(":")[0], List.of(header),
                    call("straight", client, here, header, sidecar));
        }
        same(client + " with a marker of its own", List.of("throughline-forwarder: other/1"),
                call("straight", client, here, "Throughline-Forwarder: other/1", sidecar));
        same(client + " by proxy", added, call("proxied", client, "http://shop.example", null, sidecar));
        same(client + " to a host that is left out", List.of(),
                call("proxied", client, "http://Excluded.example", null, sidecar));
        same(client + " to one below that", added,
                call("proxied", client, "http://a.excluded.example", null, sidecar));
        same(client + " to a domain that is left out", List.of(),
                call("proxied", client, "http://sub.example:8080", null, sidecar));
        same(client + " to one below it", List.of(),
                call("proxied", client, "http://a.b.sub.example", null, sidecar));
        same(client + " to one that only sounds so", added,
                call("proxied", client, "http://xsub.example", null, sidecar));
        int n = ++next;
        ask("proxied", client, "https://secret.example:" + (1000 + n) + "/", null, PARENT);
        same(client + " asking for a tunnel", List.of(), trace(sidecar.head("secret.example:" + (1000 + n))));
        String path = "/moved/" + ++next;
        ask("straight", client, here + path, null, PARENT);
        List<String> moved = new ArrayList<>();
        sidecar.heads(path.replace("moved", "found")).forEach(head -> moved.addAll(trace(head)));
        // Apache follows no redirect of a POST, and no client here is told to follow one for it.
        same(client + " before a redirect", added, trace(sidecar.head(path)));
        if (!sidecar.heads(path.replace("moved", "found")).isEmpty()) {
            same(client + " after it", added, moved);
        }
        String shown = ask("straight", client, here + "/shown/" + ++next, null, PARENT).toLowerCase(Locale.ROOT);
        Check.that(server + ": " + client + " shows the app nothing of it", shown.contains("ok[")
                && !shown.contains("traceparent") && !shown.contains("marker") && !shown.contains("java/"), shown);
    }

    private List<String> copied(String client, String... headers) throws Exception {
        String path = "/copied/" + ++next;
        ask("straight", client, "http://127.0.0.1:" + sidecar.port + path, null, headers);
        return trace(sidecar.head(path));
    }

    private List<String> call(String by, String client, String host, String header, Upstream upstream) throws Exception {
        String path = "/call/" + ++next;
        ask(by, client, host + path, header, PARENT);
        String absolute = host + path;
        return trace(by.equals("straight") ? upstream.head(path) : any(upstream, absolute, path));
    }

    private static String any(Upstream upstream, String absolute, String path) {
        // Clients spell the host as the app did, in lower case, or leave the port.
        long start = System.nanoTime();
        while (System.nanoTime() - start < 60_000_000_000L) {
            for (String one : new String[] {absolute, absolute.toLowerCase(Locale.ROOT), path}) {
                if (!upstream.heads(one).isEmpty()) {
                    return upstream.heads(one).get(0);
                }
            }
            Thread.yield();
        }
        throw new IllegalStateException("no call of " + absolute);
    }

    private String ask(String by, String client, String url, String header, String... headers) throws Exception {
        try (Caller caller = new Caller(port)) {
            String path = "/" + by + "/" + client + "?url=" + twice(url);
            return caller.get(header == null ? path : path + "&header=" + twice(header), headers);
        }
    }

    /** Some servers decode a query and some do not: what is left to decode once is right for both. */
    private static String twice(String text) {
        return URLEncoder.encode(URLEncoder.encode(text, StandardCharsets.UTF_8), StandardCharsets.UTF_8);
    }

    private void same(String claim, List<String> expected, List<String> seen) {
        Check.same(server + ": " + claim, expected, sorted(expected, seen));
    }

    private static List<String> marked(String header) {
        return List.of(header, "throughline-forwarder: java/0.1.0");
    }

    /** The order is of no matter where a client keeps its headers in a map. */
    private static List<String> sorted(List<String> as, List<String> lines) {
        List<String> sorted = new ArrayList<>(lines);
        sorted.sort(java.util.Comparator.comparingInt(as::indexOf));
        return sorted;
    }

    /** The header lines of a head that are about traces, in the order in which they are. */
    static List<String> trace(String head) {
        List<String> lines = new ArrayList<>();
        for (String line : head.split("\r\n")) {
            String name = line.split(":")[0].toLowerCase(Locale.ROOT);
            if (name.equals("baggage") || name.equals("throughline-forwarder")
                    || Arrays.stream(ALL).anyMatch(one -> one.startsWith(name + ":"))) {
                lines.add(name + line.substring(name.length()));
            }
        }
        return lines;
    }
}
