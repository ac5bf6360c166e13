package java.net;

import java.util.HashSet;
import java.util.Locale;
import java.util.Set;

/** Which calls reach the sidecar, and how long a request counts after its response. */
final class ThroughlineReach {
    private static final long LONGEST_GRACE_MS = 24L * 60 * 60 * 1000;

    /** In nanoseconds. */
    static volatile long grace;
    private static boolean every;
    private static final Set<String> via = new HashSet<>();
    private static final Set<String> excluded = new HashSet<>();

    private ThroughlineReach() {}

    /** Reads the variables and says whether there is any way to the sidecar. */
    static boolean read(String viaText, String excludeText, String graceText) {
        for (String entry : split(viaText)) {
            if (entry.equals("*")) {
                every = true;
                continue;
            }
            int colon = entry.lastIndexOf(':');
            int port = colon <= 0 ? -1 : number(entry.substring(colon + 1));
            String host = colon <= 0 ? "" : entry.substring(0, colon);
            boolean bracketed = host.startsWith("[") && host.endsWith("]");
            if (port > 0 && port < 65536 && !host.isEmpty() && (bracketed || host.indexOf(':') < 0)) {
                via.add(host(host) + ":" + port);
            }
        }
        for (String entry : split(excludeText)) {
            excluded.add(entry.startsWith(".") ? entry : host(entry));
        }
        int ms = graceText == null ? -1 : number(graceText.trim());
        grace = ms <= 0 ? 0 : Math.min(ms, LONGEST_GRACE_MS) * 1_000_000L;
        return every || !via.isEmpty();
    }

    private static String[] split(String text) {
        if (text == null) {
            return new String[0];
        }
        String[] entries = text.split(",");
        for (int i = 0; i < entries.length; i++) {
            entries[i] = entries[i].trim().toLowerCase(Locale.ROOT);
        }
        return entries;
    }

    private static int number(String text) {
        try {
            return Integer.parseInt(text);
        } catch (NumberFormatException garbage) {
            return -1;
        }
    }

    /** One spelling for each host. Names are not looked up: that would be a call of its own. */
    private static String host(String host) {
        String name = host.toLowerCase(Locale.ROOT);
        if (name.startsWith("[") && name.endsWith("]")) {
            name = name.substring(1, name.length() - 1);
        }
        if (name.endsWith(".")) {
            name = name.substring(0, name.length() - 1);
        }
        boolean here = name.equals("localhost") || name.equals("::1") || name.equals("0:0:0:0:0:0:0:1");
        return here ? "127.0.0.1" : name;
    }

    /** Whether a plain-text call to {@code target} over a connection to {@code peer} is to carry the headers. */
    static boolean allows(String peer, int port, String target) {
        if (peer == null || target == null || port <= 0) {
            return false;
        }
        if (!every && !via.contains(host(peer) + ":" + port)) {
            return false;
        }
        if (excluded.isEmpty()) {
            return true;
        }
        String name = host(target);
        if (excluded.contains(name) || excluded.contains("." + name)) {
            return false;
        }
        for (int dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
            if (excluded.contains(name.substring(dot))) {
                return false;
            }
        }
        return true;
    }
}
