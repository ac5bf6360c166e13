package coverage;

import java.lang.instrument.ClassFileTransformer;
import java.lang.instrument.Instrumentation;
import java.security.ProtectionDomain;

/** An agent that looks at each class and hands out a copy of it, as those do that count covered lines. */
public final class Agent implements ClassFileTransformer {
    public static void premain(String arguments, Instrumentation instrumentation) throws Exception {
        instrumentation.addTransformer(new Agent(), true);
        instrumentation.retransformClasses(java.util.concurrent.CompletableFuture.class,
                java.util.concurrent.ThreadPoolExecutor.class);
    }

    @Override
    public byte[] transform(ClassLoader loader, String name, Class<?> type, ProtectionDomain domain, byte[] bytes) {
        return bytes.clone();
    }
}
