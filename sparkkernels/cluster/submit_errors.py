"""What a failed spark-submit printed, as one of our errors. Pure; the texts are Spark's and Hadoop's own."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import (
    ConfigurationError,
    CredentialsError,
    NotAllowed,
    ResourceManagerUnavailable,
    SparkKernelError,
    SubmitError,
)
from . import impersonation

#: Lines of an error that are quoted, and characters of one line.
QUOTED_LINES = 8
QUOTED_CHARACTERS = 600

RETRY = re.compile(
    r"Retrying connect to server: (\S+?)[/.]|while invoking .*[Tt]rying to failover|Retrying after"
)
MATTERS = re.compile(
    r"^(Exception in thread|Caused by:|Error\b|ERROR\b|FATAL\b|[\w.$]+(Exception|Error)\b|\s*diagnostics:)"
    r"|JAVA_HOME|: No such file or directory|Permission denied|Unrecognized|unrecognized|Could not"
)
#: Words in front of what an exception says.
PREFIX = re.compile(r'^(Exception in thread "[^"]*" |Caused by: )')

KINIT = "Get a ticket with kinit, and see `klist`."
MEMORY = "Ask for less: spark.driver.memory, spark.executor.memory and their memoryOverhead."
CONNECT = "Check the addresses in HADOOP_CONF_DIR and that this host may reach them."


@dataclass(frozen=True)
class Rule:
    """One known failure.

    Attributes
    ----------
    pattern : str
        Searched in every line of the output; its groups fill ``message``.
    error : type
    message : str
        First line of the error, with ``{0}``, ``{1}`` for the groups.
    hint : str
    """

    pattern: str
    error: type[SparkKernelError]
    message: str
    hint: str = ""


#: In order; the first that matches any line wins.
RULES: tuple[Rule, ...] = (
    Rule(
        r"submitted by user .+ to unknown queue: (\S+)",
        ConfigurationError,
        "YARN has no queue {0}.",
        "Choose a queue that exists with `queue` in the kernelspec's provisioner config.",
    ),
    Rule(
        r"Queue (\S+) is (STOPPED|DRAINING)",
        ConfigurationError,
        "The YARN queue {0} takes no applications: it is {1}.",
        "Choose another queue.",
    ),
    Rule(
        r"(?:Queue|queue) (\S+) already has (\d+) applications",
        SubmitError,
        "The YARN queue {0} is full: it already has {1} applications.",
        "Choose another queue, or end applications in it.",
    ),
    Rule(
        r"User (\S+) (?:cannot|does not have permission to) submit .*queue:? ?(\S+)",
        NotAllowed,
        "The user {0} may not submit applications to the YARN queue {1}",
        "Choose another queue, or ask its administrator.",
    ),
    Rule(
        r"Required AM memory \((\d+)\+(\d+) MB\) is above the max threshold \((\d+) MB\)",
        ConfigurationError,
        "The kernel asks for a container of {0} MiB and {1} MiB overhead; this cluster's largest is {2} MiB.",
        MEMORY,
    ),
    Rule(
        r"Required executor memory \((\d+) MB\).*overhead \((\d+) MB\).*above the max threshold \((\d+) MB\)",
        ConfigurationError,
        "An executor would need {0} MiB and {1} MiB overhead; this cluster's largest container is {2} MiB.",
        MEMORY,
    ),
    Rule(
        r"Invalid resource request.*maximum allowed allocation=<([^>]*)>",
        ConfigurationError,
        "The request is larger than this cluster's largest container ({0}).",
        MEMORY,
    ),
    Rule(impersonation.NOT_THIS_USER, NotAllowed, impersonation.USER_MESSAGE, impersonation.HINT),
    Rule(impersonation.NOT_FROM_HERE, NotAllowed, impersonation.HOST_MESSAGE, impersonation.HINT),
    Rule(
        r"Client cannot authenticate via|GSS initiate failed|Failed to find any Kerberos tgt"
        r"|SIMPLE authentication is not enabled|No valid credentials provided",
        CredentialsError,
        "The cluster wants a Kerberos ticket and there is no usable one.",
        KINIT,
    ),
    Rule(
        r"Can't get Kerberos realm|Cannot locate default realm",
        CredentialsError,
        "Kerberos is not configured on this host: there is no default realm.",
        "Install the site's krb5.conf, or name it with KRB5_CONFIG and -Djava.security.krb5.conf.",
    ),
    Rule(
        r"Permission denied: user=([^,]+), access=(\w+), inode=\"([^\"]+)\"",
        NotAllowed,
        "HDFS does not let the user {0} write to {2}.",
        "An administrator has to create the user's home directory on HDFS, owned by the user.",
    ),
    Rule(
        r"SafeModeException|Name node is in safe mode",
        SubmitError,
        "HDFS is in safe mode and can't be written to.",
        "Try again when the NameNode has left safe mode.",
    ),
    Rule(
        r"could only be written to \d+ of the \d+ minReplication nodes|could only be replicated to 0 nodes",
        SubmitError,
        "HDFS can't store a file: no DataNode takes it.",
        "Check HDFS' free space and its DataNodes.",
    ),
    Rule(
        r"(DSQuotaExceeded|NSQuotaExceeded|QuotaByStorageTypeExceeded)Exception",
        SubmitError,
        "The user's HDFS quota is used up.",
        "Remove files from the HDFS home directory, .sparkStaging among them.",
    ),
    Rule(
        r"No space left on device",
        SubmitError,
        "A disk of this host is full.",
        "Free space in the directory for temporary files (TMPDIR).",
    ),
    Rule(
        r"(?:FileNotFound|PathNotFound)Exception: File (?:does not exist: )?(\S+?)(?: does not exist)?\s*$",
        ConfigurationError,
        "A file that Spark was told to use does not exist: {0}",
        "See spark.yarn.archive, spark.yarn.dist.*, spark.jars. To stage: `jupyter sparkkernels stage`.",
    ),
    Rule(
        r"UnsupportedClassVersionError",
        ConfigurationError,
        "This Java is too old for this Spark.",
        "Set JAVA_HOME to a Java 17 runtime.",
    ),
    Rule(
        r"JAVA_HOME is not set|/bin/java: No such file|java: (?:command )?not found",
        ConfigurationError,
        "spark-submit found no Java.",
        "Set JAVA_HOME to a Java 17 runtime.",
    ),
    Rule(
        r"Could not create the Java Virtual Machine|Could not reserve enough space"
        r"|insufficient memory for the Java",
        SubmitError,
        "Java could not be started on this host.",
        "Check this host's free memory, and SPARK_SUBMIT_OPTS.",
    ),
    Rule(
        r"Failed to load class (\S+?)\.?$|(?:ClassNotFoundException|NoClassDefFoundError): (\S+)",
        ConfigurationError,
        "Spark misses the class {0}{1}.",
        "See the settings that name classes and jars, and SPARK_DIST_CLASSPATH of a Spark without Hadoop.",
    ),
    Rule(
        r"UnknownHostException: Invalid host name:.*destination host is: \W*([\w.-]+)"
        r"|UnknownHostException: (?!Invalid host name)([^\s:]+)",
        ConfigurationError,
        "The Hadoop configuration names a host that does not exist: {0}{1}.",
        CONNECT,
    ),
    Rule(
        r"Call From .* to (\S+) failed on (?:connection|socket timeout) exception"
        r"|Call From .* to (\S+) failed on local exception",
        ResourceManagerUnavailable,
        "spark-submit can't connect to the cluster: {0}{1} does not answer.",
        CONNECT,
    ),
    Rule(
        r"Retrying connect to server: ([^/\s]+)\S*?(:\d+)",
        ResourceManagerUnavailable,
        "spark-submit can't connect to the cluster: {0}{1} does not answer.",
        CONNECT,
    ),
    Rule(
        r"No FileSystem for scheme \"?(\w+)",
        ConfigurationError,
        "Spark has no driver for the file system {0}://.",
        "Check fs.defaultFS and the jars that it needs.",
    ),
    Rule(
        r"AccessControlException: (.+)",
        NotAllowed,
        "The cluster does not allow this submit.",
        "Ask the cluster's administrator.",
    ),
    Rule(
        r"Too many applicationTags|Tag \S+ is too long|A tag can only have ASCII",
        ConfigurationError,
        "YARN does not take the application's tags.",
    ),
    Rule(
        r"^Error: (?:Unrecognized option|Unknown/unsupported param)",
        ConfigurationError,
        "spark-submit does not know one of its options.",
    ),
    Rule(
        r"(?:ConfigurationException|IllegalArgumentException|NumberFormatException|SparkException): "
        r"(.*(?:spark\.[\w.]+|must be|should be).*)",
        ConfigurationError,
        "Spark refuses a setting: {0}",
        "Correct the kernelspec's spark_conf.",
    ),
)


def is_retry(line: str) -> bool:
    """Whether Hadoop's client says that it could not connect and tries again."""
    return RETRY.search(line) is not None


def submit_error(
    lines: Sequence[str], returncode: int | None, application_id: str | None = None
) -> SparkKernelError:
    """The error for a spark-submit that failed.

    Parameters
    ----------
    lines : sequence of str
        The last lines that it printed.
    returncode : int or None
        Its exit code, negative for a signal; None when it was ended because it got nowhere.
    application_id : str or None
        The application's id if it had one.
    """
    quoted = "\n".join(lines_that_matter(lines))
    if returncode is not None and returncode < 0:
        name = signal_name(-returncode)
        return SubmitError(
            f"spark-submit was ended from outside, by {name}.",
            application_id=application_id,
            diagnostics=quoted,
            hint="If nobody did that, this host may have run out of memory." if name == "SIGKILL" else "",
        )
    for rule in RULES:
        for line in lines:
            found = re.search(rule.pattern, line)
            if found:
                message = rule.message.format(*(group or "" for group in found.groups()))
                return rule.error(
                    message[:QUOTED_CHARACTERS],
                    application_id=application_id,
                    diagnostics=quoted or PREFIX.sub("", line.strip())[:QUOTED_CHARACTERS],
                    hint=rule.hint,
                )
    how = "got nowhere and was ended" if returncode is None else f"failed with exit code {returncode}"
    return SubmitError(
        f"spark-submit {how}.",
        application_id=application_id,
        diagnostics=quoted or "\n".join(line[:QUOTED_CHARACTERS] for line in lines[-QUOTED_LINES:]),
    )


def lines_that_matter(lines: Sequence[str]) -> list[str]:
    """The lines that say what went wrong, without stack traces and without saying it twice."""
    found: list[str] = []
    for line in lines:
        if line.startswith(("\tat ", "\t...")) or not MATTERS.search(line):
            continue
        text = PREFIX.sub("", line.strip())[:QUOTED_CHARACTERS]
        if not any(text in known for known in found):
            found.append(text)
    if not found:
        retries = [line for line in lines if is_retry(line)]
        found = [retries[-1][:QUOTED_CHARACTERS]] if retries else []
    return found[-QUOTED_LINES:]


def signal_name(number: int) -> str:
    """A signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
