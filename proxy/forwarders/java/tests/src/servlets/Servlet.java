package PACKAGE;

import forwarding.Page;
import forwarding.Server;
import java.io.IOException;
import java.util.concurrent.Executor;
import javax.servlet.AsyncContext;
import javax.servlet.AsyncEvent;
import javax.servlet.AsyncListener;
import javax.servlet.ServletException;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;

/** The app as a servlet. The script that runs the tests also makes one of it for jakarta.servlet. */
public final class Servlet extends HttpServlet {
    private static final long serialVersionUID = 1;
    private final transient Server.App app;

    public Servlet(Server.App app) {
        this.app = app;
    }

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws ServletException, IOException {
        try {
            app.handle(new ServletPage(request, response));
        } catch (IOException | RuntimeException error) {
            throw error;
        } catch (Exception error) {
            throw new ServletException(error);
        }
    }

    private static final class ServletPage implements Page {
        private final HttpServletRequest request;
        private final HttpServletResponse response;
        private AsyncContext async;

        ServletPage(HttpServletRequest request, HttpServletResponse response) {
            this.request = request;
            this.response = response;
        }

        @Override
        public String path() {
            return request.getServletPath() + (request.getPathInfo() == null ? "" : request.getPathInfo());
        }

        @Override
        public String word(String name) {
            return request.getParameter(name);
        }

        @Override
        public void answer(String text) throws Exception {
            response.setContentType("text/plain");
            response.setContentLength(text.length());
            response.getOutputStream().write(text.getBytes());
        }

        @Override
        public void close() throws Exception {
            response.getOutputStream().close();
        }

        @Override
        public void later(Executor pool, Work work) {
            AsyncContext held = request.startAsync();
            held.setTimeout(60_000);
            pool.execute(() -> {
                try {
                    work.run();
                } catch (Exception error) {
                    error.printStackTrace();
                } finally {
                    held.complete();
                }
            });
        }

        @Override
        public boolean start(Work work) {
            AsyncContext held = request.startAsync();
            held.setTimeout(60_000);
            held.start(() -> {
                try {
                    work.run();
                } catch (Exception error) {
                    error.printStackTrace();
                } finally {
                    held.complete();
                }
            });
            return true;
        }

        @Override
        public boolean dispatch(String path) {
            AsyncContext held = request.startAsync();
            held.dispatch(path);
            return true;
        }

        @Override
        public boolean timeout(long ms, Work work) {
            AsyncContext held = request.startAsync();
            held.setTimeout(ms);
            held.addListener(new AsyncListener() {
                @Override
                public void onTimeout(AsyncEvent event) throws IOException {
                    try {
                        work.run();
                    } catch (Exception error) {
                        throw new IOException(error);
                    } finally {
                        held.complete();
                    }
                }

                @Override
                public void onComplete(AsyncEvent event) {}

                @Override
                public void onError(AsyncEvent event) {}

                @Override
                public void onStartAsync(AsyncEvent event) {}
            });
            return true;
        }

        @Override
        public boolean hold() {
            async = request.startAsync();
            async.setTimeout(60_000);
            return true;
        }

        @Override
        public void finish() {
            async.complete();
        }
    }
}
