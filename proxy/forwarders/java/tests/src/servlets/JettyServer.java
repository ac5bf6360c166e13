package PACKAGE;

import forwarding.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;
import org.eclipse.jetty.util.thread.QueuedThreadPool;

/** Jetty in the process. */
public final class JettyServer implements Server {
    @Override
    public int start(int port, int threads, App app) throws Exception {
        // An acceptor and a selector have threads of their own.
        QueuedThreadPool pool = new QueuedThreadPool(threads + 3, threads + 3);
        pool.setDaemon(true);
        org.eclipse.jetty.server.Server server = new org.eclipse.jetty.server.Server(pool);
        ServerConnector connector = new ServerConnector(server, 1, 1);
        connector.setHost("127.0.0.1");
        connector.setPort(port);
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        context.setContextPath("/");
        ServletHolder holder = new ServletHolder(new Servlet(app));
        holder.setAsyncSupported(true);
        context.addServlet(holder, "/*");
        server.setHandler(context);
        server.start();
        return connector.getLocalPort();
    }
}
