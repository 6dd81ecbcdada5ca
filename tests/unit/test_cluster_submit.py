"""spark-submit: its real outputs become the right errors, and the process is read, ended and cleaned up."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from sparkkernels.cluster.command import Command
from sparkkernels.cluster.local_files import take_lock
from sparkkernels.cluster.submit import YarnSubmission
from sparkkernels.cluster.submit_errors import RULES, is_retry, lines_that_matter, submit_error
from sparkkernels.errors import (
    ConfigurationError,
    CredentialsError,
    NotAllowed,
    ResourceManagerUnavailable,
    SparkKernelError,
    SubmitError,
)

SUBMITTED = "INFO yarn.Client: Submitting application application_1795234956671_0006 to ResourceManager"
TRACE = "\tat org.apache.spark.deploy.yarn.Client.submitApplication(Client.scala:220)"
YARN = 'Exception in thread "main" org.apache.hadoop.yarn.exceptions.YarnException: '
MAIN = 'Exception in thread "main" '
CALL = (
    "java.net.ConnectException: Call From vm/127.0.0.1 to localhost:8020 failed on connection exception:"
    " java.net.ConnectException: Connection refused; For more details see: "
    " http://wiki.apache.org/hadoop/ConnectionRefused"
)

#: What Spark 3.5.9 printed against Hadoop 3.5.0, or (marked) what is known from their sources.
RECORDED: list[tuple[str, type[SparkKernelError], str]] = [
    (
        YARN + "Failed to submit application_1795234956671_0006 to YARN : Application"
        " application_1795234956671_0006 submitted by user rootApplication application_1795234956671_0006"
        " submitted by user root to unknown queue: nosuch",
        ConfigurationError,
        "YARN has no queue nosuch.",
    ),
    (
        YARN + "Failed to submit application_1795234956671_0007 to YARN :"
        " org.apache.hadoop.security.AccessControlException: Queue root.stopped is STOPPED. Cannot accept"
        " submission of application: application_1795234956671_0007",
        ConfigurationError,
        "The YARN queue root.stopped takes no applications: it is STOPPED.",
    ),
    (
        MAIN + "java.lang.IllegalArgumentException: Required AM memory (20480+1024 MB) is above the max"
        " threshold (8192 MB) of this cluster! Please check the values of"
        " 'yarn.scheduler.maximum-allocation-mb' and/or 'yarn.nodemanager.resource.memory-mb'.",
        ConfigurationError,
        "The kernel asks for a container of 20480 MiB and 1024 MiB overhead;"
        " this cluster's largest is 8192 MiB.",
    ),
    (
        MAIN
        + "java.lang.IllegalArgumentException: Required executor memory (20480 MB), offHeap memory (0) MB,"
        " overhead (2048 MB), and PySpark memory (0 MB) is above the max threshold (8192 MB) of this"
        " cluster!",
        ConfigurationError,
        "An executor would need 20480 MiB and 2048 MiB overhead;"
        " this cluster's largest container is 8192 MiB.",
    ),
    (
        MAIN + CALL,
        ResourceManagerUnavailable,
        "spark-submit can't connect to the cluster: localhost:8020 does not answer.",
    ),
    (
        "INFO ipc.Client: Retrying connect to server: rm1.example/10.0.0.1:8032. Already tried 9 time(s);"
        " retry policy is RetryUpToMaximumCountWithFixedSleep(maxRetries=10, sleepTime=200 MILLISECONDS)",
        ResourceManagerUnavailable,
        "spark-submit can't connect to the cluster: rm1.example:8032 does not answer.",
    ),
    (
        f"INFO retry.RetryInvocationHandler: {CALL}, while invoking"
        " ApplicationClientProtocolPBClientImpl.getNewApplication over rm2 after 39 failover attempts."
        " Trying to failover after sleeping for 518ms.",
        ResourceManagerUnavailable,
        "spark-submit can't connect to the cluster: localhost:8020 does not answer.",
    ),
    (
        "INFO retry.RetryInvocationHandler: java.net.UnknownHostException: Invalid host name: local host is:"
        ' "vm/127.0.0.1"; destination host is: "rm.nosuch.invalid":8032; java.net.UnknownHostException',
        ConfigurationError,
        "The Hadoop configuration names a host that does not exist: rm.nosuch.invalid.",
    ),
    (
        MAIN + "java.lang.IllegalArgumentException: java.net.UnknownHostException: nn.nosuch.invalid",
        ConfigurationError,
        "The Hadoop configuration names a host that does not exist: nn.nosuch.invalid.",
    ),
    (
        MAIN + "java.lang.IllegalArgumentException: Can't get Kerberos realm",
        CredentialsError,
        "Kerberos is not configured on this host: there is no default realm.",
    ),
    (
        MAIN + "org.apache.hadoop.security.AccessControlException:"
        " Client cannot authenticate via:[TOKEN, KERBEROS]",
        CredentialsError,
        "The cluster wants a Kerberos ticket and there is no usable one.",
    ),
    (
        MAIN + "org.apache.spark.SparkException: ERROR: org.apache.hadoop.security.authorize."
        "AuthorizationException: User: alice is not allowed to impersonate bob",
        NotAllowed,
        "The cluster does not allow alice to act for bob.",
    ),
    (
        MAIN + "org.apache.hadoop.security.AccessControlException: Permission denied: user=nobody,"
        ' access=WRITE, inode="/user":root:supergroup:drwxr-xr-x',
        NotAllowed,
        "HDFS does not let the user nobody write to /user.",
    ),
    (
        MAIN + "java.io.FileNotFoundException: File does not exist: hdfs://localhost:8020/nonexistent.zip",
        ConfigurationError,
        "A file that Spark was told to use does not exist: hdfs://localhost:8020/nonexistent.zip",
    ),
    (
        MAIN + "java.io.FileNotFoundException: File file:/nonexistent/x.csv does not exist",
        ConfigurationError,
        "A file that Spark was told to use does not exist: file:/nonexistent/x.csv",
    ),
    (
        "/opt/spark/bin/spark-class: line 71: /nonexistent/bin/java: No such file or directory",
        ConfigurationError,
        "spark-submit found no Java.",
    ),
    (
        YARN
        + "java.lang.IllegalArgumentException: Too many applicationTags, a maximum of only 10 are allowed!",
        ConfigurationError,
        "YARN does not take the application's tags.",
    ),
    (
        MAIN + "org.apache.spark.SparkException: Driver memory must be a positive number",
        ConfigurationError,
        "Spark refuses a setting: Driver memory must be a positive number",
    ),
    (
        "Error: Unrecognized option: --nonsense",
        ConfigurationError,
        "spark-submit does not know one of its options.",
    ),
    # From the sources: NameNode's and the capacity scheduler's texts.
    (
        MAIN
        + "org.apache.hadoop.ipc.RemoteException(org.apache.hadoop.hdfs.server.namenode.SafeModeException):"
        " Cannot create directory /user/alice/.sparkStaging. Name node is in safe mode.",
        SubmitError,
        "HDFS is in safe mode and can't be written to.",
    ),
    (
        MAIN + "org.apache.hadoop.ipc.RemoteException(java.io.IOException): File /user/alice/x could only be"
        " written to 0 of the 1 minReplication nodes. There are 0 datanode(s) running",
        SubmitError,
        "HDFS can't store a file: no DataNode takes it.",
    ),
    (
        MAIN + "java.io.IOException: No space left on device",
        SubmitError,
        "A disk of this host is full.",
    ),
    (
        MAIN + "java.lang.ClassNotFoundException: org.example.Missing",
        ConfigurationError,
        "Spark misses the class org.example.Missing.",
    ),
]


@pytest.mark.parametrize(("line", "kind", "message"), RECORDED, ids=[message for *_, message in RECORDED])
def test_recorded_output_becomes_the_right_error(
    line: str, kind: type[SparkKernelError], message: str
) -> None:
    error = submit_error(["WARN util.Utils: Your hostname", SUBMITTED, line, TRACE], 1, "application_1_0006")
    assert type(error) is kind
    assert error.message == message
    assert error.application_id == "application_1_0006"
    assert TRACE.strip() not in str(error)
    assert error.diagnostics, "the line that matters is quoted"


def test_an_unknown_failure_quotes_its_exceptions() -> None:
    lines = [SUBMITTED, MAIN + "java.lang.Foo: bar", TRACE, "Caused by: java.lang.BarException: baz", TRACE]
    error = submit_error(lines, 1)
    assert error.message == "spark-submit failed with exit code 1."
    assert error.diagnostics == "java.lang.Foo: bar\njava.lang.BarException: baz"


def test_an_unknown_failure_without_exceptions_quotes_the_last_lines() -> None:
    assert submit_error(["one", "two"], 3).diagnostics == "one\ntwo"


def test_kill_9_is_told() -> None:
    error = submit_error([SUBMITTED], -9, "application_1_0006")
    assert error.message == "spark-submit was ended from outside, by SIGKILL."
    assert "memory" in error.hint


def test_what_is_said_twice_is_quoted_once() -> None:
    text = "java.io.IOException: x"
    assert lines_that_matter([MAIN + text, "Caused by: " + text]) == [text]


def test_every_rule_has_a_sentence_and_as_many_places_as_groups() -> None:
    for rule in RULES:
        filled = rule.message.format(*["x"] * 4)
        assert filled[0].isupper() or filled.startswith("spark-submit"), rule


def test_retries_are_known() -> None:
    assert [is_retry(line) for line, kind, _ in RECORDED if kind is ResourceManagerUnavailable] == [
        False,
        True,
        True,
    ]


def script(directory: Path, text: str) -> Command:
    path = directory.parent / "spark-submit"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Command((str(path),), {"PATH": os.environ["PATH"]})


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    private = tmp_path / "private"
    private.mkdir()
    return private


def nothing() -> None:
    return None


def test_the_id_is_told_before_the_submit_has_ended(directory: Path) -> None:
    told: list[str] = []
    known = threading.Event()

    def tell(application_id: str) -> None:
        told.append(application_id)
        known.set()

    submission = YarnSubmission(
        script(directory, f"echo '{SUBMITTED}' >&2\nexec tail -f /dev/null"), directory, tell, nothing
    )
    assert known.wait(10)
    assert submission.application_id == "application_1795234956671_0006" == told[0]
    submission.cancel()
    with pytest.raises(SubmitError, match="cancelled") as raised:
        submission.wait()
    assert raised.value.application_id == told[0]
    assert not directory.exists()
    submission.cancel()


def test_an_accepted_submit_returns_the_id_and_leaves_no_file(directory: Path) -> None:
    told: list[str] = []
    submission = YarnSubmission(script(directory, f"echo '{SUBMITTED}' >&2"), directory, told.append, nothing)
    assert submission.wait() == "application_1795234956671_0006"
    assert told == ["application_1795234956671_0006"]
    assert not directory.exists()


def test_an_id_that_was_not_told_is_looked_up(directory: Path) -> None:
    told: list[str] = []
    submission = YarnSubmission(
        script(directory, "echo quiet"), directory, told.append, lambda: "application_1_0007"
    )
    assert submission.wait() == "application_1_0007"
    assert told == ["application_1_0007"]


def test_a_submit_without_any_application_is_an_error(directory: Path) -> None:
    submission = YarnSubmission(script(directory, "echo quiet"), directory, lambda _: None, nothing)
    with pytest.raises(SubmitError, match="no application of this kernel") as raised:
        submission.wait()
    assert raised.value.diagnostics == "quiet"


def test_a_failed_submit_raises_its_reason(directory: Path) -> None:
    line = RECORDED[0][0]
    submission = YarnSubmission(
        script(directory, f"cat >&2 <<'END'\n{line}\nEND\nexit 1"), directory, lambda _: None, nothing
    )
    with pytest.raises(ConfigurationError, match="no queue nosuch"):
        submission.wait()


def test_a_submit_killed_from_outside_keeps_its_id(directory: Path) -> None:
    submission = YarnSubmission(
        script(directory, f"echo '{SUBMITTED}' >&2\nkill -9 $$"), directory, lambda _: None, nothing
    )
    with pytest.raises(SubmitError, match="SIGKILL") as raised:
        submission.wait()
    assert raised.value.application_id == "application_1795234956671_0006"


def test_very_many_lines_are_not_kept(directory: Path) -> None:
    text = f"yes 'noise noise noise' | head -c 4000000\necho '{SUBMITTED}'"
    submission = YarnSubmission(script(directory, text), directory, lambda _: None, nothing)
    assert submission.wait() == "application_1795234956671_0006"
    assert len(submission.output) <= 400


def test_a_submit_that_gets_nowhere_is_ended(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sparkkernels.cluster.submit.RETRYING_S", 0.0)
    monkeypatch.setattr("sparkkernels.cluster.submit.LOOK_S", 0.02)
    line = RECORDED[5][0]
    submission = YarnSubmission(
        script(directory, f"echo '{line}'\nexec tail -f /dev/null"), directory, lambda _: None, nothing
    )
    with pytest.raises(ResourceManagerUnavailable, match=r"rm1\.example:8032 does not answer"):
        submission.wait()


def test_a_spark_submit_that_cant_be_run(directory: Path) -> None:
    with pytest.raises(SubmitError, match="could not be started"):
        YarnSubmission(Command(("/nonexistent/spark-submit",), {}), directory, lambda _: None, nothing)
    assert not directory.exists()


def test_a_listener_that_fails_does_not_stop_the_reading(directory: Path) -> None:
    def fail(application_id: str) -> None:
        raise RuntimeError("Event loop is closed")

    submission = YarnSubmission(script(directory, f"echo '{SUBMITTED}' >&2"), directory, fail, nothing)
    assert submission.wait() == "application_1795234956671_0006"


def test_a_cluster_that_cant_be_asked_for_the_id_is_told(directory: Path) -> None:
    def unreachable() -> None:
        raise ResourceManagerUnavailable("The YARN ResourceManager can't be reached.")

    submission = YarnSubmission(script(directory, "echo quiet"), directory, lambda _: None, unreachable)
    with pytest.raises(ResourceManagerUnavailable):
        submission.wait()


def test_the_directory_stays_locked_until_the_end(directory: Path) -> None:
    lock = take_lock(directory)
    submission = YarnSubmission(
        script(directory, f"echo '{SUBMITTED}'\nexec tail -f /dev/null"),
        directory,
        lambda _: None,
        nothing,
        lock,
    )
    with pytest.raises(BlockingIOError):
        take_lock(directory)
    submission.cancel()
    assert not directory.exists()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(lock)
