package forwarding;

import java.io.InputStream;
import java.io.OutputStream;
import java.net.HttpURLConnection;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.ProxySelector;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;

/** Each client in one line of the app: a call to a URL, with header lines of the app's own. */
final class Clients {
    interface Client {
        /** Calls and gives what the client says of the headers that it sent, as far as it says anything. */
        String call(String url, String... headers) throws Exception;
    }

    private final Map<String, Client> all = new LinkedHashMap<>();
    final HttpClient http;

    /** @param proxyPort where a proxy is, 0 for none */
    Clients(int proxyPort) {
        InetSocketAddress proxy = proxyPort == 0 ? null : new InetSocketAddress("127.0.0.1", proxyPort);
        Proxy urlProxy = proxy == null ? Proxy.NO_PROXY : new Proxy(Proxy.Type.HTTP, proxy);
        HttpClient.Builder builder = HttpClient.newBuilder().followRedirects(HttpClient.Redirect.NORMAL);
        http = (proxy == null ? builder : builder.proxy(ProxySelector.of(proxy))).build();
        all.put("url-get", (url, headers) -> urlConnection(urlProxy, url, null, headers));
        all.put("url-post", (url, headers) -> urlConnection(urlProxy, url, "body", headers));
        all.put("send", (url, headers) -> shown(http.send(request(url, headers), HttpResponse.BodyHandlers.ofString())));
        all.put("send-async", (url, headers) ->
                shown(http.sendAsync(request(url, headers), HttpResponse.BodyHandlers.ofString()).get()));
        try {
            all.put("apache4", apache4(proxyPort));
            all.put("apache5", apache5(proxyPort));
            all.put("okhttp", okhttp(proxy, false));
            all.put("okhttp-queue", okhttp(proxy, true));
        } catch (NoClassDefFoundError absent) {
            throw new IllegalStateException("a client's archive is missing: " + absent.getMessage());
        }
    }

    Map<String, Client> all() {
        return all;
    }

    Client get(String name) {
        return all.get(name);
    }

    static HttpRequest request(String url, String... headers) {
        HttpRequest.Builder builder = HttpRequest.newBuilder(URI.create(url));
        for (String header : headers) {
            builder.header(header.split(": ", 2)[0], header.split(": ", 2)[1]);
        }
        return builder.build();
    }

    private static String shown(HttpResponse<String> response) {
        return response.body() + response.request().headers().map().keySet();
    }

    private static String urlConnection(Proxy proxy, String url, String body, String... headers) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection(proxy);
        for (String header : headers) {
            connection.setRequestProperty(header.split(": ", 2)[0], header.split(": ", 2)[1]);
        }
        if (body != null) {
            connection.setDoOutput(true);
            try (OutputStream out = connection.getOutputStream()) {
                out.write(body.getBytes());
            }
        }
        try (InputStream in = connection.getInputStream()) {
            return new String(in.readAllBytes()) + "[" + connection.getRequestProperty("throughline-forwarder") + "]";
        }
    }

    private static Client apache4(int proxyPort) {
        org.apache.http.impl.client.HttpClientBuilder builder = org.apache.http.impl.client.HttpClients.custom()
                .setMaxConnTotal(64).setMaxConnPerRoute(64);
        if (proxyPort != 0) {
            builder.setProxy(new org.apache.http.HttpHost("127.0.0.1", proxyPort));
        }
        org.apache.http.impl.client.CloseableHttpClient client = builder.build();
        return (url, headers) -> {
            org.apache.http.client.methods.HttpGet get = new org.apache.http.client.methods.HttpGet(url);
            for (String header : headers) {
                get.addHeader(header.split(": ", 2)[0], header.split(": ", 2)[1]);
            }
            var context = org.apache.http.client.protocol.HttpClientContext.create();
            try (var response = client.execute(get, context)) {
                return org.apache.http.util.EntityUtils.toString(response.getEntity())
                        + (context.getRequest().containsHeader("throughline-forwarder") ? "[marker]" : "[]");
            }
        };
    }

    private static Client apache5(int proxyPort) {
        var manager = org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder.create()
                .setMaxConnTotal(64).setMaxConnPerRoute(64).build();
        var builder = org.apache.hc.client5.http.impl.classic.HttpClients.custom().setConnectionManager(manager);
        if (proxyPort != 0) {
            builder.setProxy(new org.apache.hc.core5.http.HttpHost("127.0.0.1", proxyPort));
        }
        var client = builder.build();
        return (url, headers) -> {
            var get = new org.apache.hc.client5.http.classic.methods.HttpGet(url);
            for (String header : headers) {
                get.addHeader(header.split(": ", 2)[0], header.split(": ", 2)[1]);
            }
            var context = org.apache.hc.client5.http.protocol.HttpClientContext.create();
            return client.execute(get, context, response ->
                    org.apache.hc.core5.http.io.entity.EntityUtils.toString(response.getEntity())
                            + (context.getRequest().containsHeader("throughline-forwarder") ? "[marker]" : "[]"));
        };
    }

    private static Client okhttp(InetSocketAddress proxy, boolean queue) {
        okhttp3.Dispatcher dispatcher = new okhttp3.Dispatcher(java.util.concurrent.Executors.newCachedThreadPool(
                Clients::daemon));
        // Fewer than there are requests, so that one request's thread starts the calls of others.
        dispatcher.setMaxRequests(6);
        dispatcher.setMaxRequestsPerHost(6);
        okhttp3.OkHttpClient client = new okhttp3.OkHttpClient.Builder().dispatcher(dispatcher)
                .proxy(proxy == null ? Proxy.NO_PROXY : new Proxy(Proxy.Type.HTTP, proxy)).build();
        return (url, headers) -> {
            okhttp3.Request.Builder request = new okhttp3.Request.Builder().url(url);
            for (String header : headers) {
                request.addHeader(header.split(": ", 2)[0], header.split(": ", 2)[1]);
            }
            okhttp3.Call call = client.newCall(request.build());
            okhttp3.Response response = queue ? queued(call) : call.execute();
            try (okhttp3.Response open = response) {
                return open.body().string() + open.request().headers().names();
            }
        };
    }

    private static okhttp3.Response queued(okhttp3.Call call) throws Exception {
        CountDownLatch done = new CountDownLatch(1);
        AtomicReference<Object> answer = new AtomicReference<>();
        call.enqueue(new okhttp3.Callback() {
            @Override
            public void onFailure(okhttp3.Call call, java.io.IOException error) {
                answer.set(error);
                done.countDown();
            }

            @Override
            public void onResponse(okhttp3.Call call, okhttp3.Response response) {
                answer.set(response);
                done.countDown();
            }
        });
        done.await();
        if (answer.get() instanceof Exception) {
            throw (Exception) answer.get();
        }
        return (okhttp3.Response) answer.get();
    }

    static Thread daemon(Runnable task) {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    }
}
