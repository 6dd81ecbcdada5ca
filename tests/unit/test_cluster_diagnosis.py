"""Why an application ended: diagnostics that a ResourceManager 3.5.0 gave, in one sentence each."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from sparkkernels.cluster.applications import check_tags, report_from
from sparkkernels.cluster.base import ApplicationReport
from sparkkernels.cluster.container_logs import (
    contents,
    is_hidden,
    logs_by_cli,
    node_and_container,
    why_withheld,
)
from sparkkernels.cluster.diagnosis import cause_of_death, tidy
from sparkkernels.cluster.hadoop_cli import HadoopCli
from sparkkernels.errors import ConfigurationError, NotAllowed, SparkKernelError
from sparkkernels.states import ApplicationState, FinalStatus

HEAD = (
    "Application application_1795236453541_0001 failed 1 times (global limit =2; local limit is =1) due to AM"
    " Container for appattempt_1795236453541_0001_000001 exited with  exitCode: {code}\n"
    "Failing this attempt.Diagnostics: [2026-11-21 04:48:22.447]"
)
STDERR = """\
[2026-11-21 04:43:55.927]Container exited with a non-zero exit code 13. Error file: prelaunch.err.
Last 4096 bytes of prelaunch.err :
Last 4096 bytes of stderr :
26/11/21 04:43:53 INFO ApplicationMaster: Waiting for spark context initialization...
{line}
org.apache.spark.SparkException: Exception thrown in awaitResult:
\tat org.apache.spark.util.ThreadUtils$.awaitResult(ThreadUtils.scala:310)
\tat java.base/java.security.AccessController.doPrivileged(AccessController.java:712)
\t... 8 more

"""
TAIL = (
    "For more detailed output, check the application tracking page: http://rm:8088/cluster/app/"
    "application_1795236453541_0001 Then click on links to logs of each attempt.\n. Failing the application."
)


def with_stderr(line: str) -> str:
    block = STDERR.format(line=line)
    return (
        HEAD.format(code=13)
        + "Exception from container-launch.\nContainer id: container_1\nExit code: 13\n\n"
        + block
        + block
        + TAIL
    )


MEMORY = (
    HEAD.format(code=-104)
    + "Container [pid=9204,containerID=container_1] is running 76402688B beyond the 'PHYSICAL' memory limit."
    " Current usage: 968.9 MB of 896 MB physical memory used; 4.5 GB of 1.8 GB virtual memory used. Killing"
    " container.\nDump of the process-tree for container_1 :\n\t|- PID PPID PGRPID SESSID CMD_NAME\n\t|- 9217"
    " 9204 9204 9204 (java) 791 48 3240497152 65715 " + "/usr/lib/jvm/bin/java -server " * 40 + "\n\n"
    "[2026-11-21 04:48:22.486]Container killed on request. Exit code is 143\n" + TAIL
)


@pytest.mark.parametrize(
    ("diagnostics", "says"),
    [
        (
            MEMORY,
            "for using more memory than it asked for (968.9 MB of 896 MB); raise spark.driver.memoryOverhead",
        ),
        (
            with_stderr("java.util.concurrent.TimeoutException: Futures timed out"),
            "made no SparkContext within",
        ),
        (
            with_stderr("java.lang.IllegalStateException: User did not initialize spark context!"),
            "supervisor ended and had made no SparkContext",
        ),
        (
            with_stderr("26/11/21 04:43:55 ERROR ApplicationMaster: User application exited with status 7"),
            "supervisor ended with exit code 7",
        ),
        ("User application exited with status 7", "supervisor ended with exit code 7"),
        (
            with_stderr(
                '(reason: User class threw exception: java.io.IOException: Cannot run program "/no/python3":'
                " error=2, No such file or directory"
            ),
            "can't run /no/python3: the Python of the kernelspec does not exist there",
        ),
        (
            HEAD.format(code=137) + "Container killed on request. Exit code is 137\n" + TAIL,
            "killed (signal 9), perhaps because its worker ran out of memory",
        ),
        (
            HEAD.format(code=-1000)
            + "File does not exist: hdfs://nn:8020/user/a/registration.json\njava.io.X: y",
            "could not fetch the application's files: File does not exist: hdfs://nn:8020/user/a/registration.json",
        ),
        (
            HEAD.format(code=-1000) + "[2026-01-01]Not able to find a working directory for alice",
            "The worker's disk for containers is full",
        ),
        ("Application application_1_0002 was killed by user root", "The application was killed by root."),
        ("Application application_1_0002 was killed by user alice at 10.0.0.1", "was killed by alice."),
        # Seen with two hosts and short expiry times.
        (
            HEAD.format(code=-100) + "Container released on a *lost* node",
            "The worker that ran the kernel was lost",
        ),
        (
            "ApplicationMaster for attempt appattempt_1_0001_000001 timed out",
            "no heartbeat came from its worker",
        ),
        # From ContainerExitStatus and SchedulerUtils.
        (HEAD.format(code=-102) + "Container preempted by scheduler", "preempted the kernel's container"),
        ("Max number of executor failures (4) reached", "Too many of the kernel's executors failed"),
        ("something else entirely\nand more", "something else entirely"),
    ],
)
def test_causes(diagnostics: str, says: str) -> None:
    report = ApplicationReport(
        "application_1_0001", ApplicationState.FAILED, FinalStatus.FAILED, tidy(diagnostics)
    )
    cause = cause_of_death(report)
    assert says in cause
    assert "\n" not in cause


@pytest.mark.parametrize("state", ApplicationState)
def test_only_the_dead_have_a_cause(state: ApplicationState) -> None:
    report = ApplicationReport("a", state, FinalStatus.UNDEFINED, "exitCode: 10")
    ended = state in (ApplicationState.FINISHED, ApplicationState.FAILED, ApplicationState.KILLED)
    assert bool(cause_of_death(report)) is ended


def test_a_good_end_needs_no_cause() -> None:
    assert cause_of_death(ApplicationReport("a", ApplicationState.FINISHED, FinalStatus.SUCCEEDED, "x")) == ""


def test_tidy_says_everything_once_and_without_stack_traces() -> None:
    text = tidy(with_stderr("26/11/21 ERROR ApplicationMaster: boom"))
    assert text.count("ApplicationMaster: boom") == 1
    assert "\tat " not in text
    assert "8 more" not in text
    assert text.endswith("Failing the application.")


def test_tidy_cuts_the_command_lines_of_a_process_tree() -> None:
    assert max(map(len, tidy(MEMORY).splitlines())) < 400
    assert "968.9 MB of 896 MB" in tidy(MEMORY)


def test_a_report_from_the_resource_manager() -> None:
    report = report_from(
        {
            "id": "application_1_0004",
            "state": "ACCEPTED",
            "finalStatus": "UNDEFINED",
            "queue": "root.default",
            "trackingUrl": "http://rm:8088/proxy/application_1_0004/",
            "diagnostics": "AM container is launched, waiting for AM container to Register with RM",
            "amHostHttpAddress": "worker1:8042",
        }
    )
    assert (report.host, report.queue, report.state) == ("worker1", "root.default", ApplicationState.ACCEPTED)
    assert report.diagnostics.startswith("AM container is launched")


def test_a_report_of_a_queued_application_has_no_host() -> None:
    assert report_from({"id": "a", "state": "SUBMITTED", "amHostHttpAddress": None}).host == ""


def test_the_node_of_a_container() -> None:
    url = "http://worker1:8042/node/containerlogs/container_1795234956671_0004_01_000001/root"
    assert node_and_container({"amContainerLogs": url}) == (
        "http://worker1:8042",
        "container_1795234956671_0004_01_000001",
    )
    assert node_and_container({}) is None


def test_the_contents_of_a_log() -> None:
    answer = (
        "Container: container_1 on worker1:11225\nLogAggregationType: LOCAL\n=====\nLogType:stderr\n"
        "LogLastModifiedTime:Sat Nov 21 04:24:58 +0000 2026\nLogLength:15479\nLogContents:\nregistered.\n"
        "second line\nEnd of LogType:stderr.\n*****\n\n"
    )
    assert contents(answer) == "registered.\nsecond line"
    assert contents("as it is") == "as it is"


@pytest.mark.parametrize("tags", [("a" * 101,), ("ä",), ("",), ("a,b",), tuple("abcdefghijk")])
def test_tags_that_yarn_would_refuse(tags: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="tags"):
        check_tags(tags)


def test_tags_that_yarn_takes() -> None:
    check_tags(("sparkkernels", "5b2c0e4e-9a3a-4a55-9b16-3a7f0a1f9f10", "server-1"))


OF_ALICE = {"id": "application_1_0001", "user": "alice"}


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "User [bob] is not authorized to view the logs for application application_1_0001",
            NotAllowed,
            "YARN does not let bob see the log of application_1_0001, which is alice's.",
        ),
        (
            "Application submitted by 'alice' doesn't own requested log file : stdout",
            SparkKernelError,
            "its files do not belong to the account alice.",
        ),
        (
            "java.lang.RuntimeException: Secure IO is not possible without native code extensions.",
            SparkKernelError,
            "its NodeManager lacks Hadoop's native library.",
        ),
        (
            "Could not initialize class org.apache.hadoop.io.SecureIOUtils",
            SparkKernelError,
            "its NodeManager lacks Hadoop's native library.",
        ),
    ],
)
def test_why_a_nodemanager_gives_out_no_log(said: str, kind: type[SparkKernelError], words: str) -> None:
    withheld = why_withheld(said, OF_ALICE, "bob")
    assert type(withheld) is kind
    assert withheld.message.endswith(words) and withheld.hint


def test_a_log_that_is_not_there_is_not_withheld() -> None:
    assert why_withheld("Cannot find this log on the local disk.", OF_ALICE, "alice") is None


def test_what_strangers_see_of_an_application() -> None:
    assert is_hidden({**OF_ALICE, "state": "RUNNING", "startedTime": 0})
    assert not is_hidden({**OF_ALICE, "state": "ACCEPTED", "startedTime": 1700000000000})


class Cli(HadoopCli):
    """Hadoop's tools, all of which end like this one."""

    def __init__(self, *done: Any) -> None:
        self._done = done

    def run(self, main: str, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        assert arguments[:2] == ["-applicationId", "application_1_0001"] and arguments[-1] == "alice"
        return subprocess.CompletedProcess([main], *self._done)


def test_an_aggregated_log() -> None:
    text = "Container: c on h\nLogType:stdout\nLogLength:5\nLogContents:\nkept\nEnd of LogType:stdout\n"
    found = logs_by_cli(Cli(0, text, ""), "application_1_0001", "alice", 1000)
    assert found == "Last lines of stdout:\nkept\n"


def test_an_aggregated_log_that_sparks_own_hadoop_cant_read_names_the_command_that_can() -> None:
    said = (
        "Error: Unable to initialize main class org.apache.hadoop.yarn.client.cli.LogsCLI\n"
        "Caused by: java.lang.NoClassDefFoundError: org/apache/hadoop/shaded/org/codehaus/jettison/json/X"
    )
    with pytest.raises(SparkKernelError, match="Spark's own copy of Hadoop can't read it") as caught:
        logs_by_cli(Cli(1, "", said), "application_1_0001", "alice", 1000)
    assert "NoClassDefFoundError" in caught.value.diagnostics
    assert caught.value.hint.endswith("yarn logs -applicationId application_1_0001 -am 1 -appOwner alice")
