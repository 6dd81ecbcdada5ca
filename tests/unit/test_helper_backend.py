"""The server's end of the privileged helper: real processes that play it, well or badly."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.cluster import create_backend, helper_process
from sparkkernels.cluster.helper import HelperBackend
from sparkkernels.cluster.helper_process import helper_error
from sparkkernels.errors import ConfigurationError, NotAllowed, SparkKernelError, SubmitError
from sparkkernels.spec import LaunchSpec
from sparkkernels.states import ApplicationState

ID = "application_1_0001"
REGISTRATION = {"token": "0" * 64}
SPEC = LaunchSpec(
    kernel_id="00000000-0000-0000-0000-000000000001",
    generation=1,
    master="yarn",
    argv=("python", "argv"),
    env={"SECRET": "1"},
    python="/opt/python",
    tags=("sparkkernels",),
)
#: Plays the helper: `answer(operation, arguments)` of each test makes the messages for a request.
PLAYER = """
import json, sys, time, os
def say(**content):
    print(json.dumps(content), flush=True)
{}
say(ready={{"user": "alice"}})
for line in sys.stdin:
    request = json.loads(line)
    with open({!r}, "a") as file:
        file.write(line)
    for content in answer(request["operation"], request["arguments"]):
        say(id=request["id"], **content)
"""

Play = Callable[[str], HelperBackend]


@pytest.fixture
def play(tmp_path: Path) -> Iterator[Play]:
    backends: list[HelperBackend] = []

    def start(answer: str) -> HelperBackend:
        script = tmp_path / "helper.py"
        script.write_text(PLAYER.format(answer, str(tmp_path / "asked")))
        backends.append(HelperBackend(shlex.join([sys.executable, "-I", str(script)])))
        return backends[-1]

    yield start
    for backend in backends:
        backend.close()


def asked(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "asked").read_text().splitlines()]


def test_one_process_answers_all_requests(play: Play, tmp_path: Path) -> None:
    backend = play("""
def answer(operation, arguments):
    if operation == "report":
        found = {"application_id": arguments["application_ids"][0], "state": "RUNNING", "queue": "q",
                 "host": "h", "final_status": "UNDEFINED", "diagnostics": "", "tracking_url": ""}
        return [{"done": [found]}]
    return [{"done": {"hosts": ["a", "b"], "logs": "lines"}.get(operation)}]
""")
    backend.prepare(SPEC)
    assert backend.hosts() == backend.hosts() == ["a", "b"]
    assert backend.report([ID])[ID].state is ApplicationState.RUNNING
    assert backend.logs(ID, 100) == "lines"
    backend.kill(ID)
    requests = asked(tmp_path)
    assert [request["operation"] for request in requests] == ["prepare", "hosts", "report", "logs", "kill"]
    assert "SECRET" not in json.dumps(requests) and "argv" not in json.dumps(requests)


def test_a_submit_tells_its_id_and_then_that_it_was_accepted(play: Play, tmp_path: Path) -> None:
    backend = play("""
def answer(operation, arguments):
    return [{"application_id": "application_1_0001"}, {"done": "application_1_0001"}]
""")
    registration = tmp_path / "registration.json"
    registration.write_text(json.dumps(REGISTRATION))
    known: list[str] = []
    submission = backend.submit(SPEC, registration, known.append)
    assert submission.wait() == submission.application_id == "application_1_0001" == known[0]
    submission.cancel()
    assert [request["operation"] for request in asked(tmp_path)] == ["submit"]
    assert asked(tmp_path)[0]["arguments"]["registration"] == REGISTRATION


def test_a_cancel_waits_for_the_helpers_word(play: Play, tmp_path: Path) -> None:
    backend = play("""
def answer(operation, arguments):
    if operation == "cancel":
        say(id=arguments["submit"], error={"kind": "SubmitError", "message": "It was cancelled."})
        return [{"done": None}]
    return [{"application_id": "application_1_0001"}]
""")
    registration = tmp_path / "registration.json"
    registration.write_text("{}")
    submission = backend.submit(SPEC, registration, lambda _: None)
    submission.cancel()
    with pytest.raises(SubmitError, match="It was cancelled"):
        submission.wait()
    assert submission.application_id == "application_1_0001"


def test_errors_are_ours_again(play: Play) -> None:
    backend = play("""
def answer(operation, arguments):
    return [{"error": {"kind": "NotAllowed", "message": "No.", "hint": "Ask.", "diagnostics": "d"}}]
""")
    with pytest.raises(NotAllowed) as caught:
        backend.kill(ID)
    assert str(caught.value) == "No.\n\nd\n\nAsk."


def test_a_helper_that_dies_fails_what_was_asked_and_is_started_again(play: Play, tmp_path: Path) -> None:
    backend = play(f"""
def answer(operation, arguments):
    mark = {str(tmp_path / "died")!r}
    if not os.path.exists(mark):
        open(mark, "w").close()
        print("it hurts", file=sys.stderr)
        os._exit(3)
    return [{{"done": ["a"]}}]
""")
    with pytest.raises(SparkKernelError, match=r"ended unexpectedly \(exit code 3\)") as caught:
        backend.hosts()
    assert caught.value.diagnostics == "it hurts"
    assert backend.hosts() == ["a"]


def test_a_helper_that_refuses_to_start_says_why_and_is_not_tried_at_once_again(tmp_path: Path) -> None:
    error = {"kind": "NotAllowed", "message": "alice may not.", "hint": "Ask."}
    code = f"import json; open('starts', 'a').write('x'); print(json.dumps(dict(error={error!r})))"
    backend = HelperBackend(
        shlex.join([sys.executable, "-c", code.replace("starts", str(tmp_path / "starts"))])
    )
    for _ in range(2):
        with pytest.raises(NotAllowed, match="alice may not"):
            backend.report([ID])
    assert (tmp_path / "starts").read_text() == "x"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        ("sudo: a password is required", NotAllowed, "sudo refuses"),
        ("alice is not in the sudoers file.", ConfigurationError, "does not start"),
        ("sudo: alice is not in the sudoers file", NotAllowed, "sudo refuses"),
        ("Sorry, user alice is not allowed to execute '/x' as jupyter on h.", NotAllowed, "sudo refuses"),
        ("Sorry, user alice may not run sudo on h.", NotAllowed, "sudo refuses"),
        (
            'sudo: The "no new privileges" flag is set, which prevents sudo',
            ConfigurationError,
            "can't use sudo",
        ),
        ("sudo: unknown user jupyter", ConfigurationError, "does not start"),
        ("/opt/python: No module named sparkkernels", ConfigurationError, "does not start"),
    ],
)
def test_what_sudo_says_in_our_words(said: str, kind: type, words: str) -> None:
    error = helper_error(["sudo", "-n"], said, 1, was_ready=False)
    assert type(error) is kind and words in error.message and error.diagnostics == said and error.hint
    assert ("visudo" in error.hint) == (kind is NotAllowed)


def test_a_command_that_is_none() -> None:
    for command in (" ", "'", ""):
        with pytest.raises(ConfigurationError, match="no command"):
            HelperBackend(command)
    with pytest.raises(ConfigurationError, match="can't be started"):
        HelperBackend("/not/there").hosts()


def test_a_greeting_before_the_helpers_first_word_is_no_answer(play: Play) -> None:
    backend = play("""
print("Welcome to this host.")
print("[1, 2]")
def answer(operation, arguments):
    return [{"done": ["a"]}]
""")
    assert backend.hosts() == ["a"]


def test_an_idle_helper_is_let_go(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_process, "IDLE_S", 0.0)
    monkeypatch.setattr(helper_process, "LOOK_S", 0.02)
    backend = play("""
def answer(operation, arguments):
    return [{"done": ["a"]}]
""")
    assert backend.hosts() == ["a"]
    process = backend._channel._helper
    assert process is not None
    deadline = time.monotonic() + 10
    while process._process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    backend.kill(ID)


def test_without_threads_an_answer_is_read_right_away(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """As at the interpreter's exit."""

    def refuse(self: Any) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr("threading.Thread.start", refuse)
    backend = play("""
def answer(operation, arguments):
    if operation == "logs":
        os._exit(1)
    return [{"done": ["a"]}]
""")
    assert backend.hosts() == ["a"]
    backend.kill(ID)
    with pytest.raises(SparkKernelError, match="ended unexpectedly"):
        backend.logs(ID)


def test_a_kernel_is_this_accounts_own_and_settings_have_an_end() -> None:
    backend = HelperBackend("false")
    proxied = LaunchSpec(**{**vars(SPEC), "proxy_user": "bob"})
    with pytest.raises(ConfigurationError, match="as nobody else"):
        backend.prepare(proxied)
    long = LaunchSpec(**{**vars(SPEC), "spark_conf": {"spark.a": "x" * 2**20}})
    with pytest.raises(ConfigurationError, match="1 MiB"):
        backend.prepare(long)


def test_the_same_command_is_the_same_backend() -> None:
    one = create_backend("yarn", submit_helper="sudo x", hadoop_conf_dir="/a")
    assert isinstance(one, HelperBackend)
    assert create_backend("yarn", submit_helper="sudo x", hadoop_conf_dir="/b") is one
    assert create_backend("yarn", submit_helper="sudo y") is not one
    assert not isinstance(create_backend("local[*]", submit_helper="sudo x"), HelperBackend)
