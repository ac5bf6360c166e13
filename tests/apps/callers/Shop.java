import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.security.MessageDigest;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;

/** The shop on the server of the JDK: a pool of threads, each with one request, and one client. */
public class Shop {
    static final String PAYMENTS = System.getenv("PAYMENTS_URL");
    static final String STOCK = System.getenv("STOCK_URL");
    static final String PRICES = System.getenv("PRICES_URL");
    static final HttpClient CLIENT = HttpClient.newHttpClient();
    static final AtomicLong CALLS = new AtomicLong();
    static OutputStream witness;

    interface Page {
        String answer(HttpExchange exchange) throws Exception;
    }

    static void work() throws Exception {
        MessageDigest sha256 = MessageDigest.getInstance("SHA-256");
        byte[] digest = "shop".getBytes();
        int rounds = ThreadLocalRandom.current().nextInt(800, 4000);
        for (int i = 0; i < rounds; i++) {
            digest = sha256.digest(digest);
        }
    }

    static HttpRequest.Builder call(HttpExchange exchange, String url) throws IOException {
        long number = CALLS.incrementAndGet();
        String span = exchange.getRequestHeaders().getFirst("traceparent").split("-")[2];
        witness.write((span + " " + number + "\n").getBytes());
        return HttpRequest.newBuilder(URI.create(url)).header("x-call-number", "" + number);
    }

    static String body(HttpResponse<String> answer) {
        if (answer.statusCode() != 200) {
            throw new IllegalStateException(answer.uri() + " answered " + answer.statusCode());
        }
        return answer.body();
    }

    static String send(HttpRequest.Builder request) throws Exception {
        return body(CLIENT.send(request.build(), BodyHandlers.ofString()));
    }

    static CompletableFuture<String> begin(HttpRequest.Builder request) {
        return CLIENT.sendAsync(request.build(), BodyHandlers.ofString()).thenApply(Shop::body);
    }

    static String checkout(HttpExchange exchange) throws Exception {
        work();
        String charge = send(call(exchange, PAYMENTS + "/charges")
                .header("content-type", "application/json")
                .POST(BodyPublishers.ofString("{\"amount\":1200}")));
        work();
        String items = send(call(exchange, STOCK + "/items"));
        work();
        return "{\"charge\":" + charge + ",\"items\":" + items + "}";
    }

    static String browse(HttpExchange exchange) throws Exception {
        work();
        String items = send(call(exchange, STOCK + "/items"));
        work();
        return "{\"items\":" + items + "}";
    }

    static String quote(HttpExchange exchange) throws Exception {
        work();
        CompletableFuture<String> price = begin(call(exchange, PRICES + "/prices"));
        CompletableFuture<String> items = begin(call(exchange, STOCK + "/items"));
        String answer = "{\"price\":" + price.get() + ",\"items\":" + items.get() + "}";
        work();
        return answer;
    }

    static void serve(HttpServer server, String path, Page page) {
        server.createContext(path, exchange -> {
            try {
                byte[] answer = page.answer(exchange).getBytes();
                exchange.getResponseHeaders().set("content-type", "application/json");
                exchange.sendResponseHeaders(200, answer.length);
                exchange.getResponseBody().write(answer);
            } catch (Exception error) {
                error.printStackTrace();
                exchange.sendResponseHeaders(502, -1);
            } finally {
                exchange.close();
            }
        });
    }

    public static void main(String[] arguments) throws IOException {
        witness = new FileOutputStream(System.getenv("WITNESS"), true);
        int port = Integer.parseInt(System.getenv("PORT"));
        InetAddress here = InetAddress.getLoopbackAddress();
        HttpServer server = HttpServer.create(new InetSocketAddress(here, port), 128);
        server.setExecutor(Executors.newFixedThreadPool(16));
        serve(server, "/checkout", Shop::checkout);
        serve(server, "/browse", Shop::browse);
        serve(server, "/quote", Shop::quote);
        serve(server, "/health", exchange -> "{\"healthy\":true}");
        server.start();
    }
}
