package com.amazonaws.xray;

/** Stands for the class whose loading says that the app has the SDK. */
public final class AWSXRayRecorder {
    private AWSXRayRecorder() {}
}
