package throughline.forward;

import java.lang.instrument.Instrumentation;
import java.lang.invoke.MethodHandles;
import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Puts the hooks into the JDK and edits what is there already. */
public final class Install {
    /** The newest Java on which the edits are tested. A newer one is left alone. */
    private static final int NEWEST = 25;

    /** In the order in which they are defined: a class comes after what it extends and what is inside it. */
    private static final String[] HOOKS = {
        "ThroughlineContext", "ThroughlineThread", "ThroughlineScope", "ThroughlineTable$Held",
        "ThroughlineTable$Asked", "ThroughlineTable", "ThroughlineCall$Found", "ThroughlineCall",
        "ThroughlineField", "ThroughlineCarriers$Carrier", "ThroughlineCarriers$Task",
        "ThroughlineCarriers$Called", "ThroughlineCarriers$Supplied", "ThroughlineCarriers$Applied",
        "ThroughlineCarriers$Accepted", "ThroughlineCarriers$BiApplied", "ThroughlineCarriers$BiAccepted",
        "ThroughlineCarriers", "ThroughlineReach", "ThroughlineTasks$Infra", "ThroughlineTasks$Fields",
        "ThroughlineTasks", "ThroughlineServers$Known", "ThroughlineServers", "ThroughlineClients$Added",
        "ThroughlineClients", "ThroughlineHooks",
    };

    private Install() {}

    /** Called by the agent, which another loader loaded. */
    public static void run(Instrumentation instrumentation, Map<String, byte[]> classes) throws Exception {
        int feature = Runtime.version().feature();
        if (feature < 11 || feature > NEWEST || !instrumentation.isRetransformClassesSupported()) {
            return;
        }
        try {
            Class.forName("java.net.ThroughlineHooks", false, null);
            return; // Named twice: the first one is at work.
        } catch (ClassNotFoundException first) {
            // As it should be.
        }
        Module here = Install.class.getModule();
        instrumentation.redefineModule(Object.class.getModule(), Collections.emptySet(), Collections.emptyMap(),
                Collections.singletonMap("java.net", Collections.singleton(here)), Collections.emptySet(),
                Collections.emptyMap());
        // In a package of java.base every class sees the hooks, whatever its module or loader; and the
        // path of the boot loader stays as it is, on which the shared archive of classes depends.
        MethodHandles.Lookup lookup = MethodHandles.privateLookupIn(java.net.URI.class, MethodHandles.lookup());
        Class<?> hooks = null;
        for (String name : HOOKS) {
            hooks = lookup.defineClass(classes.get("hooks." + name));
        }
        Method start = hooks.getMethod("start", String.class, String.class, String.class, boolean.class);
        Object arguments = start.invoke(null, System.getenv("THROUGHLINE_FORWARD_VIA"),
                System.getenv("THROUGHLINE_FORWARD_EXCLUDE"), System.getenv("THROUGHLINE_FORWARD_GRACE_MS"),
                "1".equals(System.getenv("THROUGHLINE_FORWARD_DEBUG")));
        if (!(arguments instanceof String[]) || Others.amongArguments(List.of((String[]) arguments))) {
            return;
        }
        Map<String, Plans.Plan> plans = Plans.all();
        Transformer transformer = new Transformer(plans, hooks.getMethod("unsure", int.class, String.class),
                hooks.getMethod("aside", String.class));
        transformer.warm();
        instrumentation.addTransformer(transformer, true);
        loaded(instrumentation, plans.keySet(), transformer);
    }

    private static void loaded(Instrumentation instrumentation, Set<String> planned, Transformer transformer)
            throws Exception {
        List<Class<?>> edit = new ArrayList<>();
        for (Class<?> type : instrumentation.getAllLoadedClasses()) {
            String name = type.getName().replace('.', '/');
            if (planned.contains(name)) {
                edit.add(type);
            } else if (Others.TRACERS.contains(name)) {
                transformer.aside(name);
            }
        }
        for (Class<?> type : edit) {
            try {
                instrumentation.retransformClasses(type);
            } catch (Throwable refused) {
                transformer.unsure(type.getName().replace('.', '/'), refused);
            }
        }
    }
}
