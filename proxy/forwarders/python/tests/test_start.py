"""How the forwarder is loaded: alone, twice, with others, by other Pythons, and what it costs an app to see."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import rig

VIA = {"THROUGHLINE_FORWARD_VIA": "127.0.0.1:9", "THROUGHLINE_FORWARD_DEBUG": "1"}
OURS = str(rig.FORWARDER)
IS_ON = "any(type(f).__name__ == 'Watch' for f in sys.meta_path)"


class Start(unittest.TestCase):
    def setUp(self):
        self._place = tempfile.TemporaryDirectory()
        self.addCleanup(self._place.cleanup)
        self.place = pathlib.Path(self._place.name)

    def python(self, code, *paths, python=sys.executable, options=(), **variables):
        """What a Python with these on its path prints; it must not print errors."""
        own = dict(VIA, PYTHONDONTWRITEBYTECODE="1", **variables)
        environ = rig.environment(PYTHONPATH=os.pathsep.join(paths), **own)
        done = subprocess.run(
            [python, *options, "-c", "import sys; " + code],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=str(self.place),
        )
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""))
        return done.stdout.decode().strip()

    def hidden(self, name, text):
        """The directory of another sitecustomize."""
        place = self.place / name
        place.mkdir()
        (place / "sitecustomize.py").write_text(text)
        return str(place)

    def copy(self, name="copy"):
        place = self.place / name
        shutil.copytree(OURS, str(place), ignore=shutil.ignore_patterns("tests", "__pycache__"))
        return str(place)

    def test_it_is_on_and_out_of_sight(self):
        code = "print(%s, %r in sys.path, 'sitecustomize' in sys.modules)" % (IS_ON, OURS)
        self.assertEqual(self.python(code, OURS), "True False False")
        self.assertEqual(self.python(code, OURS + "/"), "True False False")
        self.assertEqual(self.python(code, OURS, THROUGHLINE_FORWARD="off"), "False False False")
        self.assertEqual(self.python(code, OURS, THROUGHLINE_FORWARD="OFF "), "False False False")
        self.assertEqual(self.python(code, OURS, THROUGHLINE_FORWARD_VIA=" "), "False False False")

    def test_the_path_is_as_it_was_without(self):
        other = self.hidden("other", "")
        self.assertEqual(
            self.python("print(sys.path)", other), self.python("print(sys.path)", OURS, other)
        )
        self.assertEqual(
            self.python("print(sys.path)", other),
            self.python("print(sys.path)", other, OURS).replace(repr(OURS) + ", ", ""),
        )

    def test_the_hidden_sitecustomize_runs(self):
        other = self.hidden("other", "import sys; sys.came = __file__")
        code = "import sitecustomize; print(%s, sys.came, sitecustomize.__file__)" % IS_ON
        file = other + "/sitecustomize.py"
        self.assertEqual(self.python(code, OURS, other), "True %s %s" % (file, file))

    def test_one_that_comes_first_and_chains_as_agents_do(self):
        agent = self.hidden(
            "agent",
            "import os, sys\nhere = os.path.dirname(__file__)\nsys.path.remove(here)\n"
            "mine = sys.modules.pop('sitecustomize')\n"
            "try:\n    import sitecustomize\nexcept ImportError:\n    sys.modules['sitecustomize'] = mine\n"
            "sys.agent = True\n",
        )
        last = self.hidden("last", "import sys; sys.last = True")
        code = "print(%s, sys.agent, getattr(sys, 'last', False))" % IS_ON
        self.assertEqual(self.python(code, agent, OURS, last), "True True True")
        self.assertEqual(self.python(code, agent, OURS), "True True False")
        self.assertEqual(self.python(code, OURS, agent, last), "True True True")

    def test_one_that_fails_fails_as_it_would_alone(self):
        other = self.hidden("other", "raise ValueError('broken')")
        results = []
        for paths in ([other], [OURS, other]):
            environ = rig.environment(PYTHONPATH=os.pathsep.join(paths), **VIA)
            done = subprocess.run([sys.executable, "-c", ""], env=environ, stderr=subprocess.PIPE)
            results.append((done.returncode, done.stderr))
        self.assertEqual(results[0], results[1])
        self.assertIn(b"broken", results[0][1])

    def test_twice_on_the_path_is_once(self):
        code = "print(sum(type(f).__name__ == 'Watch' for f in sys.meta_path), any('forwarders' in p or 'copy' in p for p in sys.path))"
        last = self.hidden("last", "")
        for paths in ([OURS, OURS], [OURS, self.copy()], [OURS, OURS + "/.", last]):
            self.assertEqual(self.python(code, *paths), "1 False", paths)

    def test_other_pythons_run_as_without(self):
        """Those that are around: the forwarder leaves them alone."""
        found = []
        for version in ("2.7", "3.6", "3.14"):
            name = shutil.which("python" + version)
            works = name and not subprocess.call(
                [name, "-c", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if not works:
                name = next(
                    (
                        str(p)
                        for p in pathlib.Path(os.path.expanduser("~/.pyenv/versions")).glob(
                            version + ".*/bin/python"
                        )
                    ),
                    None,
                )
            if name:
                found.append(version)
                other = self.hidden("other" + version, "import sys; sys.came = 1")
                code = "print('%d %d %d' % (sys.came, {} in sys.path, 'throughline_forward' in sys.modules))".replace(
                    "{}", repr(OURS)
                )
                self.assertEqual(self.python(code, OURS, other, python=name), "1 0 0")
                self.assertEqual(self.python("print(1)", OURS, python=name), "1")
        sys.stderr.write("(ran on %s) " % ", ".join(found or ["none"]))

    def test_its_files_can_be_parsed_by_what_loads_them(self):
        import ast

        for file in rig.FORWARDER.glob("throughline_forward/*.py"):
            version = {"feature_version": (3, 7)} if sys.version_info >= (3, 8) else {}
            ast.parse(file.read_text(), **version)

    def test_nothing_is_imported_early(self):
        """Without a server, all that is added is one package, and no library is imported for it."""
        code = "print(' '.join(sorted(sys.modules)))"
        without = set(self.python(code).split())
        within = set(self.python(code, OURS).split())
        self.assertEqual(within - without, {"throughline_forward"})
        code = "import http.client, threading, concurrent.futures; " + code
        without = set(self.python(code).split())
        self.assertEqual(set(self.python(code, OURS).split()) - without, {"throughline_forward"})
        code = "import wsgiref.simple_server; " + code
        without = set(self.python(code).split())
        within = set(self.python(code, OURS).split())
        ours = {name for name in within if name.startswith("throughline_forward")}
        self.assertLessEqual(within - without - ours, {"contextvars", "_contextvars"})
        self.assertEqual(len(ours), 7, ours)

    def test_what_the_app_can_look_at_is_as_it_was(self):
        code = (
            "import http.client as c, http.server, inspect, threading, concurrent.futures.thread as t, importlib.util as u;"
            "f = c.HTTPConnection.endheaders; s = c.__spec__;"
            "print(inspect.signature(f), f.__name__, f.__qualname__, f.__module__, f.__doc__, inspect.getsource(f), s.loader, c.__loader__ is s.loader,"
            "inspect.signature(t.ThreadPoolExecutor.submit), inspect.signature(threading.Thread.start), u.find_spec('http.client').loader.__class__,"
            "sorted(vars(s.loader)), threading.Thread, t.ThreadPoolExecutor(), c.HTTPConnection)"
        )
        import re

        both = [re.sub("0x[0-9a-f]+", "", self.python(code, *paths)) for paths in ([], [OURS])]
        self.assertEqual(*both)
        self.assertEqual(
            self.python(
                "import http.client as c, http.server; print(hasattr(c.HTTPConnection.endheaders, '__wrapped__'))",
                OURS,
            ),
            "True",
        )

    def test_files_that_are_gone_or_broken_do_no_harm(self):
        code = "import wsgiref.simple_server; print(1)"
        for name in ("servers.py", "rules.py"):
            copy = self.copy(name)
            (pathlib.Path(copy) / "throughline_forward" / name).write_text("not python")
            self.assertEqual(self.python(code, copy, THROUGHLINE_FORWARD_DEBUG="0"), "1")
        copy = self.copy("init")
        (pathlib.Path(copy) / "throughline_forward" / "__init__.py").write_text("not python")
        self.assertEqual(self.python(code, copy, THROUGHLINE_FORWARD_DEBUG="0"), "1")
        copy = self.copy("gone")
        gone = "import shutil; shutil.rmtree(%r); " % copy
        self.assertEqual(self.python(gone + code, copy, THROUGHLINE_FORWARD_DEBUG="0"), "1")
        self.assertEqual(self.python(code, str(self.place / "missing")), "1")

    def test_isolated_pythons_do_not_load_it(self):
        for option in ("-I", "-E", "-S"):
            self.assertEqual(self.python("print(%s)" % IS_ON, OURS, options=[option]), "False")

    def test_the_version_is_that_of_the_workspace(self):
        from throughline_forward import rules

        cargo = (rig.FORWARDER.parents[2] / "Cargo.toml").read_text()
        self.assertIn('version = "%s"' % rules.MARKER[1].split("/")[1], cargo)


if __name__ == "__main__":
    unittest.main()
