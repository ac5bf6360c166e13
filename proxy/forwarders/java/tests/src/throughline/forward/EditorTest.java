package throughline.forward;

import java.io.InputStream;
import java.lang.reflect.Modifier;
import java.net.URI;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.jar.JarFile;
import java.util.stream.Collectors;

/**
 * Edits every method of every class of the archives it is given, each in one of the ways there are, and
 * has the verifier look at all of them. What can be put before thousands of methods of other people's
 * can be put before the few that matter.
 */
public final class EditorTest {
    private static int edited;
    private static int left;
    private static int failed;

    private EditorTest() {}

    public static void main(String[] archives) throws Exception {
        URL[] urls = new URL[archives.length];
        for (int i = 0; i < archives.length; i++) {
            urls[i] = Path.of(archives[i]).toUri().toURL();
        }
        for (int round = 0; round < 2; round++) {
            Loader loader = new Loader(urls, round);
            for (String archive : archives) {
                try (JarFile jar = new JarFile(archive)) {
                    for (String name : jar.stream().map(e -> e.getName()).collect(Collectors.toList())) {
                        if (name.endsWith(".class") && !name.startsWith("META-INF") && !name.endsWith("-info.class")) {
                            verify(loader, name.substring(0, name.length() - 6).replace('/', '.'));
                        }
                    }
                }
            }
        }
        int classes = edited;
        jdk();
        System.out.println("edited " + edited + " methods (" + (edited - classes) + " of the JDK), left " + left
                + " that have no code or no room");
        System.out.println((edited > 10_000 ? 1 : 0) + " passed, " + (failed + (edited > 10_000 ? 0 : 1)) + " failed");
        System.exit(failed == 0 && edited > 10_000 ? 0 : 1);
    }

    private static void verify(ClassLoader loader, String name) {
        try {
            Class.forName(name, false, loader).getDeclaredMethods(); // Asking for them verifies the class.
        } catch (VerifyError | ClassFormatError | Unsure wrong) {
            failed++;
            System.out.println("FAILED " + name + ": " + wrong);
        } catch (LinkageError | RuntimeException absent) {
            // Something that the archive needs and nobody gave: it says nothing about the edit.
        } catch (ClassNotFoundException gone) {
            failed++;
            System.out.println("FAILED " + name + ": " + gone);
        }
    }

    /** The JDK's classes cannot be defined again; that they still parse is seen by reading them anew. */
    private static void jdk() throws Exception {
        Path root = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("modules", "java.base", "java");
        List<Path> classes;
        try (var all = Files.walk(root)) {
            classes = all.filter(p -> p.toString().endsWith(".class")).collect(Collectors.toList());
        }
        for (Path path : classes) {
            byte[] once = all(Files.readAllBytes(path), 0);
            new ClassFile(once);
        }
    }

    /** One class with an edit before each of its methods. */
    static byte[] all(byte[] bytes, int round) {
        ClassFile file = new ClassFile(bytes);
        List<Edit> edits = new ArrayList<>();
        int at = file.methods;
        int count = file.u2(at);
        at += 2;
        for (int i = 0; i < count; i++) {
            int access = file.u2(at);
            String name = file.utf8(file.u2(at + 2));
            String descriptor = file.utf8(file.u2(at + 4));
            boolean fixed = Modifier.isStatic(access);
            if ((access & (Modifier.ABSTRACT | Modifier.NATIVE)) == 0) {
                Edit edit;
                boolean face = (file.u2(file.poolEnd) & Modifier.INTERFACE) != 0;
                int object = firstObject(descriptor);
                if (!name.startsWith("<") && !face && (i + round) % 2 == 0) {
                    edit = fixed ? Edit.around(name, descriptor, "suspend")
                            : Edit.around(name, descriptor, "sun", 0);
                } else if (object > 0) {
                    String type = descriptor.substring(typeAt(descriptor, object) + 1);
                    edit = Edit.replace(name, descriptor, object, type.substring(0, type.indexOf(';')), "x", object);
                } else {
                    edit = name.equals("<init>") || fixed ? Edit.call(name, descriptor, "x")
                            : Edit.call(name, descriptor, "x", 0);
                }
                try {
                    Editor.apply(bytes, new Edit[] {edit});
                    edits.add(edit);
                    edited++;
                } catch (Unsure noRoom) {
                    left++;
                }
            }
            at = file.afterMember(at);
        }
        return edits.isEmpty() ? bytes : Editor.apply(bytes, edits.toArray(new Edit[0]));
    }

    /** The number of the first parameter that is an object and not an array, 0 for none. */
    private static int firstObject(String descriptor) {
        for (int parameter = 1; ; parameter++) {
            int at = typeAt(descriptor, parameter);
            if (descriptor.charAt(at) == ')') {
                return 0;
            }
            if (descriptor.charAt(at) == 'L') {
                return parameter;
            }
        }
    }

    private static int typeAt(String descriptor, int parameter) {
        int at = 1;
        for (int i = 1; i < parameter && descriptor.charAt(at) != ')'; i++) {
            while (descriptor.charAt(at) == '[') {
                at++;
            }
            at = descriptor.charAt(at) == 'L' ? descriptor.indexOf(';', at) + 1 : at + 1;
        }
        return at;
    }

    /** Loads from the archives first, and edits all. */
    private static final class Loader extends URLClassLoader {
        private final int round;

        Loader(URL[] urls, int round) {
            super(urls, ClassLoader.getPlatformClassLoader());
            this.round = round;
        }

        @Override
        protected Class<?> findClass(String name) throws ClassNotFoundException {
            try (InputStream in = getResourceAsStream(name.replace('.', '/') + ".class")) {
                if (in == null) {
                    throw new ClassNotFoundException(name);
                }
                byte[] bytes = all(in.readAllBytes(), round);
                return defineClass(name, bytes, 0, bytes.length);
            } catch (java.io.IOException error) {
                throw new ClassNotFoundException(name, error);
            }
        }
    }
}
