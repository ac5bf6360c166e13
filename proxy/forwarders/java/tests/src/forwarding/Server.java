package forwarding;

/** A server that hands each request to the app. */
public interface Server {
    /** What the app does with a request. */
    interface App {
        void handle(Page page) throws Exception;
    }

    /** Starts on a port, 0 for any, with so many threads for requests, and says which port it is. */
    int start(int port, int threads, App app) throws Exception;
}
