"""Settings that a notebook asks for, in an application that runs already."""

from __future__ import annotations

import warnings
from typing import Any, Callable, Dict, List, Mapping, Tuple

#: Settings of the whole application, beside those that Spark has registered as its core's.
STATIC = (
    "spark.archives",
    "spark.driver.",
    "spark.dynamicAllocation.",
    "spark.eventLog.",
    "spark.executor.",
    "spark.executorEnv.",
    "spark.files",
    "spark.history.",
    "spark.home",
    "spark.jars",
    "spark.kerberos.",
    "spark.kryo",
    "spark.kubernetes.",
    "spark.master",
    "spark.plugins",
    "spark.pyspark.",
    "spark.scheduler.mode",
    "spark.serializer",
    "spark.submit.",
    "spark.ui.",
    "spark.yarn.",
)
#: A label: every notebook sets it, and none depends on it.
LABEL = "spark.app.name"


def text(value: Any) -> str:
    """Write a value as Spark reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def split(
    options: Mapping[str, Any], has: Callable[[str, str], bool], is_static: Callable[[str], bool]
) -> Tuple[Dict[str, Any], List[str]]:
    """Tell what can be set in a running application from what it is too late for.

    Parameters
    ----------
    options : mapping of str to value
        What was asked for.
    has : callable
        Whether the application has this value of a setting.
    is_static : callable
        Whether Spark itself says that a setting can't be changed.

    Returns
    -------
    settable : dict of str to value
    ignored : list of str
        Names of those which have another value in this application; what has the same is nobody's concern.
    """
    settable: Dict[str, Any] = {}
    ignored: List[str] = []
    for name, value in options.items():
        if name != LABEL and (name.startswith(STATIC) or is_static(name)):
            if not has(name, text(value)):
                ignored.append(name)
        else:
            settable[name] = value
    return settable, ignored


def split_for(session: Any, options: Mapping[str, Any]) -> Tuple[Dict[str, Any], List[str]]:
    """As :func:`split`, asking the JVM of a ``pyspark.sql.SparkSession``."""
    context = session.sparkContext
    # Spark adds to some settings that it was submitted with, and a SparkConf() has those as they were.
    confs = (context._jsc.sc().conf(), context._jvm.org.apache.spark.SparkConf(True))
    entries = context._jvm.org.apache.spark.internal.config.ConfigEntry
    runtime = session._jsparkSession.conf()

    def is_static(name: str) -> bool:
        # The rule of org.apache.spark.sql.RuntimeConfig.requireNonStaticConf.
        return entries.findEntry(name) is not None and not runtime.isModifiable(name)

    def has(name: str, value: str) -> bool:
        return any(conf.get(name, "") == value for conf in confs)

    return split(options, has, is_static)


def warn(ignored: List[str], application: str, depth: int) -> None:
    """Say which settings came too late.

    Parameters
    ----------
    ignored : list of str
        Their names.
    application : str
        The application's id.
    depth : int
        How many callers up the notebook's line is.
    """
    if ignored:
        warnings.warn(
            "Spark runs already (%s), too late for: %s. Such settings belong into the kernel's configuration."
            % (application, ", ".join(sorted(ignored))),
            RuntimeWarning,
            stacklevel=depth + 1,
        )
