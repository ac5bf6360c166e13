package io.opentelemetry.javaagent;

/** Does nothing, under the name of one that does this job. */
public final class OpenTelemetryAgent {
    private OpenTelemetryAgent() {}

    public static void premain(String arguments) {}
}
