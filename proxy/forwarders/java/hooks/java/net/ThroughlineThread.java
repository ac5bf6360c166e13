package java.net;

/** What a thread is working for. */
final class ThroughlineThread {
    private static final ThreadLocal<ThroughlineThread> HERE = new ThreadLocal<>();

    /** The request, null for none that is known. */
    ThroughlineContext context;
    /**
     * Whether the server itself put the thread to the request. A task that the request handed to a pool
     * works for it too, but what that task hands on may be another's: it is not followed any further.
     */
    boolean own;

    /** Null where the thread never worked for a request. */
    static ThroughlineThread here() {
        return ThroughlineContext.any ? HERE.get() : null;
    }

    /** The request that the thread works for, when it is still open. */
    static ThroughlineContext context() {
        ThroughlineThread here = here();
        ThroughlineContext context = here == null ? null : here.context;
        return context != null && context.live() ? context : null;
    }

    /** The same, when the thread is the request's own. */
    static ThroughlineContext ownContext() {
        ThroughlineThread here = here();
        ThroughlineContext context = here == null || !here.own ? null : here.context;
        return context != null && context.live() ? context : null;
    }

    /** Has the thread work for {@code context}; null when it does so already. */
    static ThroughlineScope enter(ThroughlineContext context, boolean own) {
        ThroughlineThread here = here();
        if (here == null) {
            if (context == null) {
                return null;
            }
            here = new ThroughlineThread();
            HERE.set(here);
        }
        if (here.context == context && here.own == (own && context != null)) {
            return null;
        }
        ThroughlineScope scope = new ThroughlineScope(here);
        here.context = context;
        here.own = own && context != null;
        return scope;
    }

    /** The same for work that a request handed on: within the request's own handling it stays its own. */
    static ThroughlineScope enterTask(ThroughlineContext context) {
        ThroughlineThread here = here();
        if (here != null && here.context == context) {
            return null;
        }
        return enter(context, false);
    }
}
