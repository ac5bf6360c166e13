package throughline.forward;

/** One change to one method, as a few words: which method, what is called, and what with. */
final class Edit {
    enum Kind {
        /** Calls the hook before the method's first instruction. */
        CALL,
        /** Calls the hook before the first instruction, and what it returns takes a parameter's place. */
        REPLACE,
        /** Asks the hook for a scope; when there is one, the method calls itself and closes it after. */
        AROUND,
        /** A call of an interface that the method makes goes to the hook, with the same arguments. */
        REDIRECT
    }

    final Kind kind;
    final String method;
    /** The whole descriptor, or how it begins where the rest differs between versions. */
    final String descriptor;
    final String hook;
    /** The numbers of the parameters to pass, 0 for the object itself. */
    final int[] passes;
    /** REPLACE: the parameter, counted like {@link #passes}. */
    final int replaces;
    /** REPLACE: the class that the parameter has. REDIRECT: the interface that is called. */
    final String type;
    /** REDIRECT: the method of the interface and its descriptor, which is the hook's but for the interface. */
    final String target;
    final String targetDescriptor;
    /** Whether the class may do without this method: older and newer versions have others. */
    boolean optional;

    private Edit(Kind kind, String method, String descriptor, String hook, int[] passes, int replaces, String type,
            String target, String targetDescriptor) {
        this.kind = kind;
        this.method = method;
        this.descriptor = descriptor;
        this.hook = hook;
        this.passes = passes;
        this.replaces = replaces;
        this.type = type;
        this.target = target;
        this.targetDescriptor = targetDescriptor;
    }

    static Edit call(String method, String descriptor, String hook, int... passes) {
        return new Edit(Kind.CALL, method, descriptor, hook, passes, -1, null, null, null);
    }

    static Edit replace(String method, String descriptor, int replaces, String type, String hook, int... passes) {
        return new Edit(Kind.REPLACE, method, descriptor, hook, passes, replaces, type, null, null);
    }

    static Edit around(String method, String descriptor, String hook, int... passes) {
        return new Edit(Kind.AROUND, method, descriptor, hook, passes, -1, null, null, null);
    }

    static Edit redirect(String method, String descriptor, String type, String target, String targetDescriptor,
            String hook) {
        return new Edit(Kind.REDIRECT, method, descriptor, hook, new int[0], -1, type, target, targetDescriptor);
    }

    Edit ifThere() {
        optional = true;
        return this;
    }

    boolean fits(String name, String type) {
        return name.equals(method)
                && (descriptor.endsWith("*")
                        ? type.startsWith(descriptor.substring(0, descriptor.length() - 1))
                        : type.equals(descriptor));
    }
}
