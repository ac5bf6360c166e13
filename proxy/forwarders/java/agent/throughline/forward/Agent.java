package throughline.forward;

import java.lang.instrument.Instrumentation;

/**
 * What the virtual machine starts. It decides whether there is anything to do. This one class is compiled
 * for Java 8: an older Java that comes by the same variable would not start with an agent that it cannot
 * read, and has to find one that does nothing.
 */
public final class Agent {
    private Agent() {}

    /** Runs before the app's main. Nothing that goes wrong here may reach the app. */
    public static void premain(String arguments, Instrumentation instrumentation) {
        try {
            if ("off".equals(System.getenv("THROUGHLINE_FORWARD"))
                    || System.getenv("THROUGHLINE_FORWARD_VIA") == null
                    || System.getProperty("java.specification.version", "1.").startsWith("1.")) {
                return;
            }
            Start.run(instrumentation);
        } catch (Throwable error) {
            if ("1".equals(System.getenv("THROUGHLINE_FORWARD_DEBUG"))) {
                System.err.println("throughline-forwarder: not installed: " + error + " " + error.getCause());
            }
        }
    }
}
