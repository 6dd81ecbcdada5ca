"""The Python launcher without a JVM: names, cells, settings, patches, and the wait for Spark."""

from __future__ import annotations

import builtins
import importlib
import json
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import traceback
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from sparkkernels_python import imports, link
from sparkkernels_python.background import BackgroundImport
from sparkkernels_python.cells import Cells
from sparkkernels_python.channel import Channel
from sparkkernels_python.errors import SparkContextFailed
from sparkkernels_python.interrupts import cut
from sparkkernels_python.link import SparkLink
from sparkkernels_python.magic import SparkMagic, parse
from sparkkernels_python.names import NotebookNames
from sparkkernels_python.notices import Notices
from sparkkernels_python.settings import split, warn
from sparkkernels_supervisor.context import _application_id, explain

LAUNCHERS = Path(imports.__file__).parents[1]


class Session:
    """Stands for a SparkSession."""

    sparkContext = "the context"


class Supervisor:
    """The other end of a launcher's channel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._socket = ours
        self._lines = ours.makefile("rb")
        self.channel = Channel(theirs)
        self._theirs = theirs

    def say(self, **message: Any) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._lines.readline())
        return message

    def leave(self) -> None:
        self._lines.close()
        self._socket.close()


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    one = Supervisor()
    yield one
    one.leave()
    one._theirs.close()


# -- names --------------------------------------------------------------------------------------------------


@pytest.fixture
def namespace() -> dict[str, Any]:
    return {"__name__": "__main__", "__builtins__": builtins}


def run(names: NotebookNames, namespace: dict[str, Any], code: str) -> None:
    with names.during(code):
        exec(textwrap.dedent(code), namespace)


@pytest.mark.parametrize(
    "code",
    [
        "x = spark.sparkContext",
        "x = sc",
        "def f():\n    return sc\nx = f()",
        "class C:\n    def m(self):\n        return [sc for _ in 'a'][0]\nx = C().m()",
        "exec('x = sc')",
        "x = eval('sc')",
        "x = (lambda: sc)()",
        "import json\nx = sc",
    ],
)
def test_code_that_names_spark_gets_the_real_thing_wherever_it_does(
    namespace: dict[str, Any], code: str
) -> None:
    run(NotebookNames(namespace, Session), namespace, code)
    assert namespace["x"] == "the context"


def test_a_function_defined_in_one_cell_resolves_the_name_when_it_is_called_in_another(
    namespace: dict[str, Any],
) -> None:
    names = NotebookNames(namespace, Session)
    run(names, namespace, "def f():\n    return sc, len([1]), input")
    run(names, namespace, "x = f()")
    assert namespace["x"] == ("the context", 1, builtins.input)


def test_names_of_nobody_stay_name_errors_and_an_interrupt_gets_through(namespace: dict[str, Any]) -> None:
    def interrupted() -> Any:
        raise KeyboardInterrupt

    names = NotebookNames(namespace, interrupted)
    with pytest.raises(NameError, match="spork"):
        run(names, namespace, "spark_ = 1; eval('spork')")
    with pytest.raises(KeyboardInterrupt):
        run(names, namespace, "def f(): return spark\nf()")
    assert namespace["__builtins__"] is builtins


def test_without_spark_the_names_are_unknown(namespace: dict[str, Any]) -> None:
    def none() -> Any:
        raise KeyError("spark")

    with pytest.raises(NameError, match="spark"):
        run(NotebookNames(namespace, none), namespace, "spark")


def test_functions_without_spark_are_made_with_python_s_own_builtins(namespace: dict[str, Any]) -> None:
    names = NotebookNames(namespace, Session)
    run(names, namespace, "def f(): return len([])\nimport builtins\nx = __builtins__ is builtins")
    assert namespace["x"] is True
    run(names, namespace, "y = __builtins__.len is len, 'spark'")
    assert namespace["y"][0] is True


def test_bound_names_are_ordinary_variables_and_never_replace_the_notebook_s_own(
    namespace: dict[str, Any],
) -> None:
    session = Session()
    namespace["sc"] = "mine"
    names = NotebookNames(namespace, Session)
    names.bind(session)
    assert namespace["spark"] is session and namespace["sc"] == "mine"
    with names.during("spark"):
        assert namespace["__builtins__"] is builtins


@pytest.mark.parametrize("name", ["display", "input", "of_a_library"])
def test_what_is_patched_into_the_builtins_later_is_seen(
    namespace: dict[str, Any], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    names = NotebookNames(namespace, Session)
    run(names, namespace, f"def f():\n    spark\n    return {name}('x')")
    with names.during("spark"):
        monkeypatch.setattr(builtins, name, str.upper, raising=False)  # as ipykernel does in a cell
        assert namespace["f"]() == "X"


def test_two_subshells_leave_python_s_own_builtins(namespace: dict[str, Any]) -> None:
    names = NotebookNames(namespace, Session)
    first, second = names.during("spark"), names.during("sc")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert eval("sc", namespace) == "the context"  # noqa: S307
    second.__exit__(None, None, None)
    assert namespace["__builtins__"] is builtins


@pytest.mark.parametrize(
    ("code", "late"),
    [
        ("x = 5 % 3", False),
        ("def f(a):\n    return '%d' % a", False),
        ("%%time\nf()", True),
        ("x = %sql select", True),
        ("%run -i other.py", True),
        ("disc.plot()", False),
        ("f(spark)", True),
    ],
)
def test_only_code_that_may_name_spark_pays_for_it(namespace: dict[str, Any], code: str, late: bool) -> None:
    with NotebookNames(namespace, Session).during(code):
        assert (namespace["__builtins__"] is not builtins) == late


# -- cells --------------------------------------------------------------------------------------------------


def test_a_cell_s_tag_is_announced_when_it_is_issued_and_its_being_busy_always(
    supervisor: Supervisor,
) -> None:
    cells = Cells(supervisor.channel)
    with cells.running():
        pass
    with cells.running():
        cell = cells.current()
        assert cell is not None
        assert [cells.tag(cell), cells.tag(cell)] == ["sparkkernels-cell-2", "sparkkernels-cell-2.2"]
        with cells.outside():
            outside = cells.current()
            assert outside is not None and cells.tag(outside) == ""
        assert cells.current() is cell
    assert cells.current() is None
    with cells.outside():
        assert cells.current() is None
    heard = [supervisor.hear() for _ in range(7)]
    assert [message["busy"] for message in heard if message["type"] == "busy"] == [True, False, True, False]
    tags = [message["tag"] for message in heard if message["type"] == "cell"]
    assert tags == ["sparkkernels-cell-2", "sparkkernels-cell-2.2", ""]


def test_a_thread_is_not_in_the_cell_that_started_it(supervisor: Supervisor) -> None:
    cells = Cells(supervisor.channel)
    seen: list[Any] = []
    with cells.running():
        thread = threading.Thread(target=lambda: seen.append(cells.current()))
        thread.start()
        thread.join()
    assert seen == [None]


# -- settings -----------------------------------------------------------------------------------------------


def test_settings_are_told_apart_by_what_spark_says_and_by_their_names() -> None:
    application = {"spark.executor.memory": "1g", "spark.sql.warehouse.dir": "/here"}
    settable, ignored = split(
        {
            "spark.app.name": "mine",
            "spark.executor.memory": "9g",
            "spark.sql.warehouse.dir": "/here",
            "spark.sql.shuffle.partitions": 7,
            "spark.core.entry": True,
            "spark.master": "local[4]",
            "own.setting": "x",
        },
        lambda name, value: application.get(name) == value,
        {"spark.core.entry", "spark.sql.warehouse.dir"}.__contains__,
    )
    assert settable == {"spark.app.name": "mine", "spark.sql.shuffle.partitions": 7, "own.setting": "x"}
    assert ignored == ["spark.executor.memory", "spark.core.entry", "spark.master"]


def test_the_warning_names_the_settings_and_the_line_that_asked() -> None:
    with pytest.warns(RuntimeWarning, match=r"application_1_2.*too late for: a, b\.") as caught:
        warn(["b", "a"], "application_1_2", depth=1)
    assert caught[0].filename == __file__


def test_nothing_ignored_is_nothing_said(recwarn: pytest.WarningsRecorder) -> None:
    warn([], "application_1_2", depth=1)
    assert not recwarn.list


# -- patches at import --------------------------------------------------------------------------------------


@pytest.mark.parametrize("zipped", [False, True])
def test_a_module_is_patched_before_its_importer_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
) -> None:
    name = f"patched_module_{zipped}".lower()
    source = "value = 'plain'\ndef f():\n    return value\n"
    if zipped:
        with zipfile.ZipFile(tmp_path / "modules.zip", "w") as file:
            file.writestr(f"{name}.py", source)
        monkeypatch.syspath_prepend(str(tmp_path / "modules.zip"))
    else:
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    imports.patch_on_import({name: lambda module: setattr(module, "value", "patched")})
    module = importlib.import_module(name)
    assert module.f() == "patched"
    assert module.__spec__ is not None and module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__module__ != imports.__name__
    assert module.__loader__.get_source(name) == source  # type: ignore[union-attr]
    del sys.modules[name]


def test_a_module_that_is_there_is_patched_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    patched: list[Any] = []
    imports.patch_on_import({"json": patched.append})
    assert patched == [json]


# -- interrupts ---------------------------------------------------------------------------------------------


def test_an_interrupt_shows_where_the_notebook_was_and_not_what_pyspark_did() -> None:
    inside: dict[str, Any] = {"__name__": "pyspark.rdd"}
    exec("def socket(): raise KeyboardInterrupt\ndef count(): socket()", inside)
    own: dict[str, Any] = {"__name__": "__main__", "count": inside["count"]}
    exec("def cell(): count()", own)
    with pytest.raises(KeyboardInterrupt) as caught:
        own["cell"]()
    cut(caught.tb)
    assert [entry.name for entry in traceback.extract_tb(caught.tb)][1:] == ["cell"]
    cut(None)


# -- imports in the background ------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package and a submodule that import each other, as those of pyspark do; with time between."""
    name = "package_with_a_submodule"
    (tmp_path / name).mkdir()
    source = f"import time\nearly = 1\ntime.sleep(0.2)\nfrom {name}.part import value\n"
    (tmp_path / name / "__init__.py").write_text(source)
    (tmp_path / name / "part.py").write_text(f"from {name} import early\nvalue = early\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield name
    for module in [module for module in sys.modules if module.split(".")[0] == name]:
        del sys.modules[module]


def test_an_import_in_the_background_does_not_break_that_of_a_submodule(package: str) -> None:
    plain = builtins.__import__
    one = BackgroundImport(package)
    one.watch()
    thread = threading.Thread(target=one.in_background)
    thread.start()
    while package not in sys.modules:
        pass
    from package_with_a_submodule.part import value  # type: ignore[import-not-found]

    thread.join()
    assert value == 1
    assert builtins.__import__ is plain


def test_an_import_in_the_background_waits_for_an_import_that_needs_it_and_gets_it_from_there(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = BackgroundImport(package)
    background = threading.Thread(target=one.in_background)

    def need() -> None:
        background.start()
        background.join(0.1)
        assert background.is_alive() and package not in sys.modules
        one.now()
        background.join()

    monkeypatch.setattr(builtins, "need", need, raising=False)
    (tmp_path / "module_that_needs_it.py").write_text("need()\n")
    one.watch()
    importlib.import_module("json")
    __import__("module_that_needs_it")
    assert package in sys.modules
    del sys.modules["module_that_needs_it"]


def test_an_import_of_nothing_fails_here_and_is_over() -> None:
    plain = builtins.__import__
    one = BackgroundImport("no_such_module_anywhere")
    one.watch()
    with pytest.raises(ImportError):
        one.now()
    with pytest.raises(ImportError):
        one.in_background()
    assert builtins.__import__ is plain


# -- the wait for Spark -------------------------------------------------------------------------------------


def make_link(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, attach: Callable[..., Any]
) -> SparkLink:
    class Module:
        Attachment = staticmethod(attach)

    monkeypatch.setitem(sys.modules, "sparkkernels_python.attach", Module)
    monkeypatch.setattr(link, "IMPORT_AFTER_S", 0.0)
    monkeypatch.setattr(link, "SILENCE_S", 0.05)
    monkeypatch.setattr(link, "BackgroundImport", lambda name: BackgroundImport("json"))
    one = SparkLink(supervisor.channel, Cells(supervisor.channel), lambda session: None)
    one.start()
    return one


class Attachment:
    """Stands for a share in an application."""

    def __init__(self, *arguments: Any) -> None:
        self.session = Session()
        self.context = object()
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_wait_says_once_what_it_waits_for(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_link(supervisor, monkeypatch, Attachment)
    supervisor.say(type="context", state="starting", text="the application a_1 is starting its SparkContext")
    timer = threading.Timer(0.3, supervisor.say, kwargs={"type": "gateway", "port": 1, "secret": "s"})
    timer.start()
    session = one.session()
    assert isinstance(session, Session) and one.session() is session
    said = capsys.readouterr().err
    assert said == "Waiting for Spark: the application a_1 is starting its SparkContext …\n"
    timer.join()


def test_no_wait_is_no_word(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    one = make_link(supervisor, monkeypatch, Attachment)
    monkeypatch.setattr(link, "SILENCE_S", 30.0)
    supervisor.say(type="context", state="ready", text="ready")
    supervisor.say(type="gateway", port=1, secret="s")
    one.session()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("state", "first"),
    [
        ("failed", "The SparkContext could not be started."),
        ("stopped", "The SparkContext of this application has ended."),
    ],
)
def test_no_context_is_an_error_with_its_cause_and_a_step_to_take(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, state: str, first: str
) -> None:
    one = make_link(supervisor, monkeypatch, Attachment)
    supervisor.say(type="context", state=state, text="java.lang.Exception: no luck\n    at a.b")
    for wait in (one.session, one.settle):
        with pytest.raises(SparkContextFailed) as caught:
            wait()
        lines = str(caught.value).splitlines()
        assert lines == [
            first,
            "java.lang.Exception: no luck",
            "    at a.b",
            "Restart the kernel to try again.",
        ]


def test_a_failure_to_attach_says_why(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> Any:
        raise ImportError("No module named 'pyspark'")

    one = make_link(supervisor, monkeypatch, fail)
    supervisor.say(type="context", state="ready", text="")
    supervisor.say(type="gateway", port=1, secret="s")
    with pytest.raises(SparkContextFailed, match=r"(?s)could not attach.*No module named 'pyspark'"):
        one.session()


def test_a_kernel_without_spark_says_so_and_a_supervisor_that_leaves_ends_the_wait(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_link(supervisor, monkeypatch, Attachment)
    supervisor.say(type="context", state="none", text="")
    assert not one.exists()
    one.settle()
    supervisor.leave()
    with pytest.raises(SparkContextFailed, match="supervisor of this kernel is gone"):
        one.session()


def test_a_release_is_done_when_the_supervisor_says_so_and_the_next_session_is_another(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = make_link(supervisor, monkeypatch, Attachment)
    supervisor.say(type="context", state="ready", text="")
    supervisor.say(type="gateway", port=1, secret="s")
    session = one.session()
    attachment: Any = one._attachment
    assert not one.release(object())
    timer = threading.Timer(0.1, supervisor.say, kwargs={"type": "released"})
    timer.start()
    assert one.release(attachment.context)
    timer.join()
    assert supervisor.hear() == {"type": "release"}
    assert attachment.closed and not one.release(attachment.context)
    one.settle()  # a stopped session is not waited for
    assert one.session() is not session


# -- the kernel without a supervisor, and the supervisor's words ---------------------------------------------


def test_without_a_supervisor_nothing_of_spark_is_there(tmp_path: Path) -> None:
    code = """
        import sys
        from sparkkernels_python import app
        app.IPKernelApp.start = lambda self: None
        app.main(["--IPKernelApp.parent_handle=1", "--no-secure", "-f", sys.argv[1]])
        kernel = app.IPKernelApp.instance().kernel
        loaded = [name for name in sys.modules if name.split(".")[0] in ("pyspark", "py4j")]
        print(kernel.spark, type(kernel.shell.user_ns["__builtins__"]).__name__, loaded, file=sys.__stdout__)
        sys.__stdout__.flush()
        import os; os._exit(0)
        """
    environment = {name: value for name, value in os.environ.items() if name != "SPARKKERNELS_FD"}
    environment["PYTHONPATH"] = str(LAUNCHERS)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "connection.json")],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip().endswith("None module []"), done.stderr


@pytest.mark.parametrize(
    ("container_id", "application_id"),
    [
        ("container_1410901177871_0001_01_000005", "application_1410901177871_0001"),
        ("container_e17_1410901177871_0042_01_000001", "application_1410901177871_0042"),
        ("", ""),
    ],
)
def test_the_application_s_id_follows_from_the_container_s(container_id: str, application_id: str) -> None:
    assert _application_id({"CONTAINER_ID": container_id} if container_id else {}) == application_id


def test_an_error_that_is_not_java_s_is_named() -> None:
    assert explain(OSError("no route")) == "OSError: no route"


# -- %spark -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", ["", "--help", "restart -h"])
def test_the_magic_says_what_there_is(line: str) -> None:
    assert parse(line) is None


@pytest.mark.parametrize(
    ("line", "conf", "queue"),
    [
        ("restart", {}, None),
        ("restart --queue a.b", {}, "a.b"),
        (
            "restart --conf spark.a=1 --conf 'spark.b=x y=z' --conf=spark.c=",
            {"spark.a": "1", "spark.b": "x y=z", "spark.c": ""},
            None,
        ),
    ],
)
def test_the_magic_takes_settings_as_spark_submit_does(
    line: str, conf: dict[str, str], queue: str | None
) -> None:
    assert parse(line) == {"type": "restart", "spark_conf": conf, "queue": queue}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("restart --conf spark.a", "'spark.a' is not NAME=VALUE"),
        ("restart --conf =1", "is not NAME=VALUE"),
        ("restart --con spark.a=1", "unrecognized arguments"),
        ("again", "invalid choice"),
        ("--queue a", "settings come with a restart: %spark restart --queue a"),
        ("restart 'a", "No closing quotation"),
    ],
)
def test_the_magic_says_what_is_wrong_with_a_line(line: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)):
        parse(line)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An IPython."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setattr("IPython.core.history.HistoryAccessor.enabled", False)
    make: Any = InteractiveShell
    return make()


def test_a_line_that_is_only_a_name_remains_the_variable_s(supervisor: Supervisor, shell: Any) -> None:
    SparkMagic(shell, supervisor.channel)
    for line in ("spark", "spark restart", "spark.range(3)"):
        assert shell.prefilter(line) == line
    assert shell.transform_cell("%spark restart") == "get_ipython().run_line_magic('spark', 'restart')\n"


def test_a_refusal_is_the_cell_s_error(supervisor: Supervisor, shell: Any) -> None:
    magic = SparkMagic(shell, supervisor.channel)

    def answer() -> None:
        assert supervisor.hear() == {"type": "restart", "spark_conf": {"spark.a": "1"}, "queue": None}
        magic.hear({"type": "restart_answer", "accepted": False, "text": "Not here."})

    thread = threading.Thread(target=answer)
    thread.start()
    with pytest.raises(UsageError, match=r"Not here\."):
        magic.spark("restart --conf spark.a=1")
    thread.join()


def test_notices_about_different_things_are_all_shown_once(
    supervisor: Supervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    notices = Notices(Cells(supervisor.channel))
    for text, about in (("Tokens.", ""), ("New.", "restart"), ("", ""), ("Gone.", "context")):
        notices.hear(text, about)
    notices.show()
    notices.show()
    assert capsys.readouterr().err == "New.\nGone.\n"
