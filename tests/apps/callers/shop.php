<?php

// The shop under the server that PHP has built in: some processes, each with one request at a time.

function work(): void
{
    $digest = 'shop';
    for ($rounds = random_int(500, 3000); $rounds > 0; $rounds--) {
        $digest = hash('sha256', $digest, true);
    }
}

function call(string $method, string $url, ?array $body = null): mixed
{
    $number = getmypid() . '-' . hrtime(true);
    $span = explode('-', $_SERVER['HTTP_TRACEPARENT'])[2];
    file_put_contents(getenv('WITNESS'), "$span $number\n", FILE_APPEND);
    $options = ['method' => $method, 'header' => ["x-call-number: $number"], 'timeout' => 30];
    if ($body !== null) {
        $options['header'][] = 'content-type: application/json';
        $options['content'] = json_encode($body);
    }
    $answer = file_get_contents($url, false, stream_context_create(['http' => $options]));
    if ($answer === false) {
        http_response_code(502);
        exit;
    }
    return json_decode($answer);
}

function checkout(): array
{
    work();
    $charge = call('POST', getenv('PAYMENTS_URL') . '/charges', ['amount' => 1200]);
    work();
    $items = call('GET', getenv('STOCK_URL') . '/items');
    work();
    return ['charge' => $charge, 'items' => $items];
}

function browse(): array
{
    work();
    $items = call('GET', getenv('STOCK_URL') . '/items');
    work();
    return ['items' => $items];
}

function quote(): array
{
    work();
    $price = call('GET', getenv('PRICES_URL') . '/prices');
    $items = call('GET', getenv('STOCK_URL') . '/items');
    work();
    return ['price' => $price, 'items' => $items];
}

$answer = match ($_SERVER['REQUEST_URI']) {
    '/checkout' => checkout(),
    '/browse' => browse(),
    '/quote' => quote(),
    '/health' => ['healthy' => true],
    default => null,
};
http_response_code($answer === null ? 404 : 200);
header('content-type: application/json');
echo json_encode($answer);
