"""Real servers and clients, with 64 requests at once: how many of their calls get the right parent, and
that none gets a wrong one. The shops are those of `tests/apps/callers`."""

import concurrent.futures
import contextlib
import glob
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

from sidecar import HERE, LIBRARY, Sidecar, environment, running, value_of, wait_until

SHOPS = os.path.normpath(os.path.join(HERE, "..", "..", "..", "..", "tests", "apps", "callers"))
# An interpreter that has what requirements.txt names.
PYTHON = os.environ.get("SIGNAL_PYTHON", sys.executable)
PAGES = ["/checkout", "/browse", "/quote", "/health"]


def needs(*programs):
    missing = [program for program in programs if not shutil.which(program)]
    return unittest.skipIf(missing, f"{', '.join(missing)} missing")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


class Shop(Sidecar):
    """A sidecar that reads the truth in the shop's witness."""

    def __init__(self, directory, **options):
        self.witness = os.path.join(directory, "witness")
        open(self.witness, "wb").close()
        self.spans = {}
        self.noted = {}
        self.half = ""
        self.reading = open(self.witness, "r")
        self.reading_lock = threading.Lock()
        super().__init__(directory, cause=self.told, **options)

    def told(self, head):
        number = value_of(head, b"x-call-number")
        if number is None:
            return 0
        span = None

        def is_noted():
            nonlocal span
            with self.reading_lock:
                # A line may be there by half.
                *lines, self.half = (self.half + self.reading.read()).split("\n")
                for line in lines:
                    value, noted = line.split()
                    self.noted[noted] = value
                span = self.noted.get(number.decode())
            return span is not None

        wait_until(is_noted)
        return self.spans[span]

    def close(self):
        super().close()
        self.reading.close()

    def visit(self, port, path, kept, **options):
        """On a kept connection, as long as the app keeps it."""
        while True:
            is_new = not kept
            connection = kept.pop() if kept else self.connect(port)
            span = f"{random.getrandbits(63) + 1:016x}"
            self.spans[span] = connection.getsockname()[1]
            try:
                answer = self.request(connection, path, [f"traceparent: 00-{span * 2}-{span}-01"], **options)
            except BrokenPipeError:
                answer = None
            if answer is None:
                connection.close()
                if is_new:
                    raise AssertionError(f"{path} was not answered")
                continue
            head, _ = answer
            if not head.startswith(b"HTTP/1.1 200"):
                raise AssertionError(head)
            if (
                (value_of(head, b"connection") or b"").lower() == b"close"
                or value_of(head, b"content-length") is None
                and not value_of(head, b"transfer-encoding")
            ):
                connection.close()
            else:
                kept.append(connection)
            return


class Apps(unittest.TestCase):
    def load(
        self,
        name,
        command,
        pages=PAGES,
        wide=64,
        requests=1200,
        least=0.9,
        background=False,
        port=None,
        **changes,
    ):
        """Most calls have to be right, so that a test cannot pass by saying nothing."""
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            sidecar = Shop(directory, delay=0.004)
            with contextlib.closing(sidecar):
                os.chmod(sidecar.witness, 0o666)
                port = port or free_port()
                upstream = f"http://127.0.0.1:{sidecar.via}"
                variables = environment(
                    sidecar,
                    THROUGHLINE_FORWARD_DEBUG="1",
                    PORT=str(port),
                    WITNESS=sidecar.witness,
                    PAYMENTS_URL=upstream,
                    STOCK_URL=upstream,
                    PRICES_URL=upstream,
                    PYTHONPATH=SHOPS,
                    SHOP=os.path.join(SHOPS, "rack_shop.ru"),
                    **changes,
                )
                log = open(os.path.join(directory, "log"), "w+")
                with log, running(command, variables, stdout=log, stderr=log) as process:

                    def is_up():
                        if process.poll() is not None:
                            log.seek(0)
                            self.fail(log.read())
                        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                            return True

                    wait_until(is_up)

                    def client(_):
                        kept = []
                        for number in range(requests // wide):
                            sidecar.visit(port, pages[random.randrange(len(pages))], kept)
                        for connection in kept:
                            connection.close()

                    with concurrent.futures.ThreadPoolExecutor(wide) as pool:
                        list(pool.map(client, range(wide)))
                    self.sidecar = sidecar
                    right, abstained, wrong = sidecar.all_calls()
                    if background:
                        self.assertGreater(sum(sidecar.calls("background")), 20)
                        self.assertEqual(sidecar.calls("background")[0::2], (0, 0))
                        abstained -= sidecar.calls("background")[1]
                    print(
                        f"\n{name}: {right} right, {abstained} abstained, {wrong} wrong", end=" ", flush=True
                    )
                    self.assertEqual(wrong, 0)
                    log.seek(0)
                    told = [line.strip() for line in log if "throughline" in line]
                    if os.environ.get("SIGNAL_DEBUG"):
                        print(told)
                    self.assertGreaterEqual(right, least * (right + abstained), told)

    # --- PHP

    def php(self, script):
        return ["sh", "-c", f'PHP_CLI_SERVER_WORKERS=4 exec php -q -S 127.0.0.1:$PORT "{script}"']

    @needs("php")
    def test_php_streams(self):
        self.load("PHP -S, streams", self.php(os.path.join(SHOPS, "shop.php")), least=0.98)

    @needs("php")
    def test_php_curl(self):
        if "curl" not in subprocess.run(["php", "-m"], capture_output=True, text=True).stdout:
            self.skipTest("PHP's curl is missing (Debian: php-curl)")
        script = os.path.join(HERE, "curl.php")
        pages = ["/alone", "/kept", "/posts"]
        # Debian's is an extension that PHP binds past every preloaded library: it is not seen.
        self.load("PHP -S, curl as an extension", self.php(script), pages, requests=640, least=0)
        # As where PHP has it built in.
        both = f"{LIBRARY}:libcurl.so.4"
        self.load("PHP -S, curl", self.php(script), pages, requests=640, LD_PRELOAD=both)
        self.load(
            "PHP -S, curl, two at once",
            self.php(script),
            ["/alone", "/together"],
            requests=640,
            least=0.6,
            LD_PRELOAD=both,
        )

    @needs("apache2")
    def test_apache_prefork(self):
        module = glob.glob("/usr/lib/apache2/modules/libphp*.so")
        if not module:
            self.skipTest("mod_php is missing (Debian: libapache2-mod-php)")
        port = free_port()
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            shutil.copy(os.path.join(SHOPS, "shop.php"), os.path.join(directory, "shop.php"))
            modules = "/usr/lib/apache2/modules"
            with open(os.path.join(directory, "httpd.conf"), "w") as file:
                file.write(f"""
ServerRoot {directory}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {directory}/pid
ErrorLog {directory}/error.log
LoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule php_module {module[0]}
User www-data
Group www-data
StartServers 4
MaxRequestWorkers 16
KeepAlive On
DocumentRoot {directory}
AliasMatch .* {directory}/shop.php
<Directory {directory}>
  Require all granted
  SetHandler application/x-httpd-php
</Directory>
""")
            # It leaves what it does not serve waiting, and its workers keep their connections.
            self.load(
                "Apache prefork, mod_php",
                ["apache2", "-DFOREGROUND", "-f", os.path.join(directory, "httpd.conf")],
                wide=12,
                port=port,
                least=0.98,
            )

    # --- Python

    def gunicorn(self, *options, app="flask_shop:app"):
        found = subprocess.run([PYTHON, "-c", "import flask, gunicorn, requests"], capture_output=True)
        if found.returncode:
            self.skipTest(f"{PYTHON} lacks what requirements.txt names; SIGNAL_PYTHON names another")
        return [
            "sh",
            "-c",
            f'exec "$0" -m gunicorn --chdir "$1" --bind 127.0.0.1:$PORT {" ".join(options)} {app}',
            PYTHON,
            SHOPS,
        ]

    def test_gunicorn_sync(self):
        self.load("gunicorn sync, requests", self.gunicorn("--workers 4"), least=0.98)
        self.load("gunicorn sync, Session", self.gunicorn("--workers 4"), KEEP_CONNECTIONS="1", least=0.98)

    def test_gunicorn_threads(self):
        self.load("gunicorn gthread, requests", self.gunicorn("--workers 2 --threads 8"), least=0.98)

    def test_gunicorn_beside_a_background_thread(self):
        command = self.gunicorn("--workers 4", f"--pythonpath {HERE}", app="background:app")
        self.load("gunicorn sync, background thread", command, background=True)

    # --- Ruby

    def rack(self, command, file=os.path.join(SHOPS, "rack_shop.ru")):
        return ["sh", "-c", f'exec {command} "$0"', file]

    @needs("rackup")
    def test_webrick(self):
        command = self.rack("rackup -E none -q -s webrick -o 127.0.0.1 -p $PORT")
        self.load("WEBrick, Net::HTTP", command)

    @needs("puma")
    def test_puma(self):
        command = "puma -q -e production -b tcp://127.0.0.1:$PORT"
        self.load("Puma, 16 threads, 12 clients", self.rack(f"{command} -t 16:16"), wide=12)
        self.load("Puma, 16 threads, 64 clients", self.rack(f"{command} -t 16:16"))
        self.load("Puma, 16 threads, kept", self.rack(f"{command} -t 16:16"), wide=12, KEEP_CONNECTIONS="1")
        self.load("Puma, 2 workers", self.rack(f"{command} -w 2 -t 8:8"), wide=12)

    @needs("puma")
    def test_puma_beside_a_background_thread(self):
        command = self.rack(
            "puma -q -e production -b tcp://127.0.0.1:$PORT -t 16:16", os.path.join(HERE, "background.ru")
        )
        self.load("Puma, background thread", command, wide=12, background=True)


if __name__ == "__main__":
    unittest.main()
