package throughline.forward;

import java.io.File;
import java.io.InputStream;
import java.lang.instrument.Instrumentation;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * What the virtual machine starts. It decides whether there is anything to do, and hands over to a
 * loader of its own, so that the app's loader takes in this one class and no more.
 */
public final class Agent {
    private Agent() {}

    /** Runs before the app's main. Nothing that goes wrong here may reach the app. */
    public static void premain(String arguments, Instrumentation instrumentation) {
        try {
            if ("off".equals(System.getenv("THROUGHLINE_FORWARD"))
                    || System.getenv("THROUGHLINE_FORWARD_VIA") == null) {
                return;
            }
            Map<String, byte[]> classes = classes();
            Class.forName("throughline.forward.Install", true, new Loader(classes))
                    .getMethod("run", Instrumentation.class, Map.class)
                    .invoke(null, instrumentation, classes);
        } catch (Throwable error) {
            if ("1".equals(System.getenv("THROUGHLINE_FORWARD_DEBUG"))) {
                System.err.println("throughline-forwarder: not installed: " + error + " " + error.getCause());
            }
        }
    }

    /** The classes of this archive by name, read at once so that the archive need not stay open. */
    private static Map<String, byte[]> classes() throws Exception {
        Map<String, byte[]> classes = new HashMap<>();
        File archive = new File(Agent.class.getProtectionDomain().getCodeSource().getLocation().toURI());
        try (ZipFile zip = new ZipFile(archive)) {
            for (Enumeration<? extends ZipEntry> all = zip.entries(); all.hasMoreElements(); ) {
                ZipEntry entry = all.nextElement();
                String name = entry.getName();
                if (name.endsWith(".class")) {
                    try (InputStream in = zip.getInputStream(entry)) {
                        classes.put(name.substring(0, name.length() - 6).replace('/', '.'), in.readAllBytes());
                    }
                }
            }
        }
        return classes;
    }

    /** Its unnamed module is the only one to which a package of the JDK is opened. */
    private static final class Loader extends ClassLoader {
        private final Map<String, byte[]> classes;

        Loader(Map<String, byte[]> classes) {
            super(ClassLoader.getPlatformClassLoader());
            this.classes = classes;
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            byte[] bytes = classes.get(name);
            if (bytes == null) {
                throw new ClassNotFoundException(name);
            }
            return defineClass(name, bytes, 0, bytes.length);
        }
    }
}
