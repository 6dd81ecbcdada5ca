"""The spark-submit command: who wins over whom, what never gets into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkkernels.cluster import log4j
from sparkkernels.cluster.command import (
    FORCED,
    granted,
    local_command,
    local_conf,
    parse_spark_defaults,
    plain_command,
    refuse_forced,
    yarn_command,
    yarn_conf,
)
from sparkkernels.cluster.environment import LONG_LIVED_JVM, base_environment
from sparkkernels.cluster.spark_home import Java, SparkHome
from sparkkernels.errors import ConfigurationError
from sparkkernels.spec import LaunchSpec

KERNEL = "5b2c0e4e-9a3a-4a55-9b16-3a7f0a1f9f10"
JAVA = Java("/opt/java/bin/java", "/opt/java")
ENVIRON = {
    "PATH": "/bin",
    "HOME": "/home/alice",
    "LC_ALL": "C.UTF-8",
    "PYTHONPATH": "/home/alice/lib",
    "JPY_API_TOKEN": "s3cret",
    "JUPYTERHUB_API_TOKEN": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "SPARK_AUTH_SECRET": "s3cret",
    "HADOOP_TOKEN_FILE_LOCATION": "/run/tokens",
    "SPARK_CONF_DIR": "/etc/spark",
    "SPARK_SUBMIT_OPTS": "-Dmine=1",
    "PYSPARK_GATEWAY_PORT": "4711",
    "YARN_CONF_DIR": "/etc/other",
}


def make_spec(master: str = "yarn", **changes: object) -> LaunchSpec:
    values: dict[str, object] = {
        "kernel_id": KERNEL,
        "generation": 1,
        "master": master,
        "argv": ("python3", "-m", "ipykernel"),
        "python": "/usr/bin/python3",
        "spark_home": "/opt/spark",
        "env": {"MY_PASSWORD": "s3cret"},
        "tags": ("sparkkernels", KERNEL, "server-1"),
        **changes,
    }
    return LaunchSpec(**values)  # type: ignore[arg-type]


def conf_of(argv: tuple[str, ...]) -> dict[str, str]:
    pairs = [argv[place + 1] for place, part in enumerate(argv) if part == "--conf"]
    return dict(pair.split("=", 1) for pair in pairs)


def test_the_whole_yarn_command() -> None:
    spec = make_spec(queue="root.etl", spark_conf={"spark.executor.memory": "2g"}, name="flights")
    command = yarn_command(
        spec,
        yarn_conf(spec, {}, "hdfs://nn:8020/apps/spark-jars.zip", "3.5.9"),
        bundle="/run/x/sparkkernels-launchers-0123456789ab.py",
        registration=Path("/run/x/registration.json"),
        java=JAVA,
        environ=ENVIRON,
        hadoop_conf_dir="/etc/hadoop",
        log4j=Path("/run/x/log4j2.properties"),
    )
    assert command.argv[:9] == (
        *("/opt/spark/bin/spark-submit", "--master", "yarn", "--deploy-mode", "cluster"),
        *("--name", "flights", "--queue", "root.etl"),
    )
    assert command.argv[9:11] == ("--files", "/run/x/registration.json")
    assert command.argv[-2:] == ("/run/x/sparkkernels-launchers-0123456789ab.py", "registration.json")
    assert conf_of(command.argv) == {
        "spark.dynamicAllocation.cachedExecutorIdleTimeout": "30min",
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.executorIdleTimeout": "60s",
        "spark.dynamicAllocation.initialExecutors": "0",
        "spark.dynamicAllocation.minExecutors": "0",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.timeout": "10min",
        "spark.driver.defaultJavaOptions": LONG_LIVED_JVM,
        "spark.driver.memoryOverhead": "1g",
        "spark.executor.defaultJavaOptions": LONG_LIVED_JVM,
        "spark.executor.failuresValidityInterval": "1h",
        "spark.executor.memory": "2g",
        "spark.pyspark.driver.python": "/usr/bin/python3",
        "spark.pyspark.python": "/usr/bin/python3",
        "spark.scheduler.minRegisteredResourcesRatio": "0",
        "spark.yarn.archive": "hdfs://nn:8020/apps/spark-jars.zip",
        "spark.yarn.maxAppAttempts": "1",
        "spark.yarn.submit.waitAppCompletion": "false",
        "spark.yarn.tags": f"sparkkernels,{KERNEL},server-1",
    }
    assert command.env["HADOOP_CONF_DIR"] == "/etc/hadoop"
    assert "YARN_CONF_DIR" not in command.env
    assert command.env["SPARK_SUBMIT_OPTS"].endswith(" -Dmine=1")


def test_no_secret_of_the_server_reaches_the_command() -> None:
    spec = make_spec()
    command = yarn_command(
        spec,
        yarn_conf(spec, {}, None, "3.5.9"),
        bundle="b.py",
        registration=Path("/run/registration.json"),
        java=JAVA,
        environ=ENVIRON,
        hadoop_conf_dir="/etc/hadoop",
    )
    assert "s3cret" not in " ".join(command.argv) + " ".join(command.env.values())
    assert not {"PYTHONPATH", "PYSPARK_GATEWAY_PORT"} & command.env.keys()


def test_environment_is_a_whitelist() -> None:
    assert base_environment(ENVIRON).keys() == {
        *("PATH", "HOME", "LC_ALL", "HADOOP_TOKEN_FILE_LOCATION", "SPARK_CONF_DIR"),
        *("SPARK_SUBMIT_OPTS", "YARN_CONF_DIR"),
    }


def test_the_persons_settings_win_over_the_administrators_and_those_over_ours() -> None:
    defaults = {
        "spark.dynamicAllocation.executorIdleTimeout": "10s",
        "spark.driver.memoryOverhead": "2g",
        "spark.pyspark.python": "/old/python",
    }
    spec = make_spec(spark_conf={"spark.driver.memoryOverhead": "3g"})
    conf = yarn_conf(spec, defaults, None, "3.5.9")
    assert "spark.dynamicAllocation.executorIdleTimeout" not in conf, "spark-defaults.conf has it"
    assert conf["spark.driver.memoryOverhead"] == "3g"
    assert conf["spark.pyspark.python"] == "/usr/bin/python3", "kernel and executors run the same"


@pytest.mark.parametrize("name", ["spark.yarn.archive", "spark.yarn.jars"])
def test_a_site_that_has_its_own_jars_keeps_them(name: str) -> None:
    assert "spark.yarn.archive" not in yarn_conf(make_spec(), {name: "local:/opt/*"}, "hdfs:///ours", "3.5.9")


def test_an_overhead_factor_replaces_our_overhead() -> None:
    spec = make_spec(spark_conf={"spark.driver.memoryOverheadFactor": "0.5"})
    assert "spark.driver.memoryOverhead" not in yarn_conf(spec, {}, None, "3.5.9")


def test_spark_34_has_another_name_for_the_failures_window() -> None:
    assert yarn_conf(make_spec(), {}, None, "3.4.1")["spark.yarn.executor.failuresValidityInterval"] == "1h"


def test_what_the_administrator_cant_change_either() -> None:
    conf = yarn_conf(make_spec(), {"spark.yarn.maxAppAttempts": "3"}, None, "3.5.9")
    assert conf["spark.yarn.maxAppAttempts"] == "1"


@pytest.mark.parametrize("name", FORCED)
def test_settings_that_cant_be_changed_are_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        refuse_forced(make_spec(spark_conf={name: "x"}))


def test_spark_defaults_in_all_its_notations() -> None:
    text = (
        "# comment\nspark.a 1\nspark.b=2\n  spark.c : x y \nspark.d   a=b\nother 1\nspark.e one,\\\n  two\n"
    )
    assert parse_spark_defaults(text) == {
        "spark.a": "1",
        "spark.b": "2",
        "spark.c": "x y",
        "spark.d": "a=b",
        "spark.e": "one,two",
    }


def test_a_local_kernel_is_reachable_from_this_host_only() -> None:
    spec = make_spec("local[2]")
    directory = Path("/run/app")
    command = local_command(
        spec, local_conf(spec, {}, directory), bundle="b.py", directory=directory, java=JAVA, environ=ENVIRON
    )
    conf = conf_of(command.argv)
    assert conf["spark.driver.host"] == conf["spark.driver.bindAddress"] == "127.0.0.1"
    assert command.env["SPARK_LOCAL_IP"] == "127.0.0.1"
    assert command.argv[:3] == ("/opt/spark/bin/spark-submit", "--master", "local[2]")
    assert conf["spark.local.dir"] == "/run/app/tmp"


def test_without_spark_there_is_no_jvm() -> None:
    command = plain_command(make_spec("local[*]", spark_context="none"), bundle="b.py", environ=ENVIRON)
    assert command.argv == ("/usr/bin/python3", "-u", "b.py", "registration.json")


def test_the_service_is_added_to_who_may_see_and_end_an_application() -> None:
    assert granted("jupyter", {}) == {"spark.ui.view.acls": "jupyter", "spark.modify.acls": "jupyter"}
    defaults = {"spark.ui.view.acls": "ops", "spark.modify.acls": "ops, jupyter"}
    assert granted("jupyter", defaults, {"spark.ui.view.acls": "carol,dave"}) == {
        "spark.ui.view.acls": "carol,dave,jupyter",
        "spark.modify.acls": "ops,jupyter",
    }


def test_more_files_and_options_go_to_the_containers_in_front_of_the_users_own() -> None:
    conf = yarn_conf(make_spec(), {}, None, "3.5.9", jvm_options="-Dmore=1")
    for name in ("spark.driver.defaultJavaOptions", "spark.executor.defaultJavaOptions"):
        assert conf[name] == f"{LONG_LIVED_JVM} -Dmore=1"
    own = {"spark.executor.defaultJavaOptions": "-Down=1"}
    assert "spark.executor.defaultJavaOptions" not in yarn_conf(
        make_spec(), own, None, "3.5.9", jvm_options="-Dmore=1"
    )
    command = yarn_command(
        make_spec(),
        conf,
        bundle="hdfs:///l.zip",
        registration=Path("/tmp/x/registration.json"),
        java=JAVA,
        environ=ENVIRON,
        hadoop_conf_dir="/etc/hadoop",
        files=[Path("/tmp/x/more")],
    )
    assert command.argv[command.argv.index("--files") + 1] == "/tmp/x/registration.json,/tmp/x/more"


@pytest.mark.parametrize("name", ["log4j2.properties", "log4j2.xml"])
def test_a_sites_own_logging_is_left_to_it(tmp_path: Path, name: str) -> None:
    home = SparkHome(tmp_path / "spark", "3.5.9")
    (tmp_path / "spark" / "conf").mkdir(parents=True)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "log4j2.properties.template").touch()
    environ = {"SPARK_CONF_DIR": str(tmp_path / "etc")}
    assert not log4j.has_own(home, environ) and not log4j.has_own(home, {})
    (tmp_path / "etc" / name).touch()
    assert log4j.has_own(home, environ) and not log4j.has_own(home, {})


def test_a_kernels_jars_are_added_to_those_of_person_and_administrator() -> None:
    ours = ["hdfs://nn/toree-0.jar", "/opt/host.jar"]
    added = ",".join(ours)

    def jars(defaults: dict[str, str], own: dict[str, str] | None = None) -> str | None:
        spec = make_spec(spark_conf=own or {})
        return yarn_conf(spec, defaults, None, "3.5.9", jars=ours).get("spark.jars")

    assert jars({}) == added
    assert jars({"spark.jars": "/a.jar"}) == f"/a.jar,{added}"
    assert jars({"spark.jars": "/a.jar"}, {"spark.jars": "/b.jar"}) == f"/b.jar,{added}"
    assert "spark.jars" not in yarn_conf(make_spec(), {"spark.jars": "/a.jar"}, None, "3.5.9")
    local = make_spec("local[2]", jars=("/opt/host.jar",), spark_conf={"spark.jars": "/b.jar"})
    assert local_conf(local, {}, Path("/run/x"))["spark.jars"] == "/b.jar,/opt/host.jar"
