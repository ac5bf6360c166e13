package forwarding;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executor;
import java.util.concurrent.Executors;

/** The JDK's own server. */
public final class SunServer implements Server {
    @Override
    public int start(int port, int threads, App app) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), port), 256);
        server.setExecutor(Executors.newFixedThreadPool(threads, task -> {
            Thread thread = new Thread(task);
            thread.setDaemon(true);
            return thread;
        }));
        server.createContext("/", exchange -> {
            SunPage page = new SunPage(exchange);
            try {
                app.handle(page);
            } catch (Exception error) {
                error.printStackTrace();
            } finally {
                if (!page.open) {
                    exchange.close();
                }
            }
        });
        server.start();
        return server.getAddress().getPort();
    }

    private static final class SunPage implements Page {
        private final HttpExchange exchange;
        private boolean open;

        SunPage(HttpExchange exchange) {
            this.exchange = exchange;
        }

        @Override
        public String path() {
            return exchange.getRequestURI().getPath();
        }

        @Override
        public String word(String name) {
            String query = exchange.getRequestURI().getQuery();
            if (query != null) {
                for (String word : query.split("&")) {
                    if (word.startsWith(name + "=")) {
                        return word.substring(name.length() + 1);
                    }
                }
            }
            return null;
        }

        @Override
        public void answer(String text) throws Exception {
            exchange.getResponseHeaders().set("content-type", "text/plain");
            exchange.sendResponseHeaders(200, text.length());
            exchange.getResponseBody().write(text.getBytes());
        }

        @Override
        public void close() {
            exchange.close();
        }

        @Override
        public void later(Executor pool, Work work) {
            open = true;
            HttpExchange held = exchange;
            pool.execute(() -> {
                try {
                    work.run();
                } catch (Exception error) {
                    error.printStackTrace();
                } finally {
                    held.close();
                }
            });
        }

        @Override
        public boolean start(Work work) {
            return false;
        }

        @Override
        public boolean dispatch(String path) {
            return false;
        }

        @Override
        public boolean timeout(long ms, Work work) {
            return false;
        }

        @Override
        public boolean hold() {
            open = true;
            return true;
        }

        @Override
        public void finish() {
            exchange.close();
        }
    }
}
