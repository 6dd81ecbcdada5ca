"""How Spark logs in containers of a site that says nothing of it: rolled, since a kernel lives for weeks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .spark_home import SparkHome

#: Its name in the containers' working directories, which are the first place of their class path.
CONTAINERS_NAME = "sparkkernels-log4j2.properties"
#: With it a JVM uses that file; a later option of the same name wins over it.
CONTAINERS_OPTION = f"-Dlog4j2.configurationFile={CONTAINERS_NAME}"
#: What a site's own configuration may be called (log4j's ``ConfigurationFactory``).
OWN_NAMES = [f"log4j2.{ending}" for ending in ("properties", "xml", "yaml", "yml", "json")]

#: At most 5 files of 10 MB; stderr, which errors are quoted from, has what matters and no flood.
CONTAINERS = """\
status = error
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
rootLogger.appenderRef.stderr.ref = stderr
property.directory = ${sys:spark.yarn.app.container.log.dir:-${sys:java.io.tmpdir}}
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${directory}/spark.log
appender.file.filePattern = ${directory}/spark.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 4
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
appender.stderr.layout.type = PatternLayout
appender.stderr.layout.pattern = %d{yy/MM/dd HH:mm:ss} %p %c{1}: %m%n%ex
appender.stderr.filter.threshold.type = ThresholdFilter
appender.stderr.filter.threshold.level = warn
appender.stderr.filter.burst.type = BurstFilter
appender.stderr.filter.burst.level = warn
appender.stderr.filter.burst.rate = 1
appender.stderr.filter.burst.maxBurst = 200
logger.native.name = org.apache.hadoop.util.NativeCodeLoader
logger.native.level = error
"""


def has_own(home: SparkHome, environ: Mapping[str, str]) -> bool:
    """Whether the site configures Spark's logging, which spark-submit takes along into the containers."""
    directory = Path(environ.get("SPARK_CONF_DIR") or home.path / "conf")
    return any((directory / name).exists() for name in OWN_NAMES)
