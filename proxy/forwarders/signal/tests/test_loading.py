"""That it loads beside any libc or not at all, that it is built the same each time, and that programs
which it has nothing to do with do the same with it as without."""

import contextlib
import filecmp
import os
import re
import shutil
import socket
import subprocess
import tempfile
import unittest

from sidecar import HERE, LIBRARY, Sidecar, environment, running, wait_until
from test_rules import LEARNING, compiled

BUILD = os.path.join(HERE, "..", "build")
# What the library may ask of libc; each is looked for, and done without.
WEAK = {"dlsym", "environ", "abort", "__errno_location"}


def output(command, variables, **options):
    return subprocess.run(command, env=variables, capture_output=True, **options)


class Library(unittest.TestCase):
    def test_it_needs_nothing_by_name(self):
        told = subprocess.run(["readelf", "-dW", LIBRARY], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("NEEDED", told)
        symbols = subprocess.run(["nm", "-D", LIBRARY], capture_output=True, text=True, check=True).stdout
        self.assertEqual(set(re.findall(r" w (\S+)", symbols)), WEAK)
        self.assertEqual(re.findall(r" U (\S+)", symbols), [])

    def test_the_same_source_makes_the_same_bytes_anywhere(self):
        with tempfile.TemporaryDirectory() as directory:
            shutil.copytree(os.path.dirname(BUILD), os.path.join(directory, "elsewhere"))
            into = os.path.join(directory, "built")
            subprocess.run([os.path.join(directory, "elsewhere", "build"), into], check=True)
            self.assertTrue(
                filecmp.cmp(os.path.join(into, os.path.basename(LIBRARY)), LIBRARY, shallow=False)
            )

    def test_it_compiles_for_arm(self):
        compiler = "aarch64-linux-gnu-gcc"
        if not shutil.which(compiler):
            self.skipTest(f"{compiler} is missing (Debian: gcc-aarch64-linux-gnu)")
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run([BUILD, directory], env={**os.environ, "CC": compiler}, check=True)
            library = os.path.join(directory, os.path.basename(LIBRARY))
            told = subprocess.run(
                ["readelf", "-dhW", library], capture_output=True, text=True, check=True
            ).stdout
            self.assertIn("AArch64", told)
            self.assertNotIn("NEEDED", told)
            if not shutil.which("qemu-aarch64"):
                self.skipTest("compiled; qemu-aarch64 is missing (Debian: qemu-user), so not run")
            # The app is served by it as on the machine itself.
            app = os.path.join(directory, "app")
            subprocess.run([compiler, "-O1", "-pthread", os.path.join(HERE, "app.c"), "-o", app], check=True)
            self.learns(
                ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-E", f"LD_PRELOAD={library}", app],
                LD_PRELOAD=None,
            )

    def test_without_dlsym_the_kernel_is_called(self):
        # As beside an old glibc, in a program that has not loaded libdl.
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                [BUILD, directory], env={**os.environ, "CFLAGS": "-Ddlsym=no_such_function"}, check=True
            )
            library = os.path.join(directory, os.path.basename(LIBRARY))
            self.learns([compiled("glibc")], LD_PRELOAD=library)
            for command in ORDINARY:
                with self.subTest(command):
                    self.same(command, library)

    def learns(self, command, **changes):
        with (
            tempfile.TemporaryDirectory() as directory,
            contextlib.closing(Sidecar(directory)) as sidecar,
            running(
                [*command, "plain", str(sidecar.via)], environment(sidecar, **changes), stdout=subprocess.PIPE
            ) as process,
        ):
            port = int(process.stdout.readline())
            for path in ["/call"] * (LEARNING + 5) + [
                "/polls",
                "/selects",
                "/dup-in-2",
                "/errno",
                "/sendfile",
            ]:
                with sidecar.connect(port) as connection:
                    self.assertIsNotNone(sidecar.request(connection, path))
            wait_until(lambda: len(sidecar.hops) == LEARNING + 10)
            self.assertEqual(sidecar.calls("/call"), (5, LEARNING, 0))
            self.assertEqual(sidecar.all_calls(), (8, LEARNING + 2, 0))

    def same(self, command, library=LIBRARY):
        plain = {k: v for k, v in os.environ.items() if not k.startswith("THROUGHLINE") and k != "LD_PRELOAD"}
        for settings in [{}, {"THROUGHLINE_FORWARD_VIA": "127.0.0.1:1", "THROUGHLINE_SIGNAL": "/nowhere"}]:
            without = output(["sh", "-c", command], plain)
            loaded = output(["sh", "-c", command], {**plain, **settings, "LD_PRELOAD": library})
            self.assertEqual(
                (without.returncode, without.stdout, without.stderr),
                (loaded.returncode, loaded.stdout, loaded.stderr),
            )

    def test_a_program_for_another_word_length_runs_on(self):
        with tempfile.TemporaryDirectory() as directory:
            source, program = os.path.join(directory, "a.c"), os.path.join(directory, "a")
            with open(source, "w") as file:
                file.write('#include <stdio.h>\nint main(void) { puts("runs"); }\n')
            if subprocess.run(["cc", "-m32", source, "-o", program], capture_output=True).returncode:
                self.skipTest("no 32-bit libc to compile with (Debian: gcc-multilib)")
            told = output([program], environment())
            self.assertEqual((told.returncode, told.stdout), (0, b"runs\n"))
            self.assertIn(b"cannot be preloaded", told.stderr)

    def test_a_static_program_is_not_reached(self):
        with tempfile.TemporaryDirectory() as directory:
            app = os.path.join(directory, "app")
            subprocess.run(
                ["cc", "-static", "-pthread", os.path.join(HERE, "app.c"), "-o", app],
                check=True,
                capture_output=True,
            )
            with (
                contextlib.closing(Sidecar(directory)) as sidecar,
                running(
                    [app, "plain", str(sidecar.via)], environment(sidecar), stdout=subprocess.PIPE
                ) as process,
            ):
                port = int(process.stdout.readline())
                for _ in range(LEARNING + 5):
                    with sidecar.connect(port) as connection:
                        sidecar.request(connection, "/call")
                self.assertEqual(sidecar.calls("/call"), (0, LEARNING + 5, 0))

    def test_ordinary_programs_do_as_without(self):
        for command in ORDINARY:
            name = re.sub(r"^(cd \S+ && )?", "", command).split()[0]
            with self.subTest(command):
                if not shutil.which(name):
                    self.skipTest(f"{name} is missing")
                self.same(command)


ORDINARY = [
    "ls -la /etc",
    "find /usr/share/doc -maxdepth 1 | sort | head -50 | md5sum",
    "tar cf - /etc/passwd /etc/group 2>/dev/null | tar tf -",
    "bash -c 'exec 3<>/dev/null; exec 4>&3; echo x >&4; for i in 1 2 3; do (echo $i) & wait; done; cat <(echo y)'",
    "dd if=/dev/zero bs=1k count=100 status=none | gzip -n | sha256sum",
    "echo 'a b' | awk '{print $2}' | sed s/b/c/ | tee /dev/stderr",
    "perl -e 'use IO::Select; pipe R,W; syswrite W,q(x); print IO::Select->new(*R)->can_read(1)'",
    f"cd {HERE} && git log -3 --format=%H && git status --short | wc -l && git clone -q . /tmp/throughline-clone-$$"
    " && rm -rf /tmp/throughline-clone-$$",
    'python3 -c \'import subprocess, asyncio; print(subprocess.check_output(["echo", "x"]));'
    "print(asyncio.run(asyncio.sleep(0, 5)))'",
    "python3 -c 'import multiprocessing as m; print(m.Pool(4).map(abs, range(-50, 0)))'",
    'node -e \'const s = require("http").createServer((q, r) => r.end("x")).listen(0, "127.0.0.1", () =>'
    ' fetch("http://127.0.0.1:" + s.address().port).then((a) => a.text()).then((t) => { console.log(t);'
    " process.exit() }))'",
    "java -version",
    "php -r 'echo strlen(shell_exec(\"echo abc\")), PHP_VERSION;'",
    'ruby -rsocket -e \'s = TCPServer.new("127.0.0.1", 0); Thread.new { c = s.accept; c.puts c.gets; c.close };'
    ' c = TCPSocket.new("127.0.0.1", s.addr[1]); c.puts "GET /"; puts c.read; puts `echo y`\'',
    "curl -s file:///etc/hostname",
    "nginx -v",
]


class Servers(unittest.TestCase):
    """Event loops of others: they serve as they do, and are never believed."""

    def serve(self, command, directory, answers):
        with contextlib.closing(Sidecar(directory)) as sidecar:
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            with running(
                [part.format(port=port, via=sidecar.via, directory=directory) for part in command],
                environment(sidecar),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ):

                def is_up():
                    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                        return True

                wait_until(is_up)
                answers(sidecar, port)
                self.assertEqual(sidecar.all_calls()[0::2], (0, 0))

    def test_nginx_in_between(self):
        if not shutil.which("nginx"):
            self.skipTest("nginx is missing")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)

            def answers(sidecar, port):
                for _ in range(40):
                    with sidecar.connect(port) as connection:
                        inbound = connection.getsockname()[1]
                        head, _ = sidecar.request(connection, "/", [f"x-cause: {inbound}"])
                        self.assertTrue(head.startswith(b"HTTP/1.1 200"), head)
                self.assertEqual(sum(sidecar.all_calls()), 40)

            config = os.path.join(directory, "nginx.conf")
            command = [
                "sh",
                "-c",
                f"""cat > {config} <<END
daemon off; pid {directory}/pid; error_log {directory}/log; worker_processes 2;
events {{{{}}}}
http {{{{ access_log off; client_body_temp_path {directory}/1; proxy_temp_path {directory}/2;
fastcgi_temp_path {directory}/3; uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
server {{{{ listen 127.0.0.1:{{port}}; location / {{{{ proxy_pass http://127.0.0.1:{{via}}; }}}} }}}} }}}}
END
exec nginx -c {config}""",
            ]
            self.serve(command, directory, answers)

    def test_redis(self):
        if not shutil.which("redis-benchmark"):
            self.skipTest("redis is missing")
        with tempfile.TemporaryDirectory() as directory:

            def answers(_, port):
                told = subprocess.run(
                    ["redis-benchmark", "-p", str(port), "-n", "20000", "-c", "50", "-q"],
                    timeout=120,
                    env=environment(),
                    capture_output=True,
                    text=True,
                )
                self.assertEqual(told.returncode, 0, told)
                self.assertIn("MSET", told.stdout)

            self.serve(
                ["redis-server", "--port", "{port}", "--dir", directory, "--save", ""], directory, answers
            )


class Wire(unittest.TestCase):
    def test_every_byte_is_as_without(self):
        """What the app sends to its clients and its upstream, with the library and without."""
        seen = []
        app = compiled("glibc")
        for library in [None, LIBRARY]:
            with (
                tempfile.TemporaryDirectory() as directory,
                contextlib.closing(Sidecar(directory, cause=lambda head: None)) as sidecar,
            ):
                answers = []
                with running(
                    [app, "plain", str(sidecar.via)],
                    environment(sidecar, LD_PRELOAD=library),
                    stdout=subprocess.PIPE,
                ) as process:
                    port = int(process.stdout.readline())
                    for path in [
                        "/call",
                        "/twice",
                        "/kept",
                        "/streams",
                        "/interim",
                        "/polls",
                        "/by-writev",
                        "/by-sendmsg",
                        "/sendfile",
                        "/dup-out",
                    ] * 3:
                        with sidecar.connect(port) as connection:
                            answers.append(sidecar.request(connection, path, body=b"x" * 10))
                calls = [re.sub(rb"x-cause: \d+", b"x-cause: 0", head) for head in sidecar.heads]
                seen.append((answers, calls))
        self.assertEqual(seen[0], seen[1])
        self.assertEqual(len(seen[0][1]), 12 * 3)


if __name__ == "__main__":
    unittest.main()
