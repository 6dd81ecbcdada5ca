"""Settings as traits: kernelspec stanza > server configuration > environment > default.

The stanza arrives as constructor arguments and the server's configuration as traitlets config; what is left
comes from ``SPARKKERNELS_<TRAIT>`` in the environment, read strictly, or is the default below.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from traitlets import Dict, Enum, Float, HasTraits, Int, List, TraitError, TraitType, Unicode
from traitlets.config import LoggingConfigurable

from .encryption import POLICIES
from .errors import ConfigurationError

PREFIX = "SPARKKERNELS_"


def read_environment(owner: HasTraits, trait: TraitType[Any, Any], name: str, text: str) -> Any:
    """The value of a trait from the environment, read strictly.

    Parameters
    ----------
    owner : HasTraits
        Whose trait it is.
    trait : TraitType
        The trait it is for: numbers are numbers, dicts and lists are JSON, all else is the text itself.
    name : str
        The variable's name, for the error.
    text : str

    Raises
    ------
    ConfigurationError
        The text is no such value.
    """
    readers: list[tuple[type, Callable[[str], Any], str]] = [
        (Int, int, "a whole number"),
        (Float, float, "a number of seconds"),
        (Dict, json.loads, "a JSON object"),
        (List, json.loads, "a JSON list"),
        (Enum, str, "one of " + ", ".join(getattr(trait, "values", None) or [])),
        (TraitType, str, "a text"),
    ]
    read, what = next((read, what) for kind, read, what in readers if isinstance(trait, kind))
    try:
        return trait._validate(owner, read(text))
    except (ValueError, TraitError) as error:
        raise ConfigurationError(
            f"The environment variable {name} is not {what}: {text!r}.",
            hint=f"Correct or unset {name} where the Jupyter server is started.",
        ) from error


class Settings(LoggingConfigurable):
    """What an administrator or a kernelspec can set."""

    master = Unicode(
        "yarn",
        help="Where the kernel's Spark application runs: `yarn` (cluster mode), or `local[*]`, `local[N]` on"
        " this host, which needs no cluster.",
    ).tag(config=True)
    python = Unicode(
        help="Python interpreter on the workers: the supervisor's, the kernel's and the executors'. Default:"
        " the server's own path, right where all hosts have the same installation.",
    ).tag(config=True)
    spark_home = Unicode(
        help="Spark's directory on the Jupyter host. Default: SPARK_HOME, else what findspark finds."
    ).tag(config=True)
    hadoop_conf_dir = Unicode(
        help="Directory with core-site.xml and yarn-site.xml. Default: HADOOP_CONF_DIR, else YARN_CONF_DIR."
    ).tag(config=True)
    queue = Unicode(
        None, allow_none=True, help="YARN queue; by default the cluster decides (usually root.default)."
    ).tag(config=True)
    spark_conf: Dict[str, str] = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Spark settings of the application. Entries of the kernelspec are added to those of the server's"
        " configuration and win over them.",
    ).tag(config=True)
    limits: Dict[str, Any] = Dict(
        key_trait=Unicode(),
        help="What a kernel's user may set with `%spark restart`: rules by setting and `queue`, as the limits"
        " of the submit helper. Without any, all that is not refused to everybody where kernels run as the"
        " server's own account, and nothing elsewhere.",
    ).tag(config=True)
    jars: List[str] = List(
        Unicode(),
        help="Jars of the application: absolute paths of files on this host, put on the cluster's file system"
        " once and named there by their content's hash. Added to those in the Spark setting spark.jars.",
    ).tag(config=True)
    scala_version = Unicode(
        help="The Scala that the kernel's jars were built for, like 2.12: a Spark with another one is refused"
        " before anything is submitted. By default nothing is checked."
    ).tag(config=True)
    spark_context = Enum(
        ["eager", "none"],
        "eager",
        help="`eager` starts the SparkContext at once in the background, because YARN ends applications that"
        " never make one; `none` starts no JVM at all (local master only).",
    ).tag(config=True)
    staging_dir = Unicode(
        help="Directory on the cluster's file system for Spark's jars and the launchers. Default:"
        " .sparkkernels in the user's home there."
    ).tag(config=True)
    staging_admins: List[str] = List(
        Unicode(),
        ["root", "hdfs"],
        help="Owners that a staging directory outside the user's home, and each of its parents, may have:"
        " everybody runs what is staged there.",
    ).tag(config=True)
    principal = Unicode(
        help="Kerberos principal of the service, like jupyter/host@REALM, whose keytab this server holds. By"
        " default the ticket of the server's own account is used (`kinit`)."
    ).tag(config=True)
    keytab = Unicode(
        help="The principal's keytab: an absolute path, readable by this server's account only."
    ).tag(config=True)
    ca_file = Unicode(
        help="PEM file of the authorities behind the HTTPS of ResourceManager and NameNode. Default: those"
        " that `requests` comes with, or of REQUESTS_CA_BUNDLE."
    ).tag(config=True)
    submit_helper = Unicode(
        help="Command that submits, reports and kills as the service for this server's own Unix user, where"
        " no user may read the keytab: `sudo -n -u SERVICE …` as the sudoers rule has it. By default this"
        " server asks the cluster itself."
    ).tag(config=True)
    identity = Enum(
        ["os", "jupyter", "hub"],
        "os",
        help="Whom kernels run as: `os`, the server's own account or principal; `jupyter`, the authenticated"
        " user of the request that starts the kernel; `hub`, JUPYTERHUB_USER. With the last two the service's"
        " principal acts on behalf of that user, which the cluster must allow it (hadoop.proxyuser).",
    ).tag(config=True)
    user_name_realms: List[str] = List(
        Unicode(),
        help="Kerberos realms and mail domains to cut off user names: with EXAMPLE.ORG, alice@EXAMPLE.ORG is"
        " alice. Users of others are refused, since theirs is another alice.",
    ).tag(config=True)
    user_name_case = Enum(
        ["keep", "lower"], "keep", help="`lower` makes user names lower case, after realms were cut off."
    ).tag(config=True)
    user_name_map: Dict[str, str] = Dict(
        key_trait=Unicode(),
        value_trait=Unicode(),
        help="Regular expressions, each for a whole user name, and what such a name becomes; the first that"
        r" fits counts. Groups are \1, \2; applied last.",
    ).tag(config=True)
    allowed_users: List[str] = List(
        Unicode(),
        help="Names on the cluster of those who may start kernels where these run as their users. Default:"
        " everybody whom the cluster's proxy-user rules allow.",
    ).tag(config=True)
    denied_users: List[str] = List(
        Unicode(),
        help="Names on the cluster that no kernel may run as, in addition to hdfs, yarn, mapred, root and the"
        " service itself. Wins over allowed_users.",
    ).tag(config=True)
    kernel_username = Enum(
        ["refuse", "ignore", "use"],
        "refuse",
        help="What becomes of KERNEL_USERNAME in a kernel's environment where kernels run as their users:"
        " `refuse` a start that names somebody else, `ignore` it, or `use` it in place of the authenticated"
        " name, which whoever may ask this server for kernels can then choose.",
    ).tag(config=True)
    allow_shared_server: List[str] = List(
        Enum(
            [
                "terminals",
                "local_kernels",
                "users_files",
                "anonymous_users",
                "open_authorizer",
                "service_account",
            ]
        ),
        help="Checks of a server that can act as all its users which the administrator does without; each"
        " refusal names its own.",
    ).tag(config=True)
    launch_timeout_s = Float(
        120.0,
        help="Seconds from the accepted submit to the kernel's first answer, waiting in the queue included.",
    ).tag(config=True)
    registration_timeout_s = Float(
        60.0, help="Seconds that the supervisor in the container gives its first contact with this server."
    ).tag(config=True)
    orphan_timeout_s = Float(
        300.0,
        help="Seconds a kernel outlives the connection to its server before it ends its application: long"
        " enough for a network to come back, short enough to hold no resources for nobody.",
    ).tag(config=True)
    childless_timeout_s = Float(
        60.0,
        help="Seconds that an application without a kernel process waits for a restart before it ends:"
        " covers servers whose restarter gave up.",
    ).tag(config=True)
    idle_timeout_s = Float(
        0.0,
        min=0,
        help="Seconds after which the supervisor ends the application of a kernel to which no client has sent"
        " anything and that has run nothing (no cell, no Spark job, no streaming query), even if this server"
        " is gone; 0 for never.",
    ).tag(config=True)
    relay_port = Int(
        0,
        help="TCP port of the relay that the workers connect to; 0 for any free one. Fix it for a firewall.",
    ).tag(config=True)
    max_submits = Int(
        0,
        min=0,
        help="How many submits this server runs at the same time; 0 for as many as this host has processors,"
        " since each keeps one busy for seconds. Others wait for their turn; different people take turns.",
    ).tag(config=True)
    relay_addresses: List[str] = List(
        Unicode(),
        help="Names or addresses under which the workers reach this host. Default: the address that faces the"
        " ResourceManager, then all others of this host.",
    ).tag(config=True)

    curve = Enum(
        POLICIES,
        "auto",
        help="Encryption between Jupyter's clients and the kernel itself, in addition to the relay's TLS:"
        " `auto` for every kernel whose kernelspec says that it can, `required` refuses all others,"
        " `disabled` for none. Without it other users of a worker can connect to a kernel's ports there.",
    ).tag(config=True)
    relay_certificate = Unicode(
        help="PEM file with the relay's certificate and its key, readable by this server's account only. By"
        " default each server process makes its own, which is enough: workers trust its fingerprint alone.",
    ).tag(config=True)

    def _environment_default(self, name: str, default: Any) -> Any:
        variable = PREFIX + name.upper()
        text = os.environ.get(variable)
        if text is None:
            return default
        return read_environment(self, self.traits()[name], variable, text)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        configured = self._find_my_config(self.config)
        for name, trait in self.traits(config=True).items():
            if name not in kwargs and name not in configured:
                value = self._environment_default(name, None)
                if value is None:
                    value = self._computed_default(name)
                if value is not None:
                    self.set_trait(name, value)
            elif isinstance(trait, Dict) and name in kwargs and name in configured:
                self.set_trait(name, {**dict(configured[name]), **kwargs[name]})

    def _computed_default(self, name: str) -> Any:
        """Defaults that the ecosystem has names for."""
        if name == "python":
            return sys.executable
        if name == "spark_home":
            return os.environ.get("SPARK_HOME") or None
        if name == "hadoop_conf_dir":
            return os.environ.get("HADOOP_CONF_DIR") or os.environ.get("YARN_CONF_DIR") or None
        return None
