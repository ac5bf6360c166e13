package throughline.forward;

import java.io.File;
import java.io.InputStream;
import java.lang.instrument.Instrumentation;
import java.util.Enumeration;
import java.util.HashMap;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/** Hands over to a loader of its own, so that the app's loader takes in no more than the agent itself. */
final class Start {
    private Start() {}

    static void run(Instrumentation instrumentation) throws Exception {
        Map<String, byte[]> classes = classes();
        Class.forName("throughline.forward.Install", true, new Loader(classes))
                .getMethod("run", Instrumentation.class, Map.class)
                .invoke(null, instrumentation, classes);
    }

    /** The classes of this archive by name, read at once so that the archive need not stay open. */
    private static Map<String, byte[]> classes() throws Exception {
        Map<String, byte[]> classes = new HashMap<>();
        File archive = new File(Start.class.getProtectionDomain().getCodeSource().getLocation().toURI());
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
