package forwarding;

import java.util.concurrent.Executor;

/** One request as the app sees it, whatever serves it. */
public interface Page {
    /** Something that the app can do only with its request in hand. */
    interface Work {
        void run() throws Exception;
    }

    String path();

    /** The value of a word in the query, null when it is not there. */
    String word(String name);

    void answer(String text) throws Exception;

    /** Ends the response at once. */
    void close() throws Exception;

    /** Hands the request itself over to a pool; the work answers, and the response ends after it. */
    void later(Executor pool, Work work) throws Exception;

    /** The same by a way that the server offers; false where it has none. */
    boolean start(Work work) throws Exception;

    /** Has the server handle the request again under another path; false where it cannot. */
    boolean dispatch(String path) throws Exception;

    /** Leaves the request open with nobody at work; at the timeout the work runs and answers. */
    boolean timeout(long ms, Work work) throws Exception;

    /** Leaves the request open until {@link #finish}; false where the server does not know that. */
    boolean hold() throws Exception;

    void finish() throws Exception;
}
