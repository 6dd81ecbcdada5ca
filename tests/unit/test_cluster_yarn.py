"""The YARN backend's decisions, with a cluster that is a dictionary."""

from __future__ import annotations

import dataclasses
import subprocess
import threading
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.cluster import yarn
from sparkkernels.cluster.applications import report_from
from sparkkernels.cluster.filesystem import FileStatus
from sparkkernels.cluster.hadoop_conf import HadoopConf
from sparkkernels.cluster.yarn import YarnBackend
from sparkkernels.errors import ConfigurationError, NotAllowed, ResourceManagerUnavailable, SparkKernelError
from sparkkernels.spec import LaunchSpec
from sparkkernels.states import ApplicationState

APP = "application_1795234956671_0001"
OTHER = "application_1795234956671_0002"
KERNEL = "5b2c0e4e-9a3a-4a55-9b16-3a7f0a1f9f10"


class Client:
    """A ResourceManager."""

    def __init__(self) -> None:
        self.apps: dict[str, dict[str, Any]] = {}
        self.asked: list[str] = []
        self.refuse_kill = False
        self.deaf = False
        self.memory = 8192

    def add(self, application_id: str, state: str = "RUNNING", tag: str = "server-1") -> None:
        self.apps[application_id] = {"id": application_id, "state": state, "tag": tag, "user": "alice"}

    def applications(self, tag: str | None = None, states: Collection[Any] | None = None) -> list[Any]:
        self.asked.append(f"tag {tag}")
        return [app for app in self.apps.values() if app["tag"] == tag]

    def application(self, application_id: str) -> Any:
        self.asked.append(application_id)
        return self.apps.get(application_id)

    def kill(self, application_id: str) -> None:
        self.asked.append(f"kill {application_id}")
        if self.refuse_kill:
            raise NotAllowed("The YARN ResourceManager does not allow this.")
        if not self.deaf:
            self.apps[application_id]["state"] = "KILLED"

    def scheduler(self) -> Any:
        queue = {
            "queueName": "default",
            "queuePath": "root.default",
            "state": "RUNNING",
            "queueType": "leaf",
            "maximumAllocation": {"memory": self.memory},
        }
        return {"type": "capacityScheduler", "queueName": "root", "queues": {"queue": [queue]}}


class Files:
    """A file system that remembers what was removed."""

    is_quick = True

    def __init__(self) -> None:
        self.deleted: list[str] = []
        self.begun, self.may_go_on, self.done = threading.Event(), threading.Event(), threading.Event()
        self.may_go_on.set()

    def home(self) -> str:
        return "/user/alice"

    def status(self, path: str) -> FileStatus | None:
        return FileStatus(path, "alice", 0o700, True)

    def delete(self, path: str) -> None:
        self.begun.set()
        assert self.may_go_on.wait(10)
        self.deleted.append(path)
        self.done.set()


class Site:
    """A cluster."""

    def __init__(self, secure: bool = False) -> None:
        self.client = Client()
        self.files = Files()
        self.conf = HadoopConf(
            "/etc/hadoop",
            {
                "hadoop.security.authentication": "kerberos" if secure else "simple",
                "yarn.resourcemanager.hostname": "rm1",
            },
        )
        self.environ = {"PATH": "/usr/bin:/bin"}
        self.user = "alice"
        self.ran: list[tuple[str, ...]] = []
        self.cli_code = 0

    def as_user(self, proxy_user: str | None) -> Site:
        return self

    def ensure_credentials(self) -> None:
        pass

    def file_system(self) -> Files:
        return self.files

    def cli(self) -> Site:
        return self

    def run(self, main: str, arguments: list[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
        self.ran.append((main, *arguments))
        if not self.cli_code:
            self.client.apps[arguments[-1]]["state"] = "KILLED"
        return subprocess.CompletedProcess([], self.cli_code, "", "")


class Clock:
    """Time that passes only when it is looked at."""

    def __init__(self, step: float, during_sleep: Callable[[], None]) -> None:
        self.now = 0.0
        self.step = step
        self.during_sleep = during_sleep

    def monotonic(self) -> float:
        self.now += self.step
        return self.now

    def sleep(self, seconds: float) -> None:
        self.during_sleep()


def make_backend(site: Site, **more: Any) -> YarnBackend:
    backend = YarnBackend("/etc/hadoop", server_tag="Server-1", **more)
    backend._site = site  # type: ignore[assignment]
    return backend


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def backend(site: Site) -> YarnBackend:
    return make_backend(site)


def test_many_applications_are_asked_for_in_one_call(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP)
    site.client.add(OTHER, "ACCEPTED")
    reports = backend.report([APP, OTHER])
    assert site.client.asked == ["tag server-1"]
    assert {name: report.state.value for name, report in reports.items()} == {
        APP: "RUNNING",
        OTHER: "ACCEPTED",
    }


def test_those_with_another_tag_and_unknown_ones_are_asked_for_by_id(
    site: Site, backend: YarnBackend
) -> None:
    site.client.add(APP)
    site.client.add(OTHER, tag="server-2")
    assert backend.report([APP, OTHER, "application_1_0009"]).keys() == {APP, OTHER}
    assert set(site.client.asked) == {"tag server-1", OTHER, "application_1_0009"}


def test_those_that_were_just_submitted_are_not_asked_for_by_id(
    site: Site, backend: YarnBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkkernels.cluster.yarn.time", Clock(0.1, lambda: None))
    backend._submitted |= {name: yarn._Submitted(0.0, "") for name in (APP, OTHER)}
    assert backend.report([APP, OTHER]) == {}
    assert site.client.asked == ["tag server-1"]


def test_kill_waits_for_the_end(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP)
    backend.kill(APP)
    assert site.client.apps[APP]["state"] == "KILLED"
    assert site.client.asked == [APP, f"kill {APP}", APP]


@pytest.mark.parametrize("state", ["FINISHED", "FAILED", "KILLED"])
def test_killing_an_ended_application_asks_for_nothing(site: Site, backend: YarnBackend, state: str) -> None:
    site.client.add(APP, state)
    backend.kill(APP)
    assert site.client.asked == [APP]


def test_killing_an_unknown_application_is_no_error(backend: YarnBackend) -> None:
    backend.kill(APP)


def test_one_that_was_just_submitted_may_still_appear(
    site: Site, backend: YarnBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(0.1, lambda: None if APP in site.client.apps else site.client.add(APP))
    monkeypatch.setattr("sparkkernels.cluster.yarn.time", clock)
    backend._submitted[APP] = yarn._Submitted(0.0, "")
    backend.kill(APP)
    assert site.client.apps[APP]["state"] == "KILLED"
    assert site.files.deleted == [f"/user/alice/.sparkStaging/{APP}"]


def test_dr_who_may_not_kill_so_the_command_line_does(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP)
    site.client.refuse_kill = True
    backend.kill(APP)
    assert site.ran == [("org.apache.hadoop.yarn.client.cli.ApplicationCLI", "application", "-kill", APP)]


def test_when_that_fails_too_the_refusal_is_told(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP)
    site.client.refuse_kill = True
    site.cli_code = 1
    with pytest.raises(NotAllowed):
        backend.kill(APP)


def test_with_kerberos_a_refusal_is_final() -> None:
    site = Site(secure=True)
    site.client.add(APP)
    site.client.refuse_kill = True
    with pytest.raises(NotAllowed):
        make_backend(site).kill(APP)
    assert site.ran == []


def test_one_that_does_not_end_is_told(
    site: Site, backend: YarnBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkkernels.cluster.yarn.time", Clock(1.0, lambda: None))
    site.client.add(APP)
    site.client.deaf = True
    with pytest.raises(SparkKernelError, match="did not end the application within 30 s") as raised:
        backend.kill(APP)
    assert raised.value.application_id == APP


def test_the_end_of_a_submitted_application_removes_its_staging_directory_once(
    site: Site, backend: YarnBackend
) -> None:
    site.client.add(APP, "FAILED")
    backend._submitted[APP] = yarn._Submitted(0.0, "hdfs://elsewhere/tmp/")
    site.conf = HadoopConf("/etc/hadoop", {"fs.defaultFS": "hdfs://elsewhere"})
    backend.report([APP])
    assert site.files.done.wait(10)
    backend.report([APP])
    assert site.files.deleted == [f"/tmp/.sparkStaging/{APP}"]


def test_nobody_goes_before_what_an_application_left_is_gone(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP, "KILLED")
    backend._submitted[APP] = yarn._Submitted(0.0, "")
    site.files.may_go_on.clear()
    backend.report([APP])
    assert site.files.begun.wait(10)
    [cleaning] = [thread for thread in threading.enumerate() if "_clean_up" in thread.name]
    assert not cleaning.daemon  # the interpreter's exit waits for it
    threading.Timer(0.2, site.files.may_go_on.set).start()
    backend.report([APP])
    backend.kill(APP)
    assert site.files.deleted == [f"/user/alice/.sparkStaging/{APP}"]


def test_somebody_elses_application_keeps_its_staging_directory(site: Site, backend: YarnBackend) -> None:
    site.client.add(APP, "FAILED")
    backend.report([APP])
    backend.kill(APP)
    assert site.files.deleted == []


def test_the_newest_application_of_a_kernel_is_found_whoever_forges_its_tag(
    site: Site, backend: YarnBackend
) -> None:
    for number in (9, 10, 2):
        site.client.add(f"application_1795234956671_{number:04}", tag=KERNEL)
    spec = make_spec(Path("/opt/spark"), kernel_id=KERNEL)
    assert backend._find(spec) == "application_1795234956671_0010"
    assert backend._find(dataclasses.replace(spec, proxy_user="alice")) == "application_1795234956671_0010"
    assert backend._find(dataclasses.replace(spec, proxy_user="bob")) is None
    assert backend._find(make_spec(Path("/opt/spark"), kernel_id=str(uuid.UUID(int=7)))) is None


def test_hosts_are_the_resource_managers(backend: YarnBackend) -> None:
    assert backend.hosts() == ["rm1"]


@pytest.fixture
def spark(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    (tmp_path / "jars").mkdir()
    (tmp_path / "conf").mkdir()
    (tmp_path / "RELEASE").write_text("Spark 3.5.9 built for Hadoop 3.3.4")
    (tmp_path / "jars" / "scala-library-2.12.18.jar").touch()
    (tmp_path / "bin" / "spark-submit").touch(0o755)
    (tmp_path / "bin" / "java").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "java").chmod(0o755)
    return tmp_path


def make_spec(spark: Path, **changes: Any) -> LaunchSpec:
    values = {
        "kernel_id": KERNEL,
        "generation": 1,
        "master": "yarn",
        "argv": ("kernel",),
        "python": "/usr/bin/python3",
        "spark_home": str(spark),
        **changes,
    }
    return LaunchSpec(**values)


def test_prepare_takes_a_good_request(site: Site, backend: YarnBackend, spark: Path) -> None:
    site.environ["JAVA_HOME"] = str(spark)
    jar = spark / "jars" / "scala-library-2.12.18.jar"
    backend.prepare(make_spec(spark, jars=(str(jar),), scala_version="2.12"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"queue": "nosuch"}, "YARN has no queue nosuch"),
        ({"spark_conf": {"spark.driver.memory": "20g"}}, "kernel's container would need 21504 MiB"),
        ({"spark_conf": {"spark.executor.memory": "20g"}}, "An executor's container would need 22528 MiB"),
        ({"spark_conf": {"spark.driver.memory": "much"}}, r"spark\.driver\.memory is not a size"),
        ({"spark_conf": {"spark.yarn.tags": "x"}}, r"spark\.yarn\.tags can't be set"),
        ({"tags": ("a" * 200,)}, "tags"),
        ({"spark_home": "/nonexistent"}, "SPARK_HOME=/nonexistent"),
        ({"jars": ("/nonexistent/x.jar",)}, "The kernel's jar /nonexistent/x.jar can't be read"),
        ({"scala_version": "2.13"}, "needs a Spark for Scala 2.13, and Spark 3.5.9 in .* has Scala 2.12"),
    ],
)
def test_prepare_refuses(
    site: Site, backend: YarnBackend, spark: Path, changes: dict[str, Any], says: str
) -> None:
    site.environ["JAVA_HOME"] = str(spark)
    with pytest.raises(ConfigurationError, match=says):
        backend.prepare(make_spec(spark, **changes))


def test_prepare_counts_what_spark_defaults_say(site: Site, backend: YarnBackend, spark: Path) -> None:
    site.environ["JAVA_HOME"] = str(spark)
    (spark / "conf" / "spark-defaults.conf").write_text("spark.driver.memory 8g\n")
    with pytest.raises(ConfigurationError, match="9216 MiB"):
        backend.prepare(make_spec(spark))


def test_an_unreachable_cluster_is_told_before_a_process_starts(
    site: Site, backend: YarnBackend, spark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.environ["JAVA_HOME"] = str(spark)

    def unreachable() -> None:
        raise ResourceManagerUnavailable("The YARN ResourceManager can't be reached.")

    monkeypatch.setattr(site.client, "scheduler", unreachable)
    with pytest.raises(ResourceManagerUnavailable):
        backend.prepare(make_spec(spark))


def test_every_state_of_yarn_is_known() -> None:
    for state in ApplicationState:
        report_from({"id": APP, "state": state.value})
