import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.URL;
import java.nio.file.Files;
import java.security.MessageDigest;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.logging.Level;
import java.util.logging.Logger;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.startup.Tomcat;

/** The shop as a servlet in Tomcat: a thread for each request, HttpURLConnection, and a pool for two calls at once. */
public class ServletShop extends HttpServlet {
    private static final long serialVersionUID = 1;
    static final String PAYMENTS = System.getenv("PAYMENTS_URL");
    static final String STOCK = System.getenv("STOCK_URL");
    static final String PRICES = System.getenv("PRICES_URL");
    static final ExecutorService POOL = Executors.newFixedThreadPool(16);
    static final AtomicLong CALLS = new AtomicLong();
    static OutputStream witness;

    static void work() throws Exception {
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        byte[] digest = "shop".getBytes();
        int rounds = ThreadLocalRandom.current().nextInt(800, 4000);
        for (int i = 0; i < rounds; i++) {
            digest = sha256.digest(digest);
        }
    }

    static HttpURLConnection call(HttpServletRequest request, String url) throws IOException {
        long number = CALLS.incrementAndGet();
        String span = request.getHeader("traceparent").split("-")[2];
        witness.write((span + " " + number + "\n").getBytes());
        HttpURLConnection call = (HttpURLConnection) new URL(url).openConnection();
        call.setRequestProperty("x-call-number", "" + number);
        return call;
    }

    static String body(HttpURLConnection call) throws IOException {
        if (call.getResponseCode() != 200) {
            throw new IllegalStateException(call.getURL() + " answered " + call.getResponseCode());
        }
        try (InputStream in = call.getInputStream()) {
            return new String(in.readAllBytes());
        }
    }

    static String checkout(HttpServletRequest request) throws Exception {
        work();
        HttpURLConnection call = call(request, PAYMENTS + "/charges");
        call.setRequestProperty("content-type", "application/json");
        call.setDoOutput(true);
        try (OutputStream out = call.getOutputStream()) {
            out.write("{\"amount\":1200}".getBytes());
        }
        String charge = body(call);
        work();
        String items = body(call(request, STOCK + "/items"));
        work();
        return "{\"charge\":" + charge + ",\"items\":" + items + "}";
    }

    static String browse(HttpServletRequest request) throws Exception {
        work();
        String items = body(call(request, STOCK + "/items"));
        work();
        return "{\"items\":" + items + "}";
    }

    static String quote(HttpServletRequest request) throws Exception {
        work();
        HttpURLConnection asked = call(request, PRICES + "/prices");
        Future<String> price = POOL.submit(() -> body(asked));
        String items = body(call(request, STOCK + "/items"));
        String answer = "{\"price\":" + price.get() + ",\"items\":" + items + "}";
        work();
        return answer;
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
        String answer;
        try {
            switch (request.getServletPath()) {
                case "/checkout": answer = checkout(request); break;
                case "/browse": answer = browse(request); break;
                case "/quote": answer = quote(request); break;
                default: answer = "{\"healthy\":true}";
            }
        } catch (Exception error) {
            error.printStackTrace();
            response.sendError(502);
            return;
        }
        response.setContentType("application/json");
        response.getOutputStream().write(answer.getBytes());
    }

    public static void main(String[] arguments) throws Exception {
        witness = new FileOutputStream(System.getenv("WITNESS"), true);
        Logger.getLogger("org.apache").setLevel(Level.WARNING);
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(Files.createTempDirectory("shop").toString());
        Connector connector = new Connector();
        connector.setProperty("address", "127.0.0.1");
        connector.setPort(Integer.parseInt(System.getenv("PORT")));
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "shop", new ServletShop());
        for (String path : new String[] {"/checkout", "/browse", "/quote", "/health"}) {
            context.addServletMapping(path, "shop");
        }
        tomcat.start();
        tomcat.getServer().await();
    }
}
