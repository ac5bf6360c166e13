package throughline.forward;

import java.io.InputStream;
import java.lang.instrument.ClassFileTransformer;
import java.lang.reflect.Method;
import java.security.ProtectionDomain;
import java.util.Map;

/** Sees each class as it is loaded, and passes on all but a few. */
final class Transformer implements ClassFileTransformer {
    private final Map<String, Plans.Plan> plans;
    private final Method unsure;
    private final Method aside;

    Transformer(Map<String, Plans.Plan> plans, Method unsure, Method aside) {
        this.plans = plans;
        this.unsure = unsure;
        this.aside = aside;
    }

    /** Loads what an edit needs before the first class comes by, since loading it then would go in circles. */
    void warm() throws Exception {
        try (InputStream in = Object.class.getResourceAsStream("/java/util/concurrent/ForkJoinTask.class")) {
            Editor.apply(in.readAllBytes(), plans.get("java/util/concurrent/ForkJoinTask").edits);
        }
        unsure.invoke(null, -1, "");
    }

    @Override
    public byte[] transform(ClassLoader loader, String name, Class<?> redefined, ProtectionDomain domain,
            byte[] bytes) {
        try {
            if (name == null) {
                return null;
            }
            Plans.Plan plan = plans.get(name);
            if (plan != null) {
                return Editor.apply(bytes, plan.edits);
            }
            if (Others.TRACERS.contains(name)) {
                aside(name);
            }
        } catch (Throwable error) {
            unsure(name, error);
        }
        return null;
    }

    void aside(String name) {
        try {
            aside.invoke(null, name);
        } catch (Throwable error) {
            // The hooks are in no state to be told anything.
        }
    }

    void unsure(String name, Throwable why) {
        try {
            Plans.Plan plan = plans.get(name);
            if (plan != null) {
                unsure.invoke(null, plan.part, name + ": " + why);
            }
        } catch (Throwable error) {
            // As above.
        }
    }
}
