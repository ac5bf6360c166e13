package throughline.forward;

/** Applies the edits of one class, all of them or none. */
final class Editor {
    private Editor() {}

    /**
     * The class with its edits.
     *
     * @throws Unsure when anything in the class is not as the edits expect it
     */
    static byte[] apply(byte[] original, Edit[] edits) {
        ClassFile file = new ClassFile(original);
        boolean[] done = new boolean[edits.length];
        Bytes methods = new Bytes();
        int at = file.methods;
        int count = file.u2(at);
        methods.u2(count);
        at += 2;
        for (int i = 0; i < count; i++) {
            int end = file.afterMember(at);
            String name = file.utf8(file.u2(at + 2));
            String descriptor = file.utf8(file.u2(at + 4));
            Edit edit = null;
            for (int e = 0; e < edits.length; e++) {
                if (edits[e].fits(name, descriptor)) {
                    if (edit != null) {
                        throw new Unsure("two edits of " + name);
                    }
                    edit = edits[e];
                    done[e] = true;
                }
            }
            if (edit == null) {
                methods.put(original, at, end - at);
            } else {
                edit(file, at, descriptor, edit, methods);
            }
            at = end;
        }
        for (int e = 0; e < edits.length; e++) {
            if (!done[e] && !edits[e].optional) {
                throw new Unsure("no method " + edits[e].method + edits[e].descriptor);
            }
        }
        return file.with(methods, at);
    }

    private static void edit(ClassFile file, int at, String descriptor, Edit edit, Bytes out) {
        int access = file.u2(at);
        int attributes = file.u2(at + 6);
        out.put(file.bytes, at, 8);
        at += 8;
        boolean found = false;
        for (int i = 0; i < attributes; i++) {
            int length = 6 + file.u4(at + 2);
            if (file.utf8(file.u2(at)).equals("Code")) {
                new Code(file, at, access, descriptor).edit(edit, out);
                found = true;
            } else {
                out.put(file.bytes, at, length);
            }
            at += length;
        }
        if (!found) {
            throw new Unsure(edit.method + " has no code");
        }
    }
}
