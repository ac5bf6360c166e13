package io.opentelemetry.sdk;

/** Stands for the class whose loading says that the app has the SDK. */
public final class OpenTelemetrySdk {
    private OpenTelemetrySdk() {}
}
