"""A server of one's own for everybody, and one service's keytab: real accounts, real sudo, real Kerberos."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sparkkernels import cluster as cluster_package
from sparkkernels.cluster.delegation_tokens import decode
from sparkkernels.cluster.helper import HelperBackend
from sparkkernels.errors import ConfigurationError, NotAllowed, SubmitError
from sparkkernels.spec import LaunchSpec
from sparkkernels.submit_helper.messages import tokens_from_json

from .conftest import FINAL, SHARED_STAGING, Kernels, install
from .failed_start import failed_start
from .harness import Cluster
from .open_python import open_python
from .people import as_person, give_away, people, processes_of, sudoers

pytestmark = [pytest.mark.timeout(300)]

SERVICE = "jupyter"
#: Whom the sudoers rule lets start kernels; whom the cluster lets the service act for is another matter.
ALLOWED, STRANGER = ("alice", "bob", "carol"), "mallory"
LIMITS = {"queue": ["default"], "spark.executor.memory": {"max": "1g"}, "spark.sql.*": {}}
#: Seconds for one conversation.
LIMIT_S = 60.0


@dataclass(frozen=True)
class Host:
    """A host with the helper on it.

    Attributes
    ----------
    command : list of str
        What the sudoers rule allows.
    keytab, home : Path
    python : Path
        A Python that everybody can run.
    """

    command: list[str]
    keytab: Path
    home: Path
    python: Path

    def as_(self, person: str) -> str:
        """The setting ``submit_helper`` for tests that are not that person: they become it before sudo."""
        return shlex.join([*as_person(person), *self.command])

    def say(self, person: str, *requests: Any, **more: Any) -> list[dict[str, Any]]:
        """Have somebody start the helper and say these requests; what it says until it has answered all."""
        lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in requests]
        more = {"cwd": "/", "env": {"PATH": os.environ["PATH"]}, "stdin": subprocess.PIPE, **more}
        heard: list[dict[str, Any]] = []
        command = [*as_person(person), *self.command]
        with subprocess.Popen(command, stdout=subprocess.PIPE, **more) as helper:
            assert helper.stdin is not None and helper.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it does not listen to everything to the end
                helper.stdin.write(b"".join(line + b"\n" for line in lines))
                helper.stdin.flush()
            while sum(not answer.keys().isdisjoint({"done", "error"}) for answer in heard) < len(lines):
                line = helper.stdout.readline()
                if not line:
                    break
                heard.append(json.loads(line))
            with contextlib.suppress(BrokenPipeError):
                helper.stdin.close()
            helper.wait(LIMIT_S)
        return heard

    def run(self, person: str, command: list[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
        """Run a command as somebody."""
        more = {"cwd": "/", "env": {"PATH": os.environ["PATH"]}, "input": b"", **more}
        return subprocess.run(
            [*as_person(person), *command], capture_output=True, timeout=LIMIT_S, check=False, **more
        )


@pytest.fixture(scope="module")
def host(secure_cluster: Cluster) -> Iterator[Host]:
    """Accounts, a Python for all, the settings and the sudoers rule; all of it is removed."""
    directory = Path(tempfile.mkdtemp(prefix="sparkkernels-host-"))
    directory.chmod(0o755)
    try:
        with people((*ALLOWED, STRANGER), SERVICE, directory / "home"):
            python = open_python(directory / "python")
            keytab = directory / "home" / SERVICE / "service.keytab"
            shutil.copy(secure_cluster.keytab(SERVICE), keytab)
            shutil.chown(keytab, SERVICE, SERVICE)
            keytab.chmod(0o400)
            find_spark = [str(python), "-I", "-c", "import findspark; print(findspark.find())"]
            spark_home = os.environ.get("SPARK_HOME") or subprocess.check_output(
                find_spark, text=True, timeout=LIMIT_S
            )
            settings = directory / "helper.json"
            content = {
                "principal": secure_cluster.principal(SERVICE),
                "keytab": str(keytab),
                "krb5_config": str(secure_cluster.krb5_conf),
                "hadoop_conf_dir": str(secure_cluster.conf_dir),
                "ca_file": str(secure_cluster.ca_file),
                "spark_home": spark_home.strip(),
                "java_home": secure_cluster.environment()["JAVA_HOME"],
                "staging_dir": SHARED_STAGING,
                "pythons": [sys.executable],
                "limits": LIMITS,
            }
            settings.write_text(json.dumps(content))
            settings.chmod(0o644)
            program = [str(python), "-I", "-m", "sparkkernels.submit_helper", "--settings", str(settings)]
            rule = "".join(f"{name} ALL = ({SERVICE}) NOPASSWD: {' '.join(program)}\n" for name in ALLOWED)
            with sudoers(rule):
                command = ["sudo", "-n", "-u", SERVICE, *program]
                yield Host(command, keytab, directory / "home", python)
                until(lambda: not processes_of(SERVICE), "no helper is left", 15)
            assert [name for name in (*ALLOWED, STRANGER) if processes_of(name)] == []
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def helped(host: Host, secured: Cluster) -> Iterator[Host]:
    """The host; helpers of this process end with each test."""
    yield host
    for backend in cluster_package._backends.values():
        if isinstance(backend, HelperBackend):
            backend.close()


def until(condition: Callable[[], Any], what: str, limit_s: float) -> Any:
    deadline = time.monotonic() + limit_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what}"
        time.sleep(0.1)
    return value


def applications_of(cluster: Cluster, kernel_id: str) -> list[dict[str, Any]]:
    return [app for app in cluster.applications() if kernel_id in str(app["applicationTags"]).split(",")]


def spec_for(kernel_id: str, **more: Any) -> dict[str, Any]:
    return {
        "kernel_id": kernel_id,
        "generation": 1,
        "python": sys.executable,
        "name": "helped",
        "queue": None,
        "spark_conf": {},
        "jars": [],
        "scala_version": "",
        "server_tag": None,
        "launch_timeout_s": 60,
        "registration_timeout_s": 30,
        "orphan_timeout_s": 30,
        **more,
    }


def registration_for(kernel_id: str) -> dict[str, Any]:
    return {
        "protocol": 1,
        "kernel_id": kernel_id,
        "generation": 1,
        "addresses": [["127.0.0.1", 9]],
        "fingerprint": "0" * 64,
        "token": "0" * 64,
        "registration_timeout_s": 30,
    }


def submit_of(kernel_id: str, **more: Any) -> dict[str, Any]:
    arguments = {"spec": spec_for(kernel_id, **more), "registration": registration_for(kernel_id)}
    return {"id": 1, "operation": "submit", "arguments": arguments}


def test_a_persons_own_server_starts_a_kernel_that_nobody_else_can_touch(
    secured: Cluster, helped: Host, tmp_path: Path
) -> None:
    kernelspecs = Path(os.environ["JUPYTER_PATH"])
    name = install(tmp_path, None, {"submit_helper": shlex.join(helped.command)})
    shutil.copytree(kernelspecs, helped.home / "alice" / "jupyter")
    for path in [helped.home / "alice" / "jupyter", *(helped.home / "alice" / "jupyter").rglob("*")]:
        shutil.chown(path, "alice", "alice")
    script = helped.home / "alice" / "person.py"
    shutil.copy(Path(__file__).with_name("person.py"), script)
    script.chmod(0o644)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(helped.home / "alice"),
        "JUPYTER_PATH": str(helped.home / "alice" / "jupyter"),
    }
    alice = subprocess.Popen(
        [*as_person("alice"), str(helped.python), "-I", str(script), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        cwd="/",
        text=True,
    )
    assert alice.stdin is not None and alice.stdout is not None
    try:

        def ask(code: str) -> str:
            print(code, file=alice.stdin, flush=True)
            return str(heard(alice)["value"])

        started = heard(alice)
        assert started.get("uid") == os.stat(helped.home / "alice").st_uid, started
        application_id = started["application_id"]
        assert ask("1 + 1") == "2"
        user = "sc._jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getUserName()"
        assert ask(user) == "'alice'"
        [app] = [app for app in secured.applications() if app["id"] == application_id]
        assert app["user"] == "alice"
        ask("sc._jvm.System.err.println('a line of hers')")
        give_away(secured.log_directories(application_id), "alice")
        nobody_else_touches(helped, application_id)
        assert ask("40 + 2") == "42"
        alice.stdin.close()  # she goes, and leaves the kernel to the interpreter's exit
        assert alice.wait(LIMIT_S) == 0
    finally:
        alice.stdin.close()
        alice.wait(LIMIT_S)
        alice.stdout.close()
    [app] = [app for app in secured.applications() if app["id"] == application_id]
    assert app["state"] in FINAL
    until(lambda: not processes_of(SERVICE), "the helper ends with its server", 10)


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return dict(json.loads(process.stdout.readline()))


def nobody_else_touches(host: Host, application_id: str) -> None:
    """Bob gets at neither alice's application nor, like her, at the service's credentials."""
    ticket = host.home / SERVICE / ".cache" / "sparkkernels" / "ticket"
    assert ticket.exists()
    for person in ("alice", "bob"):
        for secret in (host.keytab, ticket):
            assert b"Permission denied" in host.run(person, ["cat", str(secret)]).stderr
    asked = [
        {"id": 1, "operation": "kill", "arguments": {"application_id": application_id}},
        {"id": 2, "operation": "logs", "arguments": {"application_id": application_id, "tail_bytes": 9999}},
        {"id": 3, "operation": "report", "arguments": {"application_ids": [application_id]}},
        {"id": 4, "operation": "fresh_tokens", "arguments": {"application_id": application_id}},
    ]
    answers = {answer.get("id"): answer for answer in host.say("bob", *asked)}
    for number in (1, 2, 4):
        error = answers[number]["error"]
        assert error["kind"] == "NotAllowed"
        assert error["message"] == f"{application_id} is not a Spark kernel of bob."
    assert answers[3]["done"] == []
    answers = {answer.get("id"): answer for answer in host.say("alice", *asked[1:])}
    assert "a line of hers" in answers[2]["done"] and answers[3]["done"][0]["state"] == "RUNNING"
    fresh = tokens_from_json(answers[4]["done"])
    [token] = decode(fresh.credentials).values()
    assert b"alice" in token.identifier and round(fresh.life_s) == 86400


def test_whatever_a_caller_brings_along_is_not_heard(host: Host, tmp_path: Path) -> None:
    traps = host.home / "bob" / "traps"
    (traps / "sparkkernels").mkdir(parents=True)
    for name in ("json.py", "os.py", "sparkkernels/__init__.py", "sitecustomize.py", "usercustomize.py"):
        (traps / name).write_text("raise SystemExit('TRAPPED')\n")
    for path in (traps, *traps.rglob("*")):
        shutil.chown(path, "bob", "bob")
    environment = {
        "PATH": os.environ["PATH"],
        "SUDO_USER": "alice",
        "SUDO_UID": str(os.stat(host.home / "alice").st_uid),
        "SUDO_COMMAND": "x",
        "USER": "alice",
        "LOGNAME": "alice",
        "HOME": str(traps),
        "PYTHONPATH": str(traps),
        "PYTHONHOME": str(traps),
        "PYTHONSTARTUP": str(traps / "json.py"),
        "HADOOP_CONF_DIR": str(traps),
        "HADOOP_PROXY_USER": "alice",
        "HADOOP_USER_NAME": "alice",
        "SPARK_HOME": str(traps),
        "JAVA_HOME": str(traps),
        "JAVA_TOOL_OPTIONS": "-Dx=y",
        "SPARK_SUBMIT_OPTS": "-Dx=y",
        "LD_PRELOAD": str(traps / "x.so"),
        "LD_LIBRARY_PATH": str(traps),
        "KRB5CCNAME": f"FILE:{traps / 'ticket'}",
        "KRB5_CONFIG": str(traps / "krb5.conf"),
        "TMPDIR": str(traps),
        "BASH_ENV": str(traps / "json.py"),
    }
    unknown = {"id": 1, "operation": "report", "arguments": {"application_ids": ["application_1_1"]}}
    answers = host.say("bob", unknown, env=environment, cwd=traps)
    assert answers[0]["ready"]["user"] == "bob"
    assert answers[1] == {"id": 1, "done": []}  # asked with the service's ticket
    ready = subprocess.Popen(
        [*as_person("bob"), *host.command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        cwd=traps,
    )
    try:
        assert ready.stdout is not None and b"bob" in ready.stdout.readline()
        [running] = [pid for pid in Path("/proc").iterdir() if _is_helper(pid)]
        found = dict(line.split(b"=", 1) for line in (running / "environ").read_bytes().split(b"\0") if line)
        # sudo lets this one pass; the helper drops it
        assert [name for name, value in found.items() if os.fsencode(traps) in value] in ([], [b"KRB5CCNAME"])
        assert (running / "cwd").readlink() == Path("/")
    finally:
        ready.communicate(timeout=LIMIT_S)
    for more in (["x"], ["--settings", str(traps / "helper.json")]):
        refused = host.run("bob", [*host.command, *more])
        assert refused.returncode == 1 and refused.stdout == b"" and b"sudo" in refused.stderr
    for changed in (host.command[:-1], ["sudo", "-n", "-u", "alice", *host.command[4:]], host.command[:4]):
        assert host.run("bob", [*changed]).returncode != 0
    with_variables = ["sudo", "-n", "PYTHONPATH=/tmp", *host.command[2:]]
    assert b"not allowed to set" in host.run("bob", with_variables).stderr


def _is_helper(pid: Path) -> bool:
    try:
        return (
            pid.name.isdigit()
            and pid.owner() == SERVICE
            and b"submit_helper" in (pid / "cmdline").read_bytes()
        )
    except (OSError, KeyError):
        return False


def test_requests_for_others_or_for_more_than_is_allowed_never_reach_the_cluster(
    secured: Cluster, helped: Host
) -> None:
    before = len(secured.applications())
    kernel_id = str(uuid.uuid4())
    refused: list[tuple[dict[str, Any], str, str]] = [
        ({"proxy_user": "alice"}, "ConfigurationError", "must not have 'proxy_user'"),
        ({"env": {}}, "ConfigurationError", "must not have 'env'"),
        ({"python": "/etc/passwd"}, "NotAllowed", "'/etc/passwd'"),
        ({"queue": "root.secret"}, "NotAllowed", "root.secret"),
        ({"spark_conf": {"spark.executor.memory": "2g"}}, "NotAllowed", "at most 1g"),
        ({"spark_conf": {"spark.yarn.keytab": str(helped.keytab)}}, "NotAllowed", "spark.yarn.keytab"),
        ({"spark_conf": {"spark.files": "/etc/passwd"}}, "NotAllowed", "spark.files"),
        ({"spark_conf": {"spark.sql.a": "${env:KRB5CCNAME}"}}, "ConfigurationError", "reference"),
        ({"name": "a\n--proxy-user alice"}, "ConfigurationError", "name"),
    ]
    requests = [{**submit_of(kernel_id, **more), "id": number} for number, (more, _, _) in enumerate(refused)]
    answers = {answer.get("id"): answer for answer in helped.say("bob", *requests)}
    for number, (_, kind, words) in enumerate(refused):
        error = answers[number]["error"]
        assert error["kind"] == kind and words in error["message"], error
    for line in (b"not json", b"[" * 100000, b"{}", b"x" * 2**21):
        last = helped.say("bob", line)[-1]
        assert last["error"]["kind"] == "ConfigurationError" and len(last["error"]["message"]) < 200
    assert len(secured.applications()) == before


def test_when_the_server_is_gone_in_the_middle_of_a_submit_nothing_is_left(
    secured: Cluster, helped: Host
) -> None:
    kernel_id = str(uuid.uuid4())
    process = subprocess.Popen(
        [*as_person("alice"), *helped.command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/"
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(submit_of(kernel_id)).encode() + b"\n")
    process.stdin.flush()
    assert b"ready" in process.stdout.readline()
    assert b"application_id" in process.stdout.readline()
    process.stdin.close()
    process.stdout.close()
    process.wait(LIMIT_S)
    assert {app["state"] for app in applications_of(secured, kernel_id)} <= set(FINAL)
    until(lambda: not processes_of(SERVICE), "nothing of the submit is left", 10)


def test_a_cancelled_submit_is_gone_when_the_call_returns(
    secured: Cluster, helped: Host, tmp_path: Path
) -> None:
    kernel_id = str(uuid.uuid4())
    content = spec_for(kernel_id)
    content.pop("server_tag")
    spec = LaunchSpec(master="yarn", argv=("x",), **content)
    registration = tmp_path / "registration.json"
    registration.write_text(json.dumps(registration_for(kernel_id)))
    backend = HelperBackend(helped.as_("alice"))
    known = threading.Event()
    try:
        submission = backend.submit(spec, registration, lambda _: known.set())
        assert known.wait(LIMIT_S)
        submission.cancel()
        assert not [line for line in processes_of(SERVICE) if "java" in line]
        assert submission.application_id
        backend.kill(submission.application_id)
        with pytest.raises(SubmitError, match="cancelled"):
            submission.wait()
        began = time.monotonic()
        assert backend.report([submission.application_id]).keys() <= {submission.application_id}
        print(f"a report through the helper took {time.monotonic() - began:.3f} s")
    finally:
        backend.close()
    assert {app["state"] for app in applications_of(secured, kernel_id)} <= set(FINAL)


async def test_whom_the_cluster_or_sudo_refuses(secured: Cluster, helped: Host, tmp_path: Path) -> None:
    error = await failed_start(tmp_path, submit_helper=helped.as_("carol"))
    assert isinstance(error, NotAllowed)
    assert f"does not allow {secured.principal(SERVICE)} to act for carol." in error.message
    error = await failed_start(tmp_path, submit_helper=helped.as_(STRANGER))
    assert isinstance(error, NotAllowed) and "sudo refuses" in error.message
    assert "visudo" in error.hint
    spawned = f"setpriv --no-new-privs {helped.as_('alice')}"
    error = await failed_start(tmp_path, submit_helper=spawned)
    assert isinstance(error, ConfigurationError) and "NoNewPrivileges=no" in error.hint
    error = await failed_start(tmp_path, submit_helper="/not/there -n")
    assert isinstance(error, ConfigurationError) and "can't be started" in error.message


async def test_a_kernel_through_the_helper_restarts_and_ends_like_any_other(
    secured: Cluster, helped: Host, secure_kernels: Kernels
) -> None:
    async with secure_kernels(submit_helper=helped.as_("bob")) as notebook:
        assert (await notebook.ok("1 + 1")).value == "2"
        before = notebook.application_id
        await notebook.restart()
        assert (await notebook.ok("1 + 1")).value == "2"
        assert notebook.application_id == before
    [app] = [app for app in secured.applications() if app["id"] == before]
    assert (app["user"], app["state"], app["finalStatus"]) == ("bob", "FINISHED", "SUCCEEDED")
