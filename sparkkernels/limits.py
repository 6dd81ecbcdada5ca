"""What a person may set for a kernel: a queue and Spark settings, within an administrator's allowlist.

On top of any allowlist stands :data:`NEVER`, so that even ``{"spark.*": {}}`` hands out nothing that the
submitting host reads or runs, that decides who a kernel is and who may see or end it, or that takes
encryption away. What merely reaches into the kernel's own containers is not of that kind: whoever has a
kernel runs code there anyway.

Sources: Spark's configuration, security, monitoring and running-on-yarn pages; ``spark.*`` names in the
classes of Spark 3.5; ``org.apache.spark.network.util.JavaUtils.byteStringAs`` for sizes;
``org.apache.spark.internal.config.ConfigReader`` for references in values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NoReturn

from .errors import ConfigurationError, NotAllowed
from .spec import CONF_NAME, QUEUE_NAME

#: Longest name, longest value, most settings of one kernel, and what is quoted of them in a message.
LONGEST_NAME, LONGEST_VALUE, MOST_SETTINGS, QUOTED = 200, 4096, 200, 40

IDENTITY = "it decides as whom, where or by which services the kernel runs"
CODE = "it names files or code that other accounts would read or run"
ACCESS = "it decides who may see or end kernels, and what of them is kept and shown"
ENCRYPTION = "it decides how Spark's connections are secured"

#: Patterns of names that no allowlist can allow, and why; ``*`` stands for anything.
NEVER: dict[str, str] = {
    "spark.master*": IDENTITY, "spark.remote": IDENTITY, "spark.api.*": IDENTITY, "spark.connect.*": IDENTITY,
    "spark.submit.*": IDENTITY, "spark.app.*": IDENTITY, "spark.home": CODE, "spark.*proxyuser*": IDENTITY,
    # Allowed ones of YARN's are in HARMLESS: keytab, tags, staging, attempts, environment, files are here.
    "spark.yarn.*": IDENTITY,
    "spark.kerberos.*": IDENTITY, "spark.security.*": IDENTITY, "spark.*.keytab": IDENTITY,
    "spark.*.principal": IDENTITY, "spark.user.groups.mapping": IDENTITY, "spark.launcher.*": IDENTITY,
    "spark.kubernetes.*": IDENTITY, "spark.mesos.*": IDENTITY, "spark.standalone.*": IDENTITY,
    "spark.deploy.*": IDENTITY, "spark.worker.*": IDENTITY,
    # Hadoop's and Hive's whole configuration, the submitting client's included: services, tokens, principals.
    "spark.hadoop.*": IDENTITY, "spark.hive.*": IDENTITY, "spark.kafka.*": IDENTITY,
    "spark.sql.hive.metastore.*": CODE, "spark.sql.catalogImplementation": CODE,
    "spark.files": CODE, "spark.archives": CODE, "spark.jars*": CODE, "spark.*.pyFiles": CODE,
    "spark.repl.*": CODE, "spark.*extraClassPath": CODE, "spark.*ClassPathFirst": CODE,
    "spark.*libraryPath": CODE, "spark.*javaOptions": CODE, "spark.*.env.*": CODE, "spark.executorEnv*": CODE,
    "spark.pyspark.*": CODE, "spark.sql.execution.pyspark.python": CODE, "spark.python.*module": CODE,
    "spark.r.*": CODE, "spark.sparkr.*": CODE, "spark.plugins*": CODE, "spark.executor.plugins": CODE,
    "spark.extraListeners": CODE, "spark.sql.extensions": CODE, "spark.sql.*Listeners": CODE,
    "spark.*discoveryScript": CODE, "spark.*discoveryPlugin": CODE, "spark.*resourcesFile": CODE,
    "spark.scheduler.allocation.file": CODE, "spark.storage.replication.topology*": CODE,
    "spark.metrics.conf*": CODE, "spark.test*": CODE, "spark.driver.host": IDENTITY,
    "spark.driver.bindAddress": IDENTITY, "spark.driver.supervise": IDENTITY,
    "spark.driver.appUIAddress": ACCESS,
    "spark.driver.log.*": ACCESS, "spark.executor.id": IDENTITY, "spark.local.dir": CODE,
    # Allowed ones of the web pages are in HARMLESS.
    "spark.ui.*": ACCESS, "spark.*acls*": ACCESS, "spark.admin.*": ACCESS, "spark.modify.*": ACCESS,
    "spark.eventLog.*": ACCESS, "spark.history.*": ACCESS, "spark.*redaction*": ACCESS,
    "spark.*filters*": ACCESS,
    "spark.auth*": ENCRYPTION, "spark.network.auth*": ENCRYPTION, "spark.network.crypto*": ENCRYPTION,
    "spark.network.sasl*": ENCRYPTION, "spark.io.encryption*": ENCRYPTION, "spark.io.crypto*": ENCRYPTION,
    "spark.*ssl*": ENCRYPTION, "spark.*secret*": ENCRYPTION, "spark.*password*": ENCRYPTION,
}  # fmt: skip

#: Settings that a pattern above would catch although they only shape the kernel's own application.
HARMLESS = frozenset(
    {
        "spark.yarn.priority", "spark.yarn.am.nodeLabelExpression", "spark.yarn.executor.nodeLabelExpression",
        "spark.yarn.exclude.nodes", "spark.yarn.executor.failuresValidityInterval",
        "spark.yarn.max.executor.failures", "spark.ui.showConsoleProgress", "spark.ui.retainedJobs",
        "spark.ui.retainedStages", "spark.ui.retainedTasks", "spark.ui.retainedDeadExecutors",
        "spark.ui.consoleProgress.update.interval",
        "spark.repl.class.outputDir",
    }
)  # fmt: skip

NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?\Z")
SIZE = re.compile(r"([0-9]{1,12})([a-z]{0,2})\Z")
UNITS = {
    "b": 0,
    "k": 10,
    "kb": 10,
    "m": 20,
    "mb": 20,
    "g": 30,
    "gb": 30,
    "t": 40,
    "tb": 40,
    "p": 50,
    "pb": 50,
}
#: Sizes that Spark takes for MiB when they have no unit; elsewhere a bare number may mean anything.
MEBIBYTES = re.compile(r"spark\.(driver|executor)\.(memory|memoryOverhead|pyspark\.memory)\Z")
QUEUE = "queue"


@dataclass(frozen=True)
class Bound:
    """The end of a range.

    Attributes
    ----------
    text : str
        As the administrator wrote it.
    value : Fraction
        The number, or the size in bytes.
    is_size : bool
    """

    text: str
    value: Fraction
    is_size: bool


@dataclass(frozen=True)
class Rule:
    """What values one setting, or all that match one pattern, may have.

    Attributes
    ----------
    values : tuple of str or None
        The allowed values, None for any.
    least, most : Bound or None
    """

    values: tuple[str, ...] | None = None
    least: Bound | None = None
    most: Bound | None = None


@dataclass(frozen=True)
class Limits:
    """An administrator's allowlist.

    Attributes
    ----------
    rules : mapping of str to Rule
        By a setting's name, a pattern with ``*``, or ``queue``. A name wins over patterns, a longer pattern
        over a shorter one.
    """

    rules: Mapping[str, Rule]

    @classmethod
    def parse(cls, allowlist: object) -> Limits:
        """Read an allowlist, like ``{"spark.executor.memory": {"max": "8g"}, "queue": ["default"]}``.

        A rule is a list of the values that are allowed, or an object with ``min`` and ``max`` (a number, or
        a size with its unit); an empty object allows every value.

        Raises
        ------
        ConfigurationError
        """
        if not isinstance(allowlist, Mapping):
            raise ConfigurationError("The limits must be an object of rules by the settings' names.")
        rules = {}
        for name, rule in allowlist.items():
            if not isinstance(name, str) or not (name == QUEUE or CONF_NAME.match(name.replace("*", "a"))):
                raise ConfigurationError(f"The limits have a rule for {quoted(name)}, which is no setting.")
            if why := never(name):
                raise ConfigurationError(f"The limits allow {name}, which can't be allowed: {why}.")
            rules[name] = _rule(name, rule)
        return cls(rules)

    def check(self, queue: str | None, spark_conf: Mapping[str, str]) -> None:
        """Refuse what is not allowed.

        Parameters
        ----------
        queue : str or None
            None for the cluster's default, which needs no permission here.
        spark_conf : mapping of str to str

        Raises
        ------
        NotAllowed, ConfigurationError
            One sentence with the setting, its value, the bound and the step to take.
        """
        if queue is not None:
            self._check_queue(queue)
        if len(spark_conf) > MOST_SETTINGS:
            raise ConfigurationError(
                f"The kernel has {len(spark_conf)} Spark settings, and at most {MOST_SETTINGS} are allowed:"
                " leave some out."
            )
        for name, value in spark_conf.items():
            self._check_setting(name, value)

    def _check_queue(self, queue: str) -> None:
        if len(queue) > LONGEST_NAME or not QUEUE_NAME.match(queue):
            raise ConfigurationError(f"The queue {quoted(queue)} is no YARN queue name: correct it.")
        rule = self.rules.get(QUEUE)
        if rule is None:
            raise NotAllowed(f"The queue {queue} can't be asked for here, nor any other: leave `queue` out.")
        if rule.values is not None and queue not in rule.values:
            raise NotAllowed(
                f"The queue {queue} is not allowed here: choose one of {', '.join(rule.values)}, or none."
            )

    def _check_setting(self, name: str, value: str) -> None:
        if len(name) > LONGEST_NAME or not CONF_NAME.match(name):
            raise ConfigurationError(f"{quoted(name)} is no name of a Spark setting: correct or remove it.")
        if len(value) > LONGEST_VALUE or not value.isprintable() or "${" in value:
            raise ConfigurationError(
                f"The value {quoted(value)} of {name} is too long, or has a line break or a reference"
                " (${…}) in it: write it out."
            )
        if why := never(name):
            raise NotAllowed(f"{name} can't be set to {quoted(value)} by anybody, since {why}: remove it.")
        rule = self._rule_for(name)
        if rule is None:
            raise NotAllowed(
                f"{name} can't be set to {quoted(value)}, as the administrator's limits do not list it:"
                " remove it, or ask for a rule."
            )
        if rule.values is not None and value not in rule.values:
            raise NotAllowed(f"{name} can't be {quoted(value)} here: choose one of {', '.join(rule.values)}.")
        for bound, is_most in ((rule.least, False), (rule.most, True)):
            if bound is not None:
                _check_bound(name, value, bound, is_most)

    def _rule_for(self, name: str) -> Rule | None:
        if name in self.rules:
            return self.rules[name]
        fitting = [pattern for pattern in self.rules if "*" in pattern and _matches(pattern, name)]
        return self.rules[max(fitting, key=len)] if fitting else None


def never(name: str) -> str:
    """Why no allowlist can allow this setting, "" when one can."""
    if name in HARMLESS:
        return ""
    return next((why for pattern, why in NEVER.items() if _matches(pattern, name, re.IGNORECASE)), "")


def quoted(value: object) -> str:
    """A short piece of what somebody sent, in ASCII and on one line."""
    text = value if isinstance(value, str) else type(value).__name__
    return ascii(text[:QUOTED]) + ("…" if len(text) > QUOTED else "")


def _matches(pattern: str, name: str, flags: int = 0) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), name, flags) is not None


def _check_bound(name: str, value: str, bound: Bound, is_most: bool) -> None:
    asked = _size(name, value) if bound.is_size else _number(value)
    limit = f"{'at most' if is_most else 'at least'} {bound.text}"
    if asked is None:
        kind = "a size with a unit, like 4g or 512m" if bound.is_size else "a number"
        raise ConfigurationError(f"{name} is {quoted(value)}, which is not {kind}: give {limit}.")
    if asked > bound.value if is_most else asked < bound.value:
        raise NotAllowed(f"{name} is {value}, and {limit} is allowed here: ask for {limit}.")


def _size(name: str, text: str) -> Fraction | None:
    found = SIZE.match(text.strip().lower()) if text.isascii() else None
    unit = found[2] or ("m" if MEBIBYTES.match(name) else "") if found else ""
    return Fraction(int(found[1]) << UNITS[unit]) if found and unit in UNITS else None


def _number(text: str) -> Fraction | None:
    return Fraction(text) if text.isascii() and NUMBER.match(text) else None


def _rule(name: str, rule: object) -> Rule:
    def wrong() -> NoReturn:
        raise ConfigurationError(
            f"The limits' rule for {name} is malformed.",
            hint='A rule is a list of values, or an object with "min" and "max", each a number or a size.',
        )

    if isinstance(rule, list):
        return Rule(values=tuple(rule)) if all(isinstance(value, str) for value in rule) else wrong()
    if not isinstance(rule, Mapping) or not set(rule) <= {"min", "max"} or (name == QUEUE and rule):
        wrong()
    bounds = {}
    for end, text in rule.items():
        if isinstance(text, bool) or not isinstance(text, (int, float, str)):
            wrong()
        number, size = _number(str(text)), _size("", str(text))
        value = size if number is None else number
        if value is None:
            wrong()
        bounds[end] = Bound(str(text), value, number is None)
    return Rule(least=bounds.get("min"), most=bounds.get("max"))
