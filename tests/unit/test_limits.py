"""What a person may set: an allowlist with bounds, under a denylist that no allowlist lifts."""

from __future__ import annotations

from typing import Any

import pytest

from sparkkernels.errors import ConfigurationError, NotAllowed, SparkKernelError
from sparkkernels.limits import HARMLESS, NEVER, QUOTED, Limits, never

ALLOWLIST = {
    "queue": ["default", "analysts"],
    "spark.*": {},
    "spark.sql.*": {},
    "spark.sql.ansi.enabled": ["true", "false"],
    "spark.driver.memory": {"min": "512m", "max": "4g"},
    "spark.executor.memory": {"max": "8g"},
    "spark.memory.offHeap.size": {"max": "1g"},
    "spark.executor.cores": {"max": 4},
    "spark.executor.instances": {"max": "10"},
    "spark.memory.fraction": {"max": 0.8},
    "spark.dynamicAllocation.maxExecutors": {"min": 1, "max": 20},
}
LIMITS = Limits.parse(ALLOWLIST)

#: What would read files of the submitting host, run code there, or change who a kernel is or who sees it.
DANGEROUS = """
spark.yarn.keytab spark.yarn.principal spark.kerberos.keytab spark.kerberos.principal
spark.kerberos.access.hadoopFileSystems spark.kerberos.renewal.credentials spark.files spark.archives
spark.jars spark.jars.packages spark.jars.ivySettings spark.jars.repositories spark.submit.pyFiles
spark.submit.deployMode spark.yarn.dist.files spark.yarn.dist.archives spark.yarn.dist.jars
spark.yarn.dist.pyFiles spark.yarn.archive spark.yarn.jars spark.driver.extraClassPath
spark.executor.extraClassPath spark.driver.extraLibraryPath spark.driver.libraryPath
spark.driver.extraJavaOptions spark.executor.extraJavaOptions spark.driver.defaultJavaOptions
spark.executor.defaultJavaOptions spark.yarn.am.extraJavaOptions spark.pyspark.python
spark.pyspark.driver.python spark.yarn.appMasterEnv.LD_PRELOAD spark.executorEnv.PYTHONPATH
spark.executorEnv spark.master spark.remote spark.yarn.stagingDir spark.yarn.tags spark.app.name
spark.acls.enable spark.ui.view.acls spark.ui.view.acls.groups spark.modify.acls spark.modify.acls.groups
spark.admin.acls spark.admin.acls.groups spark.history.ui.admin.acls spark.authenticate
spark.authenticate.secret spark.authenticate.secret.file spark.network.crypto.enabled
spark.network.crypto.saslFallback spark.network.sasl.serverAlwaysEncrypt spark.io.encryption.enabled
spark.ssl.enabled spark.ssl.keyStorePassword spark.ui.filters spark.ui.killEnabled spark.ui.store.path
spark.ui.custom.executor.log.url spark.hadoop.fs.defaultFS spark.hadoop.hadoop.security.authentication
spark.hive.metastore.uris spark.redaction.regex spark.sql.redaction.options.regex spark.eventLog.dir
spark.eventLog.enabled spark.plugins spark.plugins.defaultList spark.executor.plugins spark.extraListeners
spark.sql.extensions spark.sql.queryExecutionListeners spark.sql.streaming.streamingQueryListeners
spark.driver.host spark.driver.bindAddress spark.yarn.queue spark.yarn.maxAppAttempts
spark.yarn.unmanagedAM.enabled spark.yarn.config.gatewayPath spark.yarn.am.tokenConfRegex
spark.yarn.populateHadoopClasspath spark.yarn.user.classpath.first spark.driver.userClassPathFirst
spark.executor.userClassPathFirst spark.security.credentials.hive.enabled
spark.kafka.clusters.a.auth.bootstrap.servers spark.kafka.clusters.a.ssl.truststore.location
spark.metrics.conf spark.metrics.conf.driver.sink.csv.class spark.scheduler.allocation.file
spark.driver.resource.gpu.discoveryScript spark.resources.discoveryPlugin spark.driver.resourcesFile
spark.sql.hive.metastore.jars.path spark.sql.catalogImplementation spark.r.command spark.r.driver.command
spark.r.shell.command spark.sparkr.r.command spark.python.daemon.module spark.python.worker.module
spark.sql.execution.pyspark.python spark.repl.local.jars spark.launcher.port spark.user.groups.mapping
spark.storage.replication.topologyFile spark.testing spark.driver.log.dfsDir
spark.submit.proxyUser.allowCustomClasspathInClusterMode spark.yarn.rolledLog.includePattern spark.home
spark.kubernetes.file.upload.path spark.local.dir spark.yarn.submit.waitAppCompletion SPARK.YARN.KEYTAB
spark.Yarn.keyTab
"""


def refusal(
    spark_conf: dict[str, str], queue: str | None = None, limits: Limits = LIMITS
) -> SparkKernelError:
    with pytest.raises(SparkKernelError) as caught:
        limits.check(queue, spark_conf)
    message = caught.value.message
    assert "\n" not in message and message.replace("…", "").isascii()
    assert message.endswith(".") and len(message) < 400
    return caught.value


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_no_allowlist_allows_what_is_dangerous(name: str) -> None:
    assert never(name)
    if name.startswith("spark."):
        assert isinstance(refusal({name: "x"}), NotAllowed)
        with pytest.raises(ConfigurationError):
            Limits.parse({name: {}})


@pytest.mark.parametrize(
    "name",
    ["spark.sql.shuffle.partitions", "spark.speculation", "spark.task.cpus", "spark.executor.memoryOverhead",
     "spark.sql.catalog.lake", "spark.shuffle.compress", "spark.kryoserializer.buffer.max",
     "spark.executor.resource.gpu.amount", *sorted(HARMLESS)],
)  # fmt: skip
def test_a_broad_allowlist_allows_what_shapes_only_the_application(name: str) -> None:
    LIMITS.check(None, {name: "2"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.executor.memory", "8g"), ("spark.executor.memory", "8G"), ("spark.executor.memory", "8192m"),
        ("spark.executor.memory", "8192"), ("spark.executor.memory", "8gb"), ("spark.driver.memory", "512m"),
        ("spark.memory.offHeap.size", "1g"), ("spark.executor.cores", "4"), ("spark.memory.fraction", "0.8"),
        ("spark.dynamicAllocation.maxExecutors", "1"), ("spark.sql.ansi.enabled", "true"),
    ],
)  # fmt: skip
def test_what_is_within_the_bounds_is_allowed(name: str, value: str) -> None:
    LIMITS.check("analysts", {name: value})


@pytest.mark.parametrize(
    ("name", "value", "bound"),
    [
        ("spark.executor.memory", "9g", "8g"), ("spark.executor.memory", "8193", "8g"),
        ("spark.executor.memory", "1t", "8g"), ("spark.executor.memory", "1p", "8g"),
        ("spark.executor.memory", "999999999999g", "8g"), ("spark.driver.memory", "511m", "512m"),
        ("spark.executor.cores", "5", "4"), ("spark.executor.instances", "11", "10"),
        ("spark.memory.fraction", "0.81", "0.8"), ("spark.dynamicAllocation.maxExecutors", "0", "1"),
        ("spark.sql.ansi.enabled", "TRUE", "false"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_refused_with_the_bound(name: str, value: str, bound: str) -> None:
    error = refusal({name: value})
    assert isinstance(error, NotAllowed)
    assert name in error.message and value in error.message and bound in error.message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.executor.memory", "8 g"), ("spark.executor.memory", "8x"), ("spark.executor.memory", "8gib"),
        ("spark.executor.memory", "-1g"), ("spark.executor.memory", "0.5g"), ("spark.executor.memory", ""),
        ("spark.executor.memory", "8\u212a"), ("spark.executor.memory", "\u0668g"),
        ("spark.executor.memory", "1e9"), ("spark.executor.memory", "0x10g"),
        ("spark.executor.memory", "+1g"),
        ("spark.executor.memory", "9" * 10000), ("spark.executor.memory", "1g\n"),
        ("spark.memory.offHeap.size", "1024"),  # its unit would be anybody's guess
        ("spark.executor.cores", "two"), ("spark.executor.cores", "NaN"), ("spark.executor.cores", "1_0"),
        ("spark.executor.cores", "\u0663"), ("spark.executor.cores", "1e1"),
        ("spark.executor.cores", "infinity"),
        ("spark.note", "${env:HOME}"), ("spark.note", "a\nspark.yarn.keytab=/x"), ("spark.note", "a\0b"),
        ("spark.note", "x" * 10000), ("spark.note", "a\u202eb"), ("spark.note", "a\rb"),
        ("spark.executor.memory\n", "1g"), ("spark.executor.memory ", "1g"), (" spark.executor.memory", "1g"),
        ("spark.executor.mem\u043ery", "1g"), ("spark." + "a" * 10000, "1g"), ("spark.a=b", "1"), ("", "1"),
        ("HADOOP_CONF_DIR", "/tmp"), ("spark", "1"), ("spark.a b", "1"), ("--conf", "1"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_refused_in_one_short_line(name: str, value: str) -> None:
    error = refusal({name: value})
    assert isinstance(error, ConfigurationError)
    assert "a" * (QUOTED + 1) not in error.message and "x" * (QUOTED + 1) not in error.message


def test_too_many_settings_are_refused() -> None:
    assert "201" in refusal({f"spark.a{i}": "1" for i in range(201)}).message


def test_queues() -> None:
    LIMITS.check(None, {})
    assert "default, analysts" in refusal({}, "root.secret").message
    for queue in ("a b", "q\n", "\u0430nalysts", "q" * 10000, "", "../x"):
        assert isinstance(refusal({}, queue), ConfigurationError)
    Limits.parse({"queue": {}}).check("any", {})
    assert isinstance(refusal({}, "any", Limits.parse({})), NotAllowed)


def test_without_a_rule_nothing_is_allowed_and_the_nearest_rule_decides() -> None:
    assert isinstance(refusal({"spark.sql.a": "1"}, limits=Limits.parse({})), NotAllowed)
    limits = Limits.parse({"spark.*": {"max": 1}, "spark.sql.*": {"max": 2}, "spark.sql.a": {"max": 3}})
    limits.check(None, {"spark.b": "1", "spark.sql.b": "2", "spark.sql.a": "3"})
    for name, value in (("spark.b", "2"), ("spark.sql.b", "3"), ("spark.sql.a", "4")):
        refusal({name: value}, limits=limits)


@pytest.mark.parametrize(
    "allowlist",
    [
        None, [], "spark.*", {"": {}}, {"*": {}}, {1: {}}, {"spark.a": None}, {"spark.a": "8g"},
        {"spark.a": {"maximum": 1}}, {"spark.a": {"max": True}}, {"spark.a": {"max": None}},
        {"spark.a": {"max": "many"}}, {"spark.a": [1]}, {"spark.a": {"max": float("nan")}},
        {"queue": {"max": 1}}, {"queue": "default"}, {"spark.a\n": {}}, {"spark.hadoop.*": {}},
    ],
)  # fmt: skip
def test_a_malformed_allowlist_is_refused(allowlist: Any) -> None:
    with pytest.raises(ConfigurationError):
        Limits.parse(allowlist)


def test_every_pattern_gives_a_reason_that_reads_as_a_clause() -> None:
    assert all(why.startswith("it ") and not why.endswith(".") for why in NEVER.values())
