//! The apps that are measured, how each is reached and calls, and what is expected of each.

use std::path::Path;

use throughline_tests::{Collector, Protocol, Setup, apps::callers, free_port};

use crate::{
    load::{EXACT_LEVELS, LEVELS, Level},
    upstreams::Upstreams,
};

/// The apps that are held to [`Caller::GOAL`] however many requests are open, and not only at one.
///
/// It is to be `[Gunicorn, GunicornSession, Php]`, whose processes serve one request at a time, once the
/// owner of a socket counts as evidence. That alone suffices for gunicorn, where a worker holds one
/// connection. A worker of PHP accepts dozens while it serves one request (35 were seen with 64 at once),
/// and only what it has read from a connection tells which of them that is.
const HELD_TO_THE_GOAL: &[Caller] = &[Caller::Gunicorn, Caller::GunicornSession, Caller::Php];

/// An app in one of its runtimes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    /// Prefork; each call has a connection of its own.
    Gunicorn,
    /// Prefork; each worker keeps its connections.
    GunicornSession,
    /// One event loop.
    Uvicorn,
    /// One event loop.
    Node,
    /// Goroutines.
    Go,
    /// A pool of threads.
    Java,
    /// Prefork.
    Php,
    /// One event loop.
    Express,
    /// One event loop.
    Fastify,
    /// One event loop.
    Handlers,
    /// A pool of threads.
    Servlet,
    /// Two pools of threads.
    AsyncServlet,
    /// Two processes, each with a pool of threads.
    Django,
    /// One event loop.
    FastApi,
    /// One event loop.
    Aiohttp,
    /// A thread for each connection.
    Webrick,
    /// A pool of threads.
    Puma,
}

/// What an app is launched with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Launch {
    /// Nothing.
    Alone,
    /// The forwarder for its runtime.
    Forwarder,
}

impl Launch {
    /// How an app is pressed.
    pub(crate) fn levels(self) -> [Level; 4] {
        match self {
            Self::Alone => LEVELS,
            Self::Forwarder => EXACT_LEVELS,
        }
    }
}

/// How an app's calls get to the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Its client heeds `HTTP_PROXY`, for this very host too.
    Proxy,
    /// Its client does not, and calls fixed routes.
    Routes,
}

impl Caller {
    /// Its name, as the table and the files have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn",
            Self::GunicornSession => "gunicorn_session",
            Self::Uvicorn => "uvicorn",
            Self::Node => "node",
            Self::Go => "go",
            Self::Java => "java",
            Self::Php => "php",
            Self::Express => "express",
            Self::Fastify => "fastify",
            Self::Handlers => "handlers",
            Self::Servlet => "servlet",
            Self::AsyncServlet => "async_servlet",
            Self::Django => "django",
            Self::FastApi => "fastapi",
            Self::Aiohttp => "aiohttp",
            Self::Webrick => "webrick",
            Self::Puma => "puma",
        }
    }

    /// What it is, for a reader of the table.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Gunicorn => "gunicorn `sync`, `requests`",
            Self::GunicornSession => "gunicorn `sync`, `requests.Session`",
            Self::Uvicorn => "uvicorn, `httpx`",
            Self::Node => "Node, `fetch`",
            Self::Go => "Go `net/http`",
            Self::Java => "Java, 16 threads, `HttpClient`",
            Self::Php => "PHP, built-in server",
            Self::Express => "Express, axios",
            Self::Fastify => "Fastify, undici",
            Self::Handlers => "Handlers as in Next.js, `fetch`",
            Self::Servlet => "Tomcat, `HttpURLConnection`",
            Self::AsyncServlet => "Jetty, async servlet, Apache HttpClient",
            Self::Django => "Django, gunicorn `gthread`, `urllib3`",
            Self::FastApi => "FastAPI, uvicorn, `httpx`",
            Self::Aiohttp => "aiohttp on both sides",
            Self::Webrick => "Rack, WEBrick, `Net::HTTP`",
            Self::Puma => "Rack, Puma, 16 threads, `Net::HTTP`",
        }
    }

    /// The share of calls that must have the right parent, where that can be known.
    const GOAL: f64 = 0.99;

    /// The share that must with a forwarder, and none may have a wrong one.
    const EXACT: f64 = 0.995;

    /// The least share of its calls that must have the right parent while this many requests are open.
    pub(crate) fn expected_right(self, launch: Launch, at_once: usize) -> f64 {
        if launch == Launch::Forwarder {
            match self {
                // Its reactor reads what does not come at once, and then no thread is known to serve it.
                Self::Puma => 0.9,
                _ => Self::EXACT,
            }
        } else if at_once == 1 || HELD_TO_THE_GOAL.contains(&self) {
            Self::GOAL
        } else {
            0.0
        }
    }

    /// The sidecar that starts it, with `upstreams` behind and its witness at that path.
    pub(crate) fn setup(
        self,
        launch: Launch,
        upstreams: &Upstreams,
        witness: &Path,
        collector: &Collector,
    ) -> Setup {
        let command = self.command();
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        let mut setup = Setup::starting(&command)
            .flag("name", self.name())
            .variable("WITNESS", &witness.to_string_lossy())
            // Everything here is on one host, and its calls are to be traced all the same.
            .variable("THROUGHLINE_NO_PROXY", "")
            .exporting(collector, Protocol::Grpc)
            // Nothing is to be lost, and sending is not to disturb what is measured.
            .variable("OTEL_BSP_MAX_QUEUE_SIZE", "20000")
            .variable("OTEL_BSP_SCHEDULE_DELAY", "500");
        if let (Launch::Forwarder, Some(forwarder)) = (launch, self.forwarder()) {
            setup = setup
                .flag("forwarders", forwarder)
                // So that nothing else tells the same.
                .flag("process-evidence", "off");
        }
        match self {
            Self::Express => setup = setup.variable("NODE_PATH", &callers::express().1),
            Self::Fastify => setup = setup.variable("NODE_PATH", &callers::fastify().1),
            _ => {}
        }
        if self == Self::GunicornSession {
            setup = setup.variable("KEEP_CONNECTIONS", "1");
        }
        for (name, upstream) in upstreams.addresses() {
            let called = match self.way() {
                Way::Proxy => upstream.to_string(),
                Way::Routes => {
                    let route = format!("127.0.0.1:{}", free_port());
                    setup = setup.flag("route", &format!("{route}={upstream}"));
                    route
                }
            };
            setup = setup.variable(name, &format!("http://{called}"));
        }
        setup
    }

    /// The forwarder for its runtime, if there is one.
    fn forwarder(self) -> Option<&'static str> {
        match self {
            Self::Gunicorn
            | Self::GunicornSession
            | Self::Uvicorn
            | Self::Django
            | Self::FastApi
            | Self::Aiohttp => Some("python"),
            Self::Node | Self::Express | Self::Fastify | Self::Handlers => Some("node"),
            Self::Java | Self::Servlet | Self::AsyncServlet => Some("java"),
            Self::Php | Self::Webrick | Self::Puma => Some("signal"),
            // It is linked statically and asks the kernel itself: nothing can be launched with it.
            Self::Go => None,
        }
    }

    fn command(self) -> Vec<String> {
        match self {
            Self::Gunicorn | Self::GunicornSession => callers::gunicorn(),
            Self::Uvicorn => callers::uvicorn(),
            Self::Node => callers::javascript(),
            Self::Go => callers::go(),
            Self::Java => callers::java(),
            Self::Php => callers::php(),
            Self::Express => callers::express().0,
            Self::Fastify => callers::fastify().0,
            Self::Handlers => callers::handlers(),
            Self::Servlet => callers::servlet(),
            Self::AsyncServlet => callers::async_servlet(),
            Self::Django => callers::django(),
            Self::FastApi => callers::fastapi(),
            Self::Aiohttp => callers::aiohttp(),
            Self::Webrick => callers::webrick(),
            Self::Puma => callers::puma(),
        }
    }

    fn way(self) -> Way {
        match self {
            Self::Gunicorn
            | Self::GunicornSession
            | Self::Uvicorn
            | Self::Express
            | Self::FastApi => Way::Proxy,
            // Go never asks a proxy about this host, and the others never ask one unless told in code.
            Self::Node
            | Self::Go
            | Self::Java
            | Self::Php
            | Self::Fastify
            | Self::Handlers
            | Self::Servlet
            | Self::AsyncServlet
            | Self::Django
            | Self::Aiohttp
            | Self::Webrick
            | Self::Puma => Way::Routes,
        }
    }
}
