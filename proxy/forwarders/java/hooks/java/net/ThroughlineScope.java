package java.net;

/** A stretch of a thread's time, and what came before it. */
class ThroughlineScope {
    private final ThroughlineThread thread;
    private final ThroughlineContext before;
    private final boolean ownBefore;

    ThroughlineScope(ThroughlineThread thread) {
        this.thread = thread;
        this.before = thread == null ? null : thread.context;
        this.ownBefore = thread != null && thread.own;
    }

    /** Takes back what the scope stands for. */
    void close() throws Exception {
        thread.context = before;
        thread.own = ownBefore;
    }
}
