"""`jupyter sparkkernels stage`: what it hands to staging, what it prints, and what it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.cli import stage
from sparkkernels.cli.main import main
from sparkkernels.cluster.access import Access
from sparkkernels.cluster.bundle import Bundle
from sparkkernels.cluster.jars import Jar
from sparkkernels.cluster.spark_home import SparkHome
from sparkkernels.cluster.staging import Staged
from sparkkernels.errors import NotAllowed


class FakeBackend:
    """Stands for YarnBackend and its Staging."""

    def __init__(self, *arguments: Any, access: Access) -> None:
        self.arguments = (*arguments, access.ca_file)

    def staging(self) -> FakeBackend:
        return self

    def stage(
        self, home: SparkHome, bundle: Bundle, jars: Sequence[Jar], tell: Callable[[str], None]
    ) -> Staged:
        tell(f"with {self.arguments}")
        if self.arguments[2] == "/closed":
            raise NotAllowed("The staging directory /closed can't be used.", hint="Correct its owner.")
        uris = {jar.path: f"hdfs://{jar.name}" for jar in jars}
        return Staged(f"hdfs://nn{home.version}", f"hdfs://{bundle.name}", uris)


@pytest.fixture
def spark_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "bin").mkdir()
    (tmp_path / "jars").mkdir()
    (tmp_path / "bin" / "spark-submit").touch(0o755)
    (tmp_path / "RELEASE").write_text("Spark 3.5.9 (git revision 0) built for Hadoop 3.3.4\n")
    monkeypatch.setattr(stage, "YarnBackend", FakeBackend)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "share" / "jupyter"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    return str(tmp_path)


def test_options_win_over_the_environment(
    spark_home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARK_HOME", spark_home)
    assert main(["stage"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"with ('/etc/hadoop', '{spark_home}', '', ")
    assert "Spark 3.5.9: hdfs://nn3.5.9\n" in out
    assert "Launchers: hdfs://sparkkernels-launchers-" in out
    monkeypatch.setenv("SPARK_HOME", "/nowhere")
    assert main(["stage", "--spark-home", spark_home, "--hadoop-conf-dir", "/c", "--staging-dir", "/s"]) == 0
    assert capsys.readouterr().out.startswith(f"with ('/c', '{spark_home}', '/s', ")


def test_settings_come_from_the_environment(
    spark_home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPARKKERNELS_SPARK_HOME", spark_home)
    monkeypatch.setenv("SPARKKERNELS_STAGING_DIR", "/apps/sparkkernels")
    monkeypatch.setenv("SPARKKERNELS_STAGING_ADMINS", '["ops"]')
    monkeypatch.setenv("SPARKKERNELS_CA_FILE", "/etc/ca.pem")
    assert main(["stage"]) == 0
    expected = f"with ('/etc/hadoop', '{spark_home}', '/apps/sparkkernels', ('ops',), '/etc/ca.pem')"
    assert capsys.readouterr().out.startswith(expected)


def test_what_is_not_allowed_is_one_line(spark_home: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "--spark-home", spark_home, "--staging-dir", "/closed"]) == 1
    assert capsys.readouterr().err == "The staging directory /closed can't be used. Correct its owner.\n"


def test_a_missing_spark_is_named(spark_home: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stage", "--spark-home", "/nowhere"]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "/nowhere" in err


def test_a_missing_configuration_is_named(
    spark_home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.undo()
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert main(["stage", "--spark-home", spark_home]) == 2
    assert "HADOOP_CONF_DIR" in capsys.readouterr().err


def test_the_jars_of_installed_kernels_and_those_that_are_named(
    spark_home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two", "three", "local"):
        (tmp_path / f"{name}.jar").write_text(name)
    stanza = {"provisioner_name": "spark-provisioner"}
    for name, provisioner, config in (
        ("a", stanza, {"master": "yarn", "jars": [str(tmp_path / "one.jar")]}),
        ("b", stanza, {"jars": [str(tmp_path / "one.jar"), str(tmp_path / "two.jar")]}),
        ("c", stanza, {"master": "local[*]", "jars": [str(tmp_path / "local.jar")]}),
        ("d", {"provisioner_name": "local-provisioner"}, {"jars": [str(tmp_path / "local.jar")]}),
        ("e", stanza, {}),
    ):
        directory = tmp_path / "share" / "jupyter" / "kernels" / name
        directory.mkdir(parents=True)
        metadata = {"kernel_provisioner": {**provisioner, "config": config}}
        (directory / "kernel.json").write_text(json.dumps({"argv": ["x"], "metadata": metadata}))
    monkeypatch.chdir(tmp_path)
    assert main(["stage", "--spark-home", spark_home, "--jar", "three.jar"]) == 0
    staged = re.findall(r"^(\S+\.jar): hdfs://", capsys.readouterr().out, re.M)
    assert staged == [str(tmp_path / f"{name}.jar") for name in ("one", "two", "three")]
    assert main(["stage", "--spark-home", spark_home, "--jar", "four.jar"]) == 2
    assert "four.jar" in capsys.readouterr().err
