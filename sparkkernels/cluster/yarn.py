"""The YARN backend: spark-submit starts applications, the ResourceManager tells about them and ends them."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import ConfigurationError, NotAllowed, SparkKernelError
from ..spec import LaunchSpec
from ..states import POLL, ApplicationState
from . import delegation_tokens, diagnosis
from . import log4j as log4j_settings
from .access import OWN_ACCOUNT, Access
from .applications import APPLICATION_ID, check_tags, report_from, sequence
from .base import ApplicationReport, Backend, FreshTokens
from .bundle import launchers_bundle
from .command import REGISTRATION_NAME, granted, parse_spark_defaults, refuse_forced, yarn_command, yarn_conf
from .container_logs import aggregated_logs, is_hidden, logs_by_cli, node_logs, not_allowed
from .filesystem import FileSystemUnreachable
from .hadoop_cli import APPLICATION_CLI
from .hadoop_site import HadoopSite
from .homes import check_home
from .jars import Jar, read_jars
from .local_files import directory_prefix, sweep, take_lock
from .log4j import CONTAINERS_NAME
from .memory import driver_container_mib, executor_container_mib
from .queues import Queue, check_memory, check_queue, queues
from .recent import Recent
from .resource_manager import Json
from .spark_home import SparkHome, check_scala, find_java, inspect_spark_home, read_spark_defaults
from .staging import Staged, Staging
from .submit import LOG4J, YarnSubmission

log = logging.getLogger(__name__)

#: Seconds that YARN has to end an application, and between two looks.
KILL_S = 30.0
LOOK_S = 0.1
#: Seconds for which what YARN said about its queues will do: many kernels may be asked for at once.
QUEUES_S = 5.0
#: Seconds that an application may stay unknown after spark-submit named it: it does so before the RPC.
UNKNOWN_S = 2.0
CLI_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class _Submitted:
    """What is remembered of an application that this process submitted.

    Attributes
    ----------
    at : float
        When spark-submit named it, on the monotonic clock.
    staging_root : str
        Where Spark puts ``.sparkStaging``; "" for the user's home.
    proxy_user : str or None
        Whom it runs as.
    cleaning : Lock
        Held by whoever removes what it left.
    """

    at: float
    staging_root: str
    proxy_user: str | None = None
    cleaning: threading.Lock = field(default_factory=threading.Lock)


class YarnBackend(Backend):
    """Applications on one YARN cluster, asked for as this process's own user or on behalf of others.

    Parameters
    ----------
    hadoop_conf_dir : str
    spark_home : str
        For what is done without a launch: Hadoop's command line tools come with Spark.
    staging_dir : str
        Staging root, "" for the one in the user's home.
    staging_admins : collection of str
        Users whom a staging root outside the user's home may belong to.
    server_tag : str
        The YARN tag that all of this server's applications carry; "" to ask for each by its id.
    environ : mapping of str to str or None
        The server's environment, None for this process's at the time of each call.
    access : Access
        How this server proves itself to the cluster.
    """

    def __init__(
        self,
        hadoop_conf_dir: str,
        spark_home: str = "",
        staging_dir: str = "",
        staging_admins: Collection[str] = (),
        server_tag: str = "",
        environ: Mapping[str, str] | None = None,
        access: Access = OWN_ACCOUNT,
    ) -> None:
        self._site = HadoopSite(hadoop_conf_dir, spark_home, environ, access)
        self._staging_dir = staging_dir
        self._staging_admins = tuple(staging_admins)
        self._server_tag = server_tag.lower()
        self._submitted: dict[str, _Submitted] = {}
        self._warned: set[str] = set()
        self._lock = threading.Lock()
        self._queues: dict[str, Recent[list[Queue]]] = {}
        self._last_staged: dict[tuple[object, ...], Staged] = {}

    @property
    def site(self) -> HadoopSite:
        """The cluster's configuration and services, as this user has them."""
        return self._site

    @property
    def environ(self) -> Mapping[str, str]:
        """The server's environment."""
        return self._site.environ

    def staging(self, proxy_user: str | None = None) -> Staging:
        """Where Spark's jars and the launchers are put once."""
        file_system = self._site.as_user(proxy_user).file_system()
        return Staging(file_system, self._site.conf.default_fs, self._staging_dir, self._staging_admins)

    # -- the backend ---------------------------------------------------------------------------------------

    def hosts(self) -> list[str]:
        """The ResourceManagers' hosts."""
        names = [urlsplit(address).hostname for address in self._site.conf.resource_managers()]
        return list(dict.fromkeys(name for name in names if name))

    def prepare(self, spec: LaunchSpec) -> None:
        """Check Spark, the kernel's jars, Java, the credentials, the ResourceManager, the queue, the
        containers' sizes and the user's home, in this order."""
        refuse_forced(spec)
        check_tags(spec.tags)
        home = inspect_spark_home(spec.spark_home)
        check_scala(home, spec.scala_version)
        read_jars(spec.jars)
        find_java(self.environ)
        launchers_bundle()
        self._site.ensure_credentials()
        site = self._site.as_user(spec.proxy_user)
        defaults = parse_spark_defaults(read_spark_defaults(home, self.environ))
        effective = {**defaults, **yarn_conf(spec, defaults, None, home.version)}
        sizes = driver_container_mib(effective), executor_container_mib(effective)
        wanted = spec.queue or defaults.get("spark.yarn.queue")
        try:
            self._check_queue(site, wanted, sizes, QUEUES_S)
        except ConfigurationError:
            self._check_queue(site, wanted, sizes, 0)  # an administrator may just have made it right
        if "spark.yarn.stagingDir" not in effective:
            check_home(site.file_system(), site.user)

    def submit(
        self, spec: LaunchSpec, registration: Path, on_application_id: Callable[[str], None]
    ) -> YarnSubmission:
        """Start spark-submit."""
        home = inspect_spark_home(spec.spark_home)
        jars = read_jars(spec.jars)
        self._site.ensure_credentials()
        staged = self._staged(home, jars, spec.proxy_user)
        parent = Path(tempfile.gettempdir())
        sweep(parent, time.time())
        directory = Path(tempfile.mkdtemp(prefix=directory_prefix(), dir=parent))
        lock = take_lock(directory)
        try:
            copy = directory / REGISTRATION_NAME
            copy.touch(0o600)
            copy.write_bytes(registration.read_bytes())
            log4j = directory / "log4j2.properties"
            log4j.write_text(LOG4J)
            defaults = parse_spark_defaults(read_spark_defaults(home, self.environ))
            rolled = None if log4j_settings.has_own(home, self.environ) else directory / CONTAINERS_NAME
            if rolled:
                rolled.write_text(log4j_settings.CONTAINERS)
            conf = yarn_conf(
                spec,
                defaults,
                staged.archive,
                home.version,
                self._site.conf.is_secure,
                log4j_settings.CONTAINERS_OPTION if rolled else "",
                [staged.jars.get(jar.path, str(jar.path)) for jar in jars],
            )
            if spec.proxy_user and self._site.credentials is not None:
                conf |= granted(self._site.credentials.short_name, defaults, conf)
            staging_root = {**defaults, **conf}.get("spark.yarn.stagingDir", "")
            command = yarn_command(
                replace(spec, spark_home=str(home.path)),
                conf,
                bundle=staged.bundle or str(launchers_bundle().write_to(directory)),
                registration=copy,
                java=find_java(self.environ),
                environ=self._site.client_environment(),
                hadoop_conf_dir=self._site.conf.directory,
                log4j=log4j,
                files=[rolled] if rolled else [],
            )
        except BaseException:
            shutil.rmtree(directory, ignore_errors=True)
            os.close(lock)
            raise

        def known(application_id: str) -> None:
            self._submitted[application_id] = _Submitted(time.monotonic(), staging_root, spec.proxy_user)
            on_application_id(application_id)

        return YarnSubmission(command, directory, known, lambda: self._find(spec), lock)

    def report(self, application_ids: Collection[str]) -> dict[str, ApplicationReport]:
        """One call for all of this server's; those without its tag are asked for one by one."""
        wanted = set(application_ids)
        found: dict[str, Json] = {}
        by_tag = bool(self._server_tag) and len(wanted) > 1
        if by_tag:
            found = {app["id"]: app for app in self._site.client.applications(self._server_tag)}
        for application_id in wanted - found.keys():
            if by_tag and self._may_appear(application_id):
                continue  # it carries the tag
            application = self._site.client.application(application_id)
            if application is not None:
                found[application_id] = application
        reports = {name: report_from(found[name]) for name in wanted & found.keys()}
        for name, report in reports.items():
            submitted = self._submitted.get(name)
            if POLL[report.state] is not None and submitted is not None and not submitted.cleaning.locked():
                # In a thread: the caller waits for news of other applications. The process waits for it.
                threading.Thread(target=self._clean_up, args=(name,), daemon=False).start()
        return reports

    def kill(self, application_id: str) -> None:
        """Kill it and wait until YARN says that it has ended."""
        deadline = time.monotonic() + KILL_S
        asked = False
        while True:
            application = self._owner(application_id).client.application(application_id)
            if application is None:
                if not self._may_appear(application_id):
                    break
            elif POLL[ApplicationState(application["state"])] is not None:
                break
            elif not asked:
                self._ask_to_kill(application_id)
                asked = True
                continue
            if time.monotonic() > deadline:
                raise SparkKernelError(
                    f"YARN did not end the application within {KILL_S:g} s.",
                    application_id=application_id,
                    hint=f"See what holds it, or run: yarn application -kill {application_id}",
                )
            time.sleep(LOOK_S)
        self._clean_up(application_id)

    def logs(self, application_id: str, tail_bytes: int = 65536) -> str:
        """The container's last stdout and stderr, from its NodeManager or from aggregated logs.

        Raises
        ------
        NotAllowed
            It is somebody else's application.
        """
        site = self._owner(application_id)
        application = site.client.application(application_id)
        if application is None:
            return ""
        if is_hidden(application):
            raise not_allowed(application, site.user)
        text = node_logs(site.client, application, tail_bytes, site.user)
        if text or application.get("logAggregationStatus") in (None, "DISABLED", "NOT_START"):
            return text
        try:
            return aggregated_logs(site.file_system(), site.conf, application, tail_bytes)
        except NotAllowed as error:
            raise not_allowed(application, site.user) from error
        except (ValueError, FileSystemUnreachable) as error:
            log.debug("The log of %s is left to Hadoop's LogsCLI: %s", application_id, error)
        return logs_by_cli(site.cli(), application_id, str(application["user"]), tail_bytes)

    def note(self, application_id: str) -> dict[str, str]:
        """Whom it runs as, and where Spark staged it."""
        submitted = self._submitted.get(application_id)
        if submitted is None:
            return {}
        return {"staging_root": submitted.staging_root, "proxy_user": submitted.proxy_user or ""}

    def adopt(self, application_id: str, note: Mapping[str, str]) -> None:
        """As if it had been submitted here, long ago."""
        if note:
            self._submitted[application_id] = _Submitted(
                float("-inf"), note["staging_root"], note["proxy_user"] or None
            )

    def fresh_tokens(self, application_id: str) -> FreshTokens | None:
        """HDFS delegation tokens of whomever it runs as; none are needed on a cluster without Kerberos."""
        if not self._site.conf.is_secure:
            return None
        return delegation_tokens.fetch(self._site, self._owner(application_id).proxy_user)

    def cause_of_death(self, report: ApplicationReport) -> str:
        """One sentence, from the diagnostics."""
        return diagnosis.cause_of_death(report)

    # -- pieces --------------------------------------------------------------------------------------------

    def _check_queue(
        self, site: HadoopSite, wanted: str | None, sizes: tuple[int, int], oldest_s: float
    ) -> None:
        """Check queue and sizes of containers against what YARN said in the last so many seconds."""
        with self._lock:
            known = self._queues.setdefault(site.user, Recent(lambda: queues(site.client.scheduler())))
        queue = check_queue(known.get(oldest_s), wanted)
        check_memory(queue.largest_mib if queue else None, *sizes)

    def _owner(self, application_id: str) -> HadoopSite:
        """The cluster as an application's owner has it."""
        submitted = self._submitted.get(application_id)
        return self._site.as_user(submitted.proxy_user if submitted else None)

    def _staged(self, home: SparkHome, jars: Sequence[Jar], proxy_user: str | None) -> Staged:
        """What is staged, the kernel's jars from now on; that nothing can be is no reason not to start."""
        known = (proxy_user, home, *jars)
        if known in self._last_staged:
            return self._last_staged[known]
        try:
            staging = self.staging(proxy_user)
            staged = staging.complete(staging.find(home, launchers_bundle(), jars), jars)
            if staged.archive and not self._site.as_user(proxy_user).file_system().is_quick:
                self._last_staged[known] = staged
        except SparkKernelError as error:
            staged = Staged(warnings=[f"What is staged can't be looked up: {error.message}"])
        for warning in staged.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning(warning)
        return staged

    def _find(self, spec: LaunchSpec) -> str | None:
        """The newest application that carries this kernel's tag; that can be forged, a user's name not."""
        found = self._site.client.applications(spec.kernel_id.lower())
        own = [str(app["id"]) for app in found if spec.proxy_user in (None, app["user"])]
        return max(own, key=sequence, default=None)

    def _may_appear(self, application_id: str) -> bool:
        submitted = self._submitted.get(application_id)
        return submitted is not None and time.monotonic() - submitted.at < UNKNOWN_S

    def _ask_to_kill(self, application_id: str) -> None:
        try:
            self._owner(application_id).client.kill(application_id)
        except NotAllowed:
            # Without an authentication filter all REST writers are dr.who; the RPC service knows who asks.
            if self._site.conf.is_secure:
                raise
            done = self._site.cli().run(
                APPLICATION_CLI, ["application", "-kill", application_id], CLI_TIMEOUT_S
            )
            if done.returncode:
                raise
            log.debug("Killed %s through ApplicationCLI: %s", application_id, done.stdout)

    def _clean_up(self, application_id: str) -> None:
        """Remove what Spark left on the file system: a killed application doesn't clean up by itself.

        When it returns, it is done, whoever began it: the caller may be the last thing that its process does.
        """
        submitted = self._submitted.get(application_id)
        if submitted is None or not APPLICATION_ID.match(application_id):
            return
        with submitted.cleaning:
            if application_id not in self._submitted:
                return
            try:
                file_system = self._site.as_user(submitted.proxy_user).file_system()
                root = submitted.staging_root.removeprefix(self._site.conf.default_fs) or file_system.home()
                file_system.delete(f"{root.rstrip('/')}/.sparkStaging/{application_id}")
            except (SparkKernelError, OSError) as error:
                log.warning("The staging directory of %s may be left: %s", application_id, error)
            finally:
                self._submitted.pop(application_id, None)
