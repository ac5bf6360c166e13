package PACKAGE;

import forwarding.Server;
import java.io.File;
import java.nio.file.Files;
import org.apache.catalina.Context;
import org.apache.catalina.Wrapper;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/** Tomcat in the process. */
public final class TomcatServer implements Server {
    @Override
    public int start(int port, int threads, App app) throws Exception {
        java.util.logging.Logger.getLogger("org.apache").setLevel(java.util.logging.Level.WARNING);
        Tomcat tomcat = new Tomcat();
        File base = Files.createTempDirectory("tomcat").toFile();
        base.deleteOnExit();
        tomcat.setBaseDir(base.getPath());
        Connector connector = new Connector("HTTP/1.1");
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(port);
        connector.setProperty("maxThreads", "" + threads);
        connector.setProperty("minSpareThreads", "1");
        connector.setProperty("maxKeepAliveRequests", "-1");
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Wrapper wrapper = Tomcat.addServlet(context, "app", new Servlet(app));
        wrapper.setAsyncSupported(true);
        context.addServletMappingDecoded("/*", "app");
        tomcat.start();
        return connector.getLocalPort();
    }
}
