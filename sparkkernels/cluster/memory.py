"""How large the containers of an application are: Spark's arithmetic for YARN. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..errors import ConfigurationError

#: ``org.apache.spark.network.util.JavaUtils.byteStringAs``: powers of 1024, a bare number is MiB here.
SIZE = re.compile(r"\s*([0-9]+)\s*([bkmgtp]?)b?\s*\Z", re.I)
KIB = {"b": 1 / 1024, "k": 1.0, "": 1024.0, "m": 1024.0, "g": 1024.0**2, "t": 1024.0**3, "p": 1024.0**4}

#: ``org.apache.spark.deploy.yarn.ResourceRequestHelper`` and ``Client``.
LEAST_OVERHEAD_MIB = 384
OVERHEAD_FACTOR = 0.1


def parse_mib(name: str, text: str) -> int:
    """A size of Spark's settings in MiB.

    Parameters
    ----------
    name : str
        The setting, for the message.
    text : str
        Like ``512m``, ``4g``, ``1024``.

    Raises
    ------
    ConfigurationError
    """
    found = SIZE.match(text)
    if not found:
        raise ConfigurationError(
            f"The Spark setting {name} is not a size: {text!r}.", hint="Write it like 512m or 4g."
        )
    return int(int(found[1]) * KIB[found[2].lower()] / 1024)


def driver_container_mib(conf: Mapping[str, str]) -> int:
    """Size of the application master's container in cluster mode, in MiB."""
    return _container_mib(conf, "spark.driver")


def executor_container_mib(conf: Mapping[str, str]) -> int:
    """Size of one executor's container, in MiB."""
    size = _container_mib(conf, "spark.executor")
    if conf.get("spark.memory.offHeap.enabled", "").lower() == "true":
        # This one is in bytes when it has no unit (``ConfigBuilder.bytesConf(ByteUnit.BYTE)``).
        text = conf.get("spark.memory.offHeap.size", "0")
        size += parse_mib("spark.memory.offHeap.size", f"{text}b" if text.strip().isdigit() else text)
    if "spark.executor.pyspark.memory" in conf:
        size += parse_mib("spark.executor.pyspark.memory", conf["spark.executor.pyspark.memory"])
    return size


def _container_mib(conf: Mapping[str, str], role: str) -> int:
    memory = parse_mib(f"{role}.memory", conf.get(f"{role}.memory", "1g"))
    overhead = conf.get(f"{role}.memoryOverhead")
    if overhead is not None:
        return memory + parse_mib(f"{role}.memoryOverhead", overhead)
    try:
        factor = float(conf.get(f"{role}.memoryOverheadFactor", OVERHEAD_FACTOR))
    except ValueError as error:
        raise ConfigurationError(f"The Spark setting {role}.memoryOverheadFactor is not a number.") from error
    return memory + max(int(memory * factor), LEAST_OVERHEAD_MIB)
