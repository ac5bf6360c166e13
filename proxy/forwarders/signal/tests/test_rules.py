"""Each rule, on a small app in C: what is right, what has to be an abstention, and nothing ever wrong."""

import concurrent.futures
import contextlib
import os
import socket
import subprocess
import tempfile
import unittest

from sidecar import BUILT, HERE, LIBRARY, SLOTS, Sidecar, environment, running, wait_until

# So many requests a server has to show before it is believed.
LEARNING = 8

LIBCS = {"glibc": os.environ.get("CC", "cc"), "musl": "musl-gcc"}


def compiled(libc):
    app = os.path.join(BUILT, f"app-{libc}")
    source = os.path.join(HERE, "app.c")
    subprocess.run([LIBCS[libc], "-O1", "-pthread", source, "-o", app, "-ldl"], check=True)
    return app


class Rules:
    """The same for an app on either libc."""

    libc = ""

    @classmethod
    def setUpClass(cls):
        if cls.libc == "musl" and subprocess.run(["sh", "-c", "command -v musl-gcc >/dev/null"]).returncode:
            raise unittest.SkipTest("musl-gcc is missing (Debian: musl-tools)")
        cls.app = compiled(cls.libc)

    @contextlib.contextmanager
    def serving(self, kind="plain", read="read", learned=True, host="127.0.0.1", ports=0, **changes):
        with tempfile.TemporaryDirectory() as directory:
            self.sidecar = sidecar = Sidecar(directory, ports)
            with contextlib.closing(sidecar):
                changes = {k: v(sidecar) if callable(v) else v for k, v in changes.items()}
                variables = environment(sidecar, **changes)
                command = [self.app, kind, str(sidecar.via), read]
                with running(command, variables, stdout=subprocess.PIPE) as process:
                    self.process = process
                    self.port = int(process.stdout.readline())
                    self.host = host
                    if learned:
                        self.ask("/learning", LEARNING)
                        sidecar.hops.clear()
                    yield sidecar
                    self.assertEqual(sidecar.all_calls()[2], 0, sidecar.hops)
                    self.assertIsNone(process.poll(), "the app has ended")

    def ask(self, path, times=1, **options):
        for _ in range(times):
            with self.sidecar.connect(self.port, self.host) as connection:
                self.sidecar.request(connection, path, **options)

    def check(self, path, right=0, abstained=0, label=None, **options):
        self.ask(path, **options)
        self.calls_are(label or path, right, abstained)

    def calls_are(self, label, right, abstained):
        wanted = right + abstained
        wait_until(lambda: sum(self.sidecar.calls(label)) >= wanted)
        self.assertEqual(self.sidecar.calls(label), (right, abstained, 0), label)

    # --- a thread with one request

    def test_a_server_is_believed_after_it_has_shown_how_it_serves(self):
        with self.serving(learned=False):
            self.check("/call", 5, LEARNING, times=LEARNING + 5)

    def test_connections_may_be_kept_on_both_sides(self):
        with self.serving() as sidecar, sidecar.connect(self.port) as connection:
            for _ in range(20):
                sidecar.request(connection, "/kept")
            self.assertEqual(sidecar.calls("/kept"), (20, 0, 0))

    def test_a_request_may_call_several_times(self):
        with self.serving():
            self.check("/twice", 2)

    def test_each_function_that_reads_begins_a_request(self):
        names = ["read", "recv", "recvfrom", "readv", "recvmsg"]
        if self.libc == "glibc":
            names += ["__read_chk", "__recv_chk", "__recvfrom_chk"]
        for name in names:
            with self.subTest(name), self.serving(read=name):
                self.check("/call", 1)

    def test_each_function_that_writes_makes_a_call(self):
        with self.serving():
            for name in ["write", "send", "sendto", "writev", "sendmsg"]:
                self.check(f"/by-{name}", 1)
            self.check("/by-sendmmsg", 0, 1)

    def test_each_function_that_writes_ends_a_request(self):
        with self.serving():
            for name in ["write", "send", "sendto", "writev", "sendmsg", "sendmmsg"]:
                self.check(f"/answers-by-{name}", 0, 1)
            for path in ["/sendfile", "/splice"]:
                self.check(path, 0, 1)

    def test_a_request_ends_with_the_first_byte_of_its_answer(self):
        with self.serving():
            self.check("/after", 0, 1)
            self.check("/streams", 0, 1)
            self.check("/shut", 0, 1)

    def test_an_interim_answer_ends_nothing(self):
        with self.serving():
            self.check("/interim", 1)

    def test_a_look_at_bytes_that_stay_is_no_read(self):
        with self.serving():
            self.check("/peeks", 1)
        with self.serving("peeks"):
            self.check("/peeked", 3, times=3)
            self.calls_are("/background", 0, 3)

    def test_waiting_for_the_call_alone_keeps_the_request(self):
        with self.serving():
            self.check("/polls", 1)
            self.check("/selects", 1)

    def test_a_body_in_pieces_is_no_new_request(self):
        with self.serving():
            self.check("/call", 1, body=b"GET /other HTTP/1.1\r\n\r\n", pieces=[b"POST /x HTTP/1.1\r\n\r\n"])

    def test_each_thread_has_its_own_request(self):
        with self.serving("threads", learned=False) as sidecar:
            self.crowd(sidecar, "/call", 64, 20)
            self.assertEqual(sum(sidecar.calls("/call")), 1024)
            self.assertGreater(sidecar.calls("/call")[0], 1024 - LEARNING - 64)

    def test_workers_that_are_forked_before_learn_together(self):
        with self.serving("prefork", learned=False) as sidecar:
            self.crowd(sidecar, "/call", 8, 40)
            self.assertGreater(sidecar.calls("/call")[0], 8 * 32 - LEARNING - 8)

    def test_a_child_for_each_connection_is_believed(self):
        with self.serving("fork-each"):
            self.check("/call", 3, times=3)

    def crowd(self, sidecar, path, wide, deep):
        """Of five requests one calls nobody."""

        def one(_):
            with sidecar.connect(self.port) as connection:
                for number in range(deep):
                    sidecar.request(connection, "/nothing" if number % 5 == 4 else path)

        with concurrent.futures.ThreadPoolExecutor(wide) as pool:
            list(pool.map(one, range(wide)))

    def test_signals_at_any_moment_change_nothing(self):
        with self.serving("signals"):
            self.check("/call", 200, times=200)

    def test_a_thread_can_be_cancelled_while_it_reads(self):
        with self.serving("cancelled", learned=False) as sidecar, sidecar.connect(self.port):
            self.check("/call", 12, LEARNING, times=LEARNING + 12)

    # --- calls of somebody else

    def test_another_thread_says_nothing(self):
        with self.serving():
            self.check("/thread", 0, 1)
            self.check("/call", 1)

    def test_a_child_of_a_fork_says_nothing(self):
        with self.serving():
            self.check("/forks", 0, 1)
            self.calls_are("/forks-parent", 1, 0)

    def test_what_a_vforked_child_closes_stays_open(self):
        with self.serving():
            self.check("/vforks", 1)
            self.check("/spawns", 1)

    def test_a_request_that_is_handed_over_ends_it_for_good(self):
        with self.serving():
            self.check("/hands-over", 0, 1)
            self.check("/call", 0, 5, times=5)

    def test_a_websocket_may_be_handed_over(self):
        with self.serving():
            self.check("/hands-over", 0, 1, headers=["Connection: Upgrade", "Upgrade: websocket"])
            self.check("/call", 5, times=5)

    def test_a_reader_that_calls_on_its_own_is_never_believed(self):
        with self.serving("reader", learned=False) as sidecar:
            self.ask("/call", 50)
            self.assertEqual(sidecar.all_calls()[0], 0)
            self.assertGreaterEqual(sum(sidecar.calls("/background")), 49)

    def test_a_connection_from_another_process_says_nothing(self):
        with self.serving("passes", learned=False):
            self.check("/call", 0, 20, times=20)

    # --- loops

    def test_a_loop_is_never_believed(self):
        for kind in ["poll-loop", "ppoll-loop", "select-loop", "epoll-loop"]:
            for wide in [1, 8]:
                with self.subTest(kind, wide=wide), self.serving(kind, learned=False) as sidecar:
                    self.crowd(sidecar, "/call", wide, 40)
                    self.assertEqual(sidecar.all_calls()[0], 0)
                    self.assertGreater(sum(sidecar.calls("/background")), 5)

    def test_what_was_believed_and_turns_out_a_loop_is_not_any_more(self):
        for kind in ["late-poll-loop", "late-select-loop"]:
            with self.subTest(kind), self.serving(kind, learned=False) as sidecar:
                self.ask("/early", 20)
                self.assertEqual(sidecar.calls("/early"), (20 - LEARNING, LEARNING, 0))
                self.crowd(sidecar, "/call", 8, 40)
                # The first call that it makes as one is right.
                self.assertLessEqual(sidecar.calls("/call")[0], 1)
                self.assertEqual(sidecar.calls("/background")[0], 0)

    def test_two_requests_before_an_answer_end_it_for_good(self):
        with self.serving("two-at-once", learned=False) as sidecar:
            self.ask("/learning", LEARNING)
            with sidecar.connect(self.port) as one, sidecar.connect(self.port) as other:
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    list(pool.map(lambda c: sidecar.request(c, "/"), [one, other]))
                self.calls_are("/first", 1, 0)
                self.calls_are("/first-again", 0, 1)
                # Until it is closed, each is served on its own again, and not believed.
                sidecar.request(one, "/call")
                self.calls_are("/call", 0, 1)

    def test_a_loop_that_serves_to_the_end_is_believed(self):
        with self.serving("blocking-loop") as sidecar:
            idle = [sidecar.connect(self.port) for _ in range(10)]
            self.check("/call", 10, times=10)
            self.crowd(sidecar, "/call", 16, 20)
            self.assertEqual(sidecar.calls("/call"), (10 + 16 * 16, 0, 0))
            # Bodies that come late are waited for beside other requests.
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: self.ask("/late", 5, body=b"a", pieces=[b"b"] * 3), range(8)))
            self.calls_are("/late", 40, 0)
            # Files are answered on a later turn, and nobody is called for them.
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda _: self.ask("/file", 5), range(8)))
            self.check("/end", 5, times=5)
            for connection in idle:
                connection.close()

    def test_a_thread_may_look_whether_anybody_waits_but_not_let_him_in(self):
        with self.serving() as sidecar:
            self.check("/looks", 2)
            with sidecar.connect(self.port) as connection, sidecar.connect(self.port):
                sidecar.request(connection, "/accepts")
            self.calls_are("/accepts", 1, 1)
            self.check("/call", 0, 5, times=5)

    def test_a_request_that_is_left_for_others_may_be_answered_and_not_called_for(self):
        with self.serving():
            self.ask("/waits")
            self.check("/call", 2, times=2)
            self.check("/defers", 0, 1)
            self.check("/end", 0, 5, times=5)

    def test_waiting_for_the_client_and_an_upstream_at_once_is_a_loops(self):
        with self.serving():
            self.check("/tunnels", 1)
            self.calls_are("/tunnels-again", 0, 1)
            self.check("/call", 0, 5, times=5)

    def test_an_answer_that_another_thread_reads_ends_it_for_good(self):
        with self.serving():
            self.check("/other-reads", 1)
            self.check("/call", 0, 5, times=5)

    def test_reading_from_another_client_leaves_the_request(self):
        with self.serving():
            # It accepts before it has called.
            self.ask("/stranger-opens")
            self.check("/call", 1)
            self.check("/stranger-reads", 0, 1)

    def test_half_a_request_is_left_to_whoever_reads_the_rest(self):
        with self.serving("halves") as sidecar:
            for number in range(3):
                is_left = (lambda number: lambda: sum(sidecar.calls("/background")) > number)(number)
                self.ask("/half", pieces=[b"later"], pause=lambda: wait_until(is_left))
            self.calls_are("/background", 0, 3)
            self.calls_are("/half", 0, 3)
            self.check("/call", 3, times=3)

    def test_tasks_that_another_thread_wakes_are_never_believed(self):
        for wide in [1, 8]:
            with self.subTest(wide=wide), self.serving("green", learned=False) as sidecar:
                self.crowd(sidecar, "/call", wide, 40)
                self.assertEqual(sidecar.all_calls()[0], 0)
                self.assertGreater(sum(sidecar.calls("/background")), 5)

    def test_a_thread_that_has_waited_in_epoll_is_not_believed_again(self):
        with self.serving():
            self.check("/epolls", 0, 1)
            self.check("/call", 0, 5, times=5)

    def test_epoll_with_one_connection_in_it_is_as_poll(self):
        with self.serving("single-sets"):
            self.check("/call", 3, times=3)
            self.check("/epolls-client", 3, times=3)

    def test_what_is_begun_and_not_waited_for_makes_the_next_call_uncertain(self):
        with self.serving():
            self.check("/connects-unwaited", 0, 1)
            self.check("/leaves-unread", 0, 1)
            self.check("/call", 1)

    # --- descriptors

    def test_a_duplicate_makes_a_connection_uncertain(self):
        with self.serving():
            for path in ["/dup-in", "/dup-in-2", "/dup-in-3", "/dup-in-cmd", "/dup-in-cmd-cloexec"]:
                self.check(path, 0, 1)
            self.check("/dup-out", 0, 2)
            self.check("/call", 1)

    def test_a_connection_that_is_gone_has_no_request(self):
        with self.serving():
            self.check("/closed", 0, 1)
            self.check("/replaced", 0, 1)
            self.check("/call", 1)

    def test_a_descriptor_that_became_a_file_is_no_request(self):
        with self.serving():
            self.check("/reuse", 0, 1)
            self.check("/call", 1)

    # --- calls that are no HTTP/1

    def test_what_is_no_request_of_http_1_says_nothing(self):
        with self.serving():
            self.check("/tls", 0, 1)
            self.check("/http2", 0, 1)
            self.check("/slowly", 0, 1)
            self.ask("/pipelines")
            self.calls_are("/pipelines-second", 0, 1)

    # --- the file and the settings

    def test_connecting_and_closing_say_nothing(self):
        with self.serving() as sidecar:
            for port in range(1, SLOTS):
                sidecar.slots.write(port, 1, 1)
            with sidecar.connect(self.port) as connection:
                sidecar.request(connection, "/call")
            self.assertEqual(sidecar.calls("/call"), (1, 0, 0))
            changed = {sidecar.slots.read(port) for port in range(1, SLOTS)} - {(1, 1)}
            self.assertEqual(changed, {(0, 0)})
            for port in range(1, SLOTS):
                sidecar.slots.write(port, 1, 1)
            with sidecar.connect(self.port) as connection:
                sidecar.request(connection, "/connects")
            changed = {sidecar.slots.read(port) for port in range(1, SLOTS)} - {(1, 1)}
            self.assertEqual(changed, {(0, 0)})

    def test_errno_and_results_are_libcs(self):
        with self.serving():
            self.check("/errno", 1)

    def test_the_sidecar_says_at_which_ports_it_calls_the_app(self):
        with self.serving(learned=False) as sidecar:
            ports = self.port << 16 | 80
            sidecar.slots.write(0, ports, ports ^ (1 << 64) - 1)
            self.check("/call", 2, LEARNING, times=LEARNING + 2)
            sidecar.slots.write(0, 80, 80 ^ (1 << 64) - 1)
            self.check("/other", 0, 2, times=2)
            # Torn.
            sidecar.slots.write(0, self.port, 5)
            self.check("/torn", 0, 2, times=2)

    def test_every_loopback_address_is_one(self):
        for host in ["127.0.0.1", "127.0.0.9", "::1"]:
            with self.subTest(host), self.serving(host=host):
                self.check("/call", 1)

    def test_a_request_from_another_machine_says_nothing(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # No packet is sent by this.
                probe.connect(("192.0.2.1", 9))
            except OSError:
                self.skipTest("the machine has the loopback address alone")
            host = probe.getsockname()[0]
        with self.serving(host=host, learned=False):
            self.check("/call", 0, LEARNING + 3, times=LEARNING + 3)

    def test_each_way_to_write_the_sidecars_address_is_known(self):
        for address in [
            "localhost:{}",
            "LocalHost:{}",
            "[::1]:{}",
            " 127.0.0.1:{} ",
            "10.0.0.1:80,127.0.0.1:{}",
            "garbage,:,[::zz]:1,127.0.0.1:,127.0.0.1:{}",
            "[0:0::0:1]:{}",
            "[::ffff:7f00:1]:{}",
        ]:
            via = (lambda text: lambda sidecar: text.format(sidecar.via))(address)
            with self.subTest(address), self.serving(THROUGHLINE_FORWARD_VIA=via):
                self.check("/call", 1)

    def test_it_stands_aside_where_it_is_not_asked_for(self):
        port = lambda text: lambda sidecar: text.format(sidecar.via)
        for changes in [
            {"THROUGHLINE_FORWARD": "off"},
            {"THROUGHLINE_FORWARD_VIA": None},
            {"THROUGHLINE_SIGNAL": None},
            {"THROUGHLINE_SIGNAL": ""},
            {"THROUGHLINE_FORWARD_VIA": "*"},
            {"THROUGHLINE_FORWARD_VIA": "127.0.0.1:99999"},
            {"THROUGHLINE_FORWARD_VIA": "127.0.0.1"},
            {"THROUGHLINE_FORWARD_VIA": port("127.0.0.2:{}")},
            {"THROUGHLINE_FORWARD_VIA": port("localhostx:{}")},
            {"THROUGHLINE_FORWARD_VIA": port("1.127.0.0.1:{}")},
            {"THROUGHLINE_SIGNAL": "/nowhere/slots"},
            {"THROUGHLINE_SIGNAL": "/tmp"},
            {"THROUGHLINE_SIGNAL": "/dev/null"},
            {"THROUGHLINE_SIGNAL": "/dev/zero"},
            {"THROUGHLINE_SIGNAL": "x" * 5000},
        ]:
            with self.subTest(changes), self.serving(**changes) as sidecar:
                self.check("/call", 0, 3, times=3)
                self.assertEqual({sidecar.slots.read(port) for port in range(SLOTS)}, {(0, 0)})

    def test_a_file_that_is_too_small_is_left_alone(self):
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x" * 1000)
            file.flush()
            with self.serving(THROUGHLINE_SIGNAL=file.name):
                self.check("/call", 0, 3, times=3)
            with open(file.name, "rb") as again:
                self.assertEqual(again.read(), b"x" * 1000)

    def test_a_file_that_it_may_not_write_is_left_alone(self):
        if os.getuid() != 0:
            self.skipTest("needs root, to become another user")
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)
            slots = os.path.join(directory, "slots")
            with open(slots, "wb") as file:
                file.truncate(SLOTS * 16)
            os.chmod(slots, 0o644)
            app, self.app = self.app, os.path.join(directory, "app")
            subprocess.run(["cp", app, self.app], check=True)
            library = os.path.join(directory, "signal.so")
            subprocess.run(["cp", LIBRARY, library], check=True)
            wrapper = os.path.join(directory, "as-nobody")
            with open(wrapper, "w") as file:
                file.write(f'#!/bin/sh\nexec setpriv --reuid=65534 --clear-groups {self.app} "$@"\n')
            os.chmod(wrapper, 0o755)
            self.app = wrapper
            with self.serving(THROUGHLINE_SIGNAL=slots, LD_PRELOAD=library):
                self.check("/call", 0, 3, times=3)
            with open(slots, "rb") as file:
                self.assertEqual(file.read().count(0), SLOTS * 16)

    def test_a_file_system_without_room_does_not_kill_the_app(self):
        with tempfile.TemporaryDirectory() as directory:
            mounted = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=4k", "none", directory], stderr=subprocess.DEVNULL
            )
            if mounted.returncode != 0:
                self.skipTest("may not mount")
            try:
                slots = os.path.join(directory, "slots")
                with open(slots, "wb") as file:
                    file.truncate(SLOTS * 16)
                with self.serving(THROUGHLINE_SIGNAL=slots):
                    self.check("/call", 0, 50, times=50)
            finally:
                subprocess.run(["umount", directory], check=True)

    def test_a_file_that_comes_later_is_found(self):
        with tempfile.TemporaryDirectory() as directory:
            slots = os.path.join(directory, "later")
            with self.serving(THROUGHLINE_SIGNAL=slots) as sidecar:
                self.check("/early", 0, 3, times=3)
                os.rename(sidecar.slots.path, slots)

                def is_found():
                    sidecar.hops.clear()
                    self.ask("/call")
                    return sidecar.calls("/call") == (1, 0, 0)

                wait_until(is_found)


class OnGlibc(Rules, unittest.TestCase):
    libc = "glibc"


class OnMusl(Rules, unittest.TestCase):
    libc = "musl"


if __name__ == "__main__":
    unittest.main()
