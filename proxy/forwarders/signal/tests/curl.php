<?php

// Calls by curl, for PHP's built-in server: on connections of their own, on a kept one, and two at once.

function handle(string $path): CurlHandle
{
    $number = getmypid() . '-' . hrtime(true);
    $span = explode('-', $_SERVER['HTTP_TRACEPARENT'])[2];
    file_put_contents(getenv('WITNESS'), "$span $number\n", FILE_APPEND);
    $handle = curl_init(getenv('STOCK_URL') . $path);
    curl_setopt_array($handle, [
        CURLOPT_RETURNTRANSFER => true,
        CURLOPT_HTTPHEADER => ["x-call-number: $number", 'x-case: ' . ltrim($path, '/')],
    ]);
    return $handle;
}

function together(): void
{
    $multi = curl_multi_init();
    foreach (['/together', '/together'] as $path) {
        curl_multi_add_handle($multi, handle($path));
    }
    do {
        curl_multi_exec($multi, $running);
        curl_multi_select($multi);
    } while ($running > 0);
}

function posts(): void
{
    $handle = handle('/posts');
    // More than curl sends along with the head, so that it asks first whether it may.
    curl_setopt($handle, CURLOPT_POSTFIELDS, str_repeat('x', 2_000_000));
    curl_exec($handle);
}

match ($_SERVER['REQUEST_URI']) {
    '/alone' => curl_exec(handle('/alone')),
    '/kept' => array_map(
        function (string $path) {
            static $kept = null;
            $kept ??= curl_init();
            $next = handle($path);
            $kept = $next;
            return curl_exec($kept);
        },
        ['/kept', '/kept'],
    ),
    '/together' => together(),
    '/posts' => posts(),
    default => null,
};
echo '{}';
