import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.security.MessageDigest;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import javax.servlet.AsyncContext;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.client.methods.HttpPost;
import org.apache.http.client.methods.HttpUriRequest;
import org.apache.http.entity.ContentType;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;
import org.eclipse.jetty.servlet.ServletContextHandler;
import org.eclipse.jetty.servlet.ServletHolder;

/** The shop as an asynchronous servlet in Jetty: each request is handed to a pool, and futures call with Apache's client. */
public class AsyncServletShop extends HttpServlet {
    private static final long serialVersionUID = 1;
    static final String PAYMENTS = System.getenv("PAYMENTS_URL");
    static final String STOCK = System.getenv("STOCK_URL");
    static final String PRICES = System.getenv("PRICES_URL");
    static final ExecutorService HANDLERS = Executors.newFixedThreadPool(16);
    static final ExecutorService CALLERS = Executors.newFixedThreadPool(32);
    static final CloseableHttpClient CLIENT =
            HttpClients.custom().setMaxConnTotal(64).setMaxConnPerRoute(64).disableAutomaticRetries().build();
    static final AtomicLong CALLS = new AtomicLong();
    static OutputStream witness;

    static void work() {
        try {
            MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
            byte[] digest = "shop".getBytes();
            int rounds = ThreadLocalRandom.current().nextInt(800, 4000);
            for (int i = 0; i < rounds; i++) {
                digest = sha256.digest(digest);
            }
        } catch (Exception error) {
            throw new IllegalStateException(error);
        }
    }

    static String call(String span, HttpUriRequest call) {
        try {
            long number = CALLS.incrementAndGet();
            witness.write((span + " " + number + "\n").getBytes());
            call.setHeader("x-call-number", "" + number);
            try (CloseableHttpResponse answer = CLIENT.execute(call)) {
                if (answer.getStatusLine().getStatusCode() != 200) {
                    throw new IllegalStateException(call.getURI() + " answered " + answer.getStatusLine());
                }
                return EntityUtils.toString(answer.getEntity());
            }
        } catch (IOException error) {
            throw new CompletionException(error);
        }
    }

    static String charge(String span) {
        HttpPost post = new HttpPost(PAYMENTS + "/charges");
        post.setEntity(new StringEntity("{\"amount\":1200}", ContentType.APPLICATION_JSON));
        return call(span, post);
    }

    static String items(String span) {
        return call(span, new HttpGet(STOCK + "/items"));
    }

    static void send(AsyncContext context, String answer, Throwable error) {
        HttpServletResponse response = (HttpServletResponse) context.getResponse();
        try {
            if (error != null) {
                error.printStackTrace();
                response.setStatus(502);
            } else {
                response.setContentType("application/json");
                response.getOutputStream().write(answer.getBytes());
            }
        } catch (IOException gone) {
            gone.printStackTrace();
        } finally {
            context.complete();
        }
    }

    @Override
    protected void doGet(HttpServletRequest request, HttpServletResponse response) {
        AsyncContext context = request.startAsync();
        String path = request.getServletPath();
        String parent = request.getHeader("traceparent");
        String span = parent == null ? "" : parent.split("-")[2];
        switch (path) {
            case "/checkout":
                CompletableFuture.runAsync(AsyncServletShop::work, CALLERS)
                        .thenApply(done -> charge(span))
                        .thenApplyAsync(charge -> {
                            work();
                            String items = items(span);
                            work();
                            return "{\"charge\":" + charge + ",\"items\":" + items + "}";
                        }, CALLERS)
                        .whenComplete((answer, error) -> send(context, answer, error));
                break;
            case "/browse":
                HANDLERS.execute(() -> {
                    String answer = null;
                    Throwable failure = null;
                    try {
                        work();
                        answer = "{\"items\":" + items(span) + "}";
                        work();
                    } catch (RuntimeException error) {
                        failure = error;
                    }
                    send(context, answer, failure);
                });
                break;
            case "/quote":
                work();
                CompletableFuture.supplyAsync(() -> call(span, new HttpGet(PRICES + "/prices")), CALLERS)
                        .thenCombine(CompletableFuture.supplyAsync(() -> items(span), CALLERS), (price, items) -> {
                            work();
                            return "{\"price\":" + price + ",\"items\":" + items + "}";
                        })
                        .whenComplete((answer, error) -> send(context, answer, error));
                break;
            default:
                send(context, "{\"healthy\":true}", null);
        }
    }

    public static void main(String[] arguments) throws Exception {
        witness = new FileOutputStream(System.getenv("WITNESS"), true);
        Server server = new Server();
        ServerConnector connector = new ServerConnector(server);
        connector.setHost("127.0.0.1");
        connector.setPort(Integer.parseInt(System.getenv("PORT")));
        server.addConnector(connector);
        ServletContextHandler context = new ServletContextHandler();
        ServletHolder shop = new ServletHolder(new AsyncServletShop());
        shop.setAsyncSupported(true);
        for (String path : new String[] {"/checkout", "/browse", "/quote", "/health"}) {
            context.addServlet(shop, path);
        }
        server.setHandler(context);
        server.start();
        server.join();
    }
}
