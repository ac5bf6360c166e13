package java.net;

import java.lang.ref.WeakReference;

/** The trace headers of one request, and whether its response has ended. It keeps nothing of the app alive. */
final class ThroughlineContext {
    static final String MARKER = "throughline-forwarder";
    static final String VERSION = "java/0.1.0";

    /** What is copied, in the order in which it is written. */
    static final String[] NAMES = {
        "traceparent", "tracestate", "x-amzn-trace-id", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid",
        "x-b3-sampled", "x-b3-flags", "uber-trace-id", "x-datadog-trace-id", "x-datadog-parent-id",
        "x-datadog-sampling-priority", "x-datadog-origin", "x-datadog-tags",
    };

    private static final int LONGEST = 4096;

    /** Whether there ever was one. Until then no hook looks any further. */
    static volatile boolean any;

    /** Names and values by turns, the marker last. */
    final String[] headers;
    /** What stands for the request in its server. */
    volatile WeakReference<Object> request;
    /** When the response ended, by the clock that only goes forward; 0 before. */
    private volatile long ended;

    private ThroughlineContext(String[] headers) {
        this.headers = headers;
    }

    /** Of the values of {@link #NAMES}, null where a header is not there just once; null when none is left. */
    static ThroughlineContext of(String[] values) {
        int count = 0;
        for (int i = 0; i < values.length; i++) {
            if (values[i] != null && !plain(values[i])) {
                values[i] = null;
            }
            if (i == 1 && values[0] == null) {
                values[1] = null; // tracestate says nothing without traceparent.
            }
            if (values[i] != null) {
                count++;
            }
        }
        if (count == 0) {
            return null;
        }
        String[] headers = new String[2 * count + 2];
        int at = 0;
        for (int i = 0; i < values.length; i++) {
            if (values[i] != null) {
                headers[at++] = NAMES[i];
                headers[at++] = values[i];
            }
        }
        headers[at++] = MARKER;
        headers[at] = VERSION;
        any = true;
        return new ThroughlineContext(headers);
    }

    private static boolean plain(String value) {
        int length = value.length();
        if (length == 0 || length > LONGEST) {
            return false;
        }
        for (int i = 0; i < length; i++) {
            char c = value.charAt(i);
            if (c < 0x20 || c > 0x7e) {
                return false;
            }
        }
        return true;
    }

    void end() {
        if (ended == 0) {
            long now = System.nanoTime();
            ended = now == 0 ? 1 : now;
        }
    }

    boolean live() {
        long at = ended;
        return at == 0 || ThroughlineReach.grace > 0 && System.nanoTime() - at < ThroughlineReach.grace;
    }
}
