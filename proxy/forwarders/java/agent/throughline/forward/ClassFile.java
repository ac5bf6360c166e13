package throughline.forward;

import java.nio.charset.StandardCharsets;

/**
 * Where things lie in the bytes of one class, and the constants that an edit adds at the end of its
 * pool. Nothing that is there is moved or renumbered.
 */
final class ClassFile {
    static final int UTF8 = 1;
    static final int CLASS = 7;
    static final int METHOD = 10;
    static final int INTERFACE_METHOD = 11;
    static final int NAME_AND_TYPE = 12;

    final byte[] bytes;
    final int major;
    /** The name of the class, with slashes. */
    final String name;
    final int thisIndex;
    /** The first byte after the pool. */
    final int poolEnd;
    /** The first byte of the table of methods, its count. */
    final int methods;

    private final int[] constants;
    private final Bytes added = new Bytes();
    private int poolCount;

    ClassFile(byte[] bytes) {
        this.bytes = bytes;
        if (bytes.length < 24 || u4(0) != 0xCAFEBABE) {
            throw new Unsure("not a class file");
        }
        major = u2(6);
        poolCount = u2(8);
        constants = new int[poolCount];
        int at = 10;
        for (int i = 1; i < poolCount; i++) {
            constants[i] = at;
            int tag = u1(at);
            switch (tag) {
                case UTF8:
                    at += 3 + u2(at + 1);
                    break;
                case 3: case 4: case 9: case METHOD: case INTERFACE_METHOD: case NAME_AND_TYPE: case 17: case 18:
                    at += 5;
                    break;
                case 5: case 6:
                    at += 9;
                    i++;
                    break;
                case CLASS: case 8: case 16: case 19: case 20:
                    at += 3;
                    break;
                case 15:
                    at += 4;
                    break;
                default:
                    throw new Unsure("constant of unknown kind " + tag);
            }
        }
        poolEnd = at;
        thisIndex = u2(at + 2);
        name = className(thisIndex);
        at += 6;
        at += 2 + 2 * u2(at);
        int fields = u2(at);
        at += 2;
        for (int i = 0; i < fields; i++) {
            at = afterMember(at);
        }
        methods = at;
    }

    int u1(int at) {
        return bytes[at] & 0xff;
    }

    int u2(int at) {
        return (bytes[at] & 0xff) << 8 | bytes[at + 1] & 0xff;
    }

    int u4(int at) {
        return u2(at) << 16 | u2(at + 2);
    }

    /** The first byte after the field or method that begins at {@code at}. */
    int afterMember(int at) {
        int attributes = u2(at + 6);
        at += 8;
        for (int i = 0; i < attributes; i++) {
            at += 6 + u4(at + 2);
        }
        return at;
    }

    String utf8(int index) {
        int at = constants[index];
        if (u1(at) != UTF8) {
            throw new Unsure("not a name");
        }
        // The names that matter here are plain ASCII, where Java's own UTF-8 is no different.
        return new String(bytes, at + 3, u2(at + 1), StandardCharsets.UTF_8);
    }

    String className(int index) {
        return utf8(u2(constants[index] + 1));
    }

    /** Whether the constant is the given method. */
    boolean isMethod(int index, int kind, String owner, String method, String descriptor) {
        if (index <= 0 || index >= constants.length || u1(constants[index]) != kind) {
            return false;
        }
        int at = constants[index];
        int nameAndType = constants[u2(at + 3)];
        return utf8(u2(nameAndType + 1)).equals(method)
                && utf8(u2(nameAndType + 3)).equals(descriptor)
                && className(u2(at + 1)).equals(owner);
    }

    int addUtf8(String text) {
        byte[] encoded = text.getBytes(StandardCharsets.UTF_8);
        added.u1(UTF8).u2(encoded.length).put(encoded, 0, encoded.length);
        return next();
    }

    int addClass(String className) {
        int text = addUtf8(className);
        added.u1(CLASS).u2(text);
        return next();
    }

    int addMethod(int ownerIndex, String method, String descriptor) {
        int text = addUtf8(method);
        int type = addUtf8(descriptor);
        added.u1(NAME_AND_TYPE).u2(text).u2(type);
        int nameAndType = next();
        added.u1(METHOD).u2(ownerIndex).u2(nameAndType);
        return next();
    }

    private int next() {
        if (poolCount >= 0xfff0) {
            throw new Unsure("the pool of constants is full");
        }
        return poolCount++;
    }

    /** The class with its longer pool and the given bytes in place of its table of methods. */
    byte[] with(Bytes newMethods, int methodsEnd) {
        Bytes out = new Bytes();
        out.put(bytes, 0, 8).u2(poolCount).put(bytes, 10, poolEnd - 10).put(added);
        out.put(bytes, poolEnd, methods - poolEnd).put(newMethods);
        out.put(bytes, methodsEnd, bytes.length - methodsEnd);
        return out.array();
    }
}
