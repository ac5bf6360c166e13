package throughline.forward;

/**
 * The code of one method, which is only ever changed in two ways: a stretch is put before its first
 * instruction, as long as a multiple of 4 so that the padding of its switches stays as it is, or a call
 * in it is overwritten by another of the same length. Jumps are relative, so neither touches them; what
 * moves are the tables that name places in the code.
 */
final class Code {
    private static final String HOOKS = "java/net/ThroughlineHooks";
    private static final String OBJECT = "Ljava/lang/Object;";

    private final ClassFile file;
    /** Where the attribute begins. */
    private final int at;
    private final boolean isStatic;
    private final String descriptor;
    /** For each parameter, the object itself first where there is one: its slot and its letter. */
    private final int[] slots = new int[256];
    private final char[] kinds = new char[256];
    private final String[] types = new String[256];
    private int parameters;
    private int slotsTaken;
    private char returns;

    Code(ClassFile file, int at, int access, String descriptor) {
        this.file = file;
        this.at = at;
        this.isStatic = (access & 0x0008) != 0;
        this.descriptor = descriptor;
        readParameters();
    }

    void edit(Edit edit, Bytes out) {
        int maxStack = file.u2(at + 6);
        int maxLocals = file.u2(at + 8);
        int length = file.u4(at + 10);
        int start = at + 14;
        if (edit.kind == Edit.Kind.REDIRECT) {
            int call = onlyCall(edit, start, length);
            int hook = hook(edit, edit.targetDescriptor.replace("(", "(L" + edit.type + ";"));
            Bytes whole = new Bytes().put(file.bytes, at, 6 + file.u4(at + 2));
            byte[] patched = whole.array();
            int place = call - at;
            patched[place] = (byte) 0xb8;
            patched[place + 1] = (byte) (hook >> 8);
            patched[place + 2] = (byte) hook;
            patched[place + 3] = 0;
            patched[place + 4] = 0;
            out.put(patched, 0, patched.length);
            return;
        }
        Prologue prologue = edit.kind == Edit.Kind.AROUND ? around(edit) : before(edit);
        int shift = prologue.code.size();
        if (shift % 4 != 0 || length + shift >= 0xffff) {
            throw new Unsure("no room in " + edit.method);
        }
        Bytes body = new Bytes();
        body.u2(Math.max(maxStack, prologue.stack)).u2(Math.max(maxLocals, prologue.locals));
        body.u4(length + shift).put(prologue.code).put(file.bytes, start, length);
        int place = start + length;
        int exceptions = file.u2(place);
        place += 2;
        body.u2(exceptions + (prologue.handler > 0 ? 1 : 0));
        if (prologue.handler > 0) {
            // Its range is apart from all others, so its place in the order says nothing.
            body.u2(prologue.tryStart).u2(prologue.tryEnd).u2(prologue.handler).u2(0);
        }
        for (int i = 0; i < exceptions; i++, place += 8) {
            body.u2(file.u2(place) + shift).u2(file.u2(place + 2) + shift).u2(file.u2(place + 4) + shift);
            body.u2(file.u2(place + 6));
        }
        attributes(prologue, place, shift, body);
        out.put(file.bytes, at, 2).u4(body.size()).put(body);
    }

    private void attributes(Prologue prologue, int place, int shift, Bytes body) {
        int count = file.u2(place);
        place += 2;
        Bytes kept = new Bytes();
        int number = 0;
        boolean mapped = false;
        for (int i = 0; i < count; i++) {
            int length = file.u4(place + 2);
            int content = place + 6;
            String name = file.utf8(file.u2(place));
            switch (name) {
                case "StackMapTable":
                    Bytes map = Frames.moved(file, content, length, shift, prologue.frames, prologue.lastFrame);
                    kept.put(file.bytes, place, 2).u4(map.size()).put(map);
                    mapped = true;
                    number++;
                    break;
                case "LineNumberTable":
                    kept.put(file.bytes, place, 8);
                    for (int e = content + 2; e < content + length; e += 4) {
                        kept.u2(file.u2(e) + shift).u2(file.u2(e + 2));
                    }
                    number++;
                    break;
                case "LocalVariableTable":
                case "LocalVariableTypeTable":
                    kept.put(file.bytes, place, 8);
                    for (int e = content + 2; e < content + length; e += 10) {
                        kept.u2(file.u2(e) + shift).put(file.bytes, e + 2, 8);
                    }
                    number++;
                    break;
                case "RuntimeVisibleTypeAnnotations":
                case "RuntimeInvisibleTypeAnnotations":
                    // They name places in the code, and no program can read them from there.
                    break;
                default:
                    throw new Unsure("attribute " + name);
            }
            place += 6 + length;
        }
        if (!mapped && prologue.frames.size() > 0 && file.major >= 50) {
            int name = file.addUtf8("StackMapTable");
            kept.u2(name).u4(2 + prologue.frames.size()).u2(prologue.frameCount).put(prologue.frames);
            number++;
        }
        body.u2(number).put(kept);
    }

    /** A stretch of code that goes before the method's own. */
    private static final class Prologue {
        final Bytes code = new Bytes();
        final Bytes frames = new Bytes();
        int frameCount;
        int lastFrame = -1;
        int stack;
        int locals;
        int tryStart;
        int tryEnd;
        int handler;
    }

    private Prologue before(Edit edit) {
        Prologue prologue = new Prologue();
        Bytes code = prologue.code;
        boolean replaces = edit.kind == Edit.Kind.REPLACE;
        Bytes call = new Bytes();
        prologue.stack = Math.max(1, pass(edit, call));
        call.u1(0xb8).u2(hook(edit, passed(edit) + (replaces ? OBJECT : "V")));
        if (replaces) {
            String type = types[index(edit.replaces)];
            if (!("L" + edit.type + ";").equals(type)) {
                throw new Unsure("a parameter of " + edit.method + " is " + type);
            }
            call.u1(0xc0).u2(file.addClass(edit.type));
            local(call, 0x3a, 0x4b, slots[index(edit.replaces)]);
        }
        pad(code, call.size());
        code.put(call);
        return prologue;
    }

    private static void pad(Bytes code, int size) {
        for (int i = size; i % 4 != 0; i++) {
            code.u1(0);
        }
    }

    /**
     * Opens a scope, has the method call itself in it, and closes it whatever comes. The inner call asks
     * for a scope too, and gets none, since it is inside. So nothing in the method's own code is touched,
     * no method is added, and the stack shows the method twice.
     */
    private Prologue around(Edit edit) {
        if (edit.method.startsWith("<") || slotsTaken > 250) {
            throw new Unsure("cannot go around " + edit.method);
        }
        Prologue prologue = new Prologue();
        int scope = slotsTaken;
        int close = file.addMethod(file.addClass(HOOKS), "close", "(" + OBJECT + ")V");
        int self = file.addMethod(file.thisIndex, edit.method, descriptor);
        Bytes open = new Bytes();
        int passedSlots = pass(edit, open);
        open.u1(0xb8).u2(hook(edit, passed(edit) + OBJECT));
        local(open, 0x3a, 0x4b, scope);
        local(open, 0x19, 0x2a, scope);

        Bytes inner = new Bytes();
        for (int i = 0; i < parameters; i++) {
            load(inner, kinds[i], slots[i]);
        }
        inner.u1(isStatic ? 0xb8 : 0xb7).u2(self);
        Bytes after = new Bytes();
        local(after, 0x19, 0x2a, scope);
        after.u1(0xb8).u2(close);
        after.u1(returnOpcode());
        Bytes handler = new Bytes();
        local(handler, 0x19, 0x2a, scope);
        handler.u1(0xb8).u2(close);
        handler.u1(0xbf);

        Bytes code = prologue.code;
        int jump = open.size();
        prologue.tryStart = jump + 3;
        prologue.tryEnd = prologue.tryStart + inner.size();
        prologue.handler = prologue.tryEnd + after.size();
        int rest = prologue.handler + handler.size();
        code.put(open).u1(0xc6).u2(rest - jump).put(inner).put(after).put(handler);
        // At least one, so that the place where the method goes on is not where its own first frame may be.
        do {
            code.u1(0);
        } while (code.size() % 4 != 0);
        prologue.stack = Math.max(passedSlots, slotsTaken + 2) + 2;
        prologue.locals = slotsTaken + 1;

        if (file.major >= 50) {
            Bytes frames = prologue.frames;
            frames.u1(255).u2(prologue.handler).u2(parameters + 1);
            parameterTypes(frames);
            frames.u1(7).u2(file.addClass("java/lang/Object"));
            frames.u2(1).u1(7).u2(file.addClass("java/lang/Throwable"));
            frames.u1(255).u2(rest - prologue.handler - 1).u2(parameters);
            parameterTypes(frames);
            frames.u2(0);
            prologue.frameCount = 2;
            prologue.lastFrame = rest;
        }
        return prologue;
    }

    private void parameterTypes(Bytes frames) {
        for (int i = 0; i < parameters; i++) {
            switch (kinds[i]) {
                case 'I': frames.u1(1); break;
                case 'F': frames.u1(2); break;
                case 'D': frames.u1(3); break;
                case 'J': frames.u1(4); break;
                default:
                    String type = types[i];
                    frames.u1(7).u2(type == null ? file.thisIndex
                            : file.addClass(type.charAt(0) == '[' ? type : type.substring(1, type.length() - 1)));
            }
        }
    }

    private int hook(Edit edit, String hookDescriptor) {
        return file.addMethod(file.addClass(HOOKS), edit.hook, hookDescriptor);
    }

    private int index(int parameter) {
        int index = isStatic ? parameter - 1 : parameter;
        if (index < 0 || index >= parameters) {
            throw new Unsure("no parameter " + parameter);
        }
        return index;
    }

    /** Loads what goes to the hook and returns how high the stack gets. */
    private int pass(Edit edit, Bytes code) {
        for (int parameter : edit.passes) {
            int index = index(parameter);
            load(code, kinds[index], slots[index]);
        }
        return edit.passes.length;
    }

    private String passed(Edit edit) {
        StringBuilder text = new StringBuilder("(");
        for (int parameter : edit.passes) {
            char kind = kinds[index(parameter)];
            if (kind == 'L') {
                text.append(OBJECT);
            } else if (types[index(parameter)].equals("Z")) {
                text.append('Z');
            } else {
                throw new Unsure("a parameter of " + edit.method + " is a number");
            }
        }
        return text.append(')').toString();
    }

    private static void load(Bytes code, char kind, int slot) {
        switch (kind) {
            case 'I': local(code, 0x15, 0x1a, slot); break;
            case 'J': local(code, 0x16, 0x1e, slot); break;
            case 'F': local(code, 0x17, 0x22, slot); break;
            case 'D': local(code, 0x18, 0x26, slot); break;
            default: local(code, 0x19, 0x2a, slot);
        }
    }

    private static void local(Bytes code, int opcode, int shortOpcode, int slot) {
        if (slot < 4) {
            code.u1(shortOpcode + slot);
        } else {
            code.u1(opcode).u1(slot);
        }
    }

    private int returnOpcode() {
        switch (returns) {
            case 'V': return 0xb1;
            case 'I': return 0xac;
            case 'J': return 0xad;
            case 'F': return 0xae;
            case 'D': return 0xaf;
            default: return 0xb0;
        }
    }

    private void readParameters() {
        if (!isStatic) {
            parameter('L', null);
        }
        int place = 1;
        while (descriptor.charAt(place) != ')') {
            int end = typeEnd(place);
            String type = descriptor.substring(place, end);
            parameter(kind(type), type);
            place = end;
        }
        returns = kind(descriptor.substring(place + 1));
    }

    private void parameter(char kind, String type) {
        kinds[parameters] = kind;
        types[parameters] = type;
        slots[parameters++] = slotsTaken;
        slotsTaken += kind == 'J' || kind == 'D' ? 2 : 1;
    }

    private int typeEnd(int place) {
        while (descriptor.charAt(place) == '[') {
            place++;
        }
        return descriptor.charAt(place) == 'L' ? descriptor.indexOf(';', place) + 1 : place + 1;
    }

    private static char kind(String type) {
        switch (type.charAt(0)) {
            case 'Z': case 'B': case 'C': case 'S': case 'I': return 'I';
            case 'J': return 'J';
            case 'F': return 'F';
            case 'D': return 'D';
            case 'V': return 'V';
            default: return 'L';
        }
    }

    /** Where the one call of the edit's interface is, in the bytes of the class. */
    private int onlyCall(Edit edit, int start, int length) {
        int found = -1;
        int place = start;
        int end = start + length;
        while (place < end) {
            if (file.u1(place) == 0xb9 && file.isMethod(file.u2(place + 1), ClassFile.INTERFACE_METHOD,
                    edit.type, edit.target, edit.targetDescriptor)) {
                if (found >= 0) {
                    throw new Unsure(edit.method + " calls " + edit.target + " twice");
                }
                found = place;
            }
            place = Instructions.after(file, start, place);
        }
        if (found < 0 || place != end) {
            throw new Unsure(edit.method + " does not call " + edit.target);
        }
        return found;
    }
}
