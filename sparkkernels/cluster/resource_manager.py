"""The ResourceManager's REST services, as this package uses them.

``yarn-api-client`` knows the paths; what it gets wrong is replaced here: it takes a standby for the active
one because it follows redirects, chooses once and never fails over, and keeps only the text of an error.
Sources: ``org.apache.hadoop.yarn.server.resourcemanager.webapp.RMWebServices`` and ``RMWebAppFilter``.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, cast

import requests
from yarn_api_client.base import BaseYarnAPI
from yarn_api_client.base import Response as YarnResponse
from yarn_api_client.resource_manager import ResourceManager

from ..errors import CredentialsError, NotAllowed, ResourceManagerUnavailable, SparkKernelError
from ..states import ApplicationState
from .authority import refused_certificate
from .impersonation import impersonation_refused

log = logging.getLogger(__name__)

#: Seconds to connect, and between two bytes of the answer.
TIMEOUT_S = (3.05, 15.0)
HINT = "Check that the ResourceManager runs and that this host may reach it."

Json = Mapping[str, Any]


class NotFound(SparkKernelError):
    """The ResourceManager does not know what was asked for."""


class _Standby(Exception):
    """This ResourceManager, or whatever answers in its place, is not the active one; holds the reason."""


class _Endpoint(ResourceManager):  # type: ignore[misc]
    """One ResourceManager's REST services over a session of ours, without the search for an active one."""

    def __init__(self, address: str, session: requests.Session, timeout: tuple[float, float]) -> None:
        BaseYarnAPI.__init__(self, address, timeout)
        self.session = session

    def request(self, api_path: str, method: str = "GET", **kwargs: Any) -> YarnResponse:
        headers = {"Accept": "application/json", **(kwargs.pop("headers", None) or {})}
        answer = self.session.request(
            method,
            self.service_uri.to_url(api_path),
            headers=headers,
            timeout=self.timeout,
            allow_redirects=False,
            **kwargs,
        )
        if not answer.ok or answer.is_redirect or answer.status_code == 307:
            raise error_for(answer.status_code, answer.text)
        try:
            return YarnResponse(answer)
        except ValueError:
            raise _Standby("it does not answer in JSON, so it is not a ResourceManager") from None


class ResourceManagerClient:
    """All that is asked of the ResourceManagers of one cluster; thread-safe.

    Parameters
    ----------
    addresses : sequence of str
        Base addresses, like ``http://rm1:8088``; with more than one the active one is found and followed.
    hadoop_conf_dir : str
        Where they were read, for messages.
    session_factory : callable
        Makes the ``requests.Session`` of each thread: the place for SPNEGO (``session.auth``), for ``doAs``
        or ``user.name`` (``session.params``) and for certificates (``session.verify``).
    timeout : tuple of float
        Seconds to connect and to wait for an answer's next byte.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        hadoop_conf_dir: str = "",
        session_factory: Callable[[], requests.Session] = requests.Session,
        timeout: tuple[float, float] = TIMEOUT_S,
    ) -> None:
        self._addresses = list(addresses)
        self._hadoop_conf_dir = hadoop_conf_dir
        self._session_factory = session_factory
        self._timeout = timeout
        self._active: str | None = None
        self._local = threading.local()

    def check(self) -> None:
        """Ask for a sign of life.

        Raises
        ------
        ResourceManagerUnavailable, CredentialsError
        """
        self._ask(lambda endpoint: endpoint.cluster_information())

    def applications(
        self, tag: str | None = None, states: Collection[ApplicationState] | None = None
    ) -> list[Json]:
        """Applications by tag and state, as ``GET /ws/v1/cluster/apps`` describes them.

        Raises
        ------
        ResourceManagerUnavailable, CredentialsError
        """
        answer = self._ask(
            lambda endpoint: endpoint.cluster_applications(
                application_tags=[tag] if tag else None,
                states=[state.value for state in states] if states else None,
                de_selects=["resourceRequests"],
            )
        )
        return list((answer.get("apps") or {}).get("app") or [])

    def application(self, application_id: str) -> Json | None:
        """One application, None when the ResourceManager does not know it (any more, or yet).

        Raises
        ------
        ResourceManagerUnavailable, CredentialsError
        """
        try:
            answer = self._ask(lambda endpoint: endpoint.cluster_application(application_id))
        except NotFound:
            return None
        return cast(Json, answer["app"])

    def kill(self, application_id: str) -> None:
        """Ask for the end of an application and return at once; one it does not know is no error.

        Raises
        ------
        NotAllowed, ResourceManagerUnavailable, CredentialsError
        """
        try:
            self._ask(lambda endpoint: endpoint.cluster_application_kill(application_id))
        except NotFound:
            log.debug("%s is not known any more", application_id)

    def scheduler(self) -> Json:
        """The scheduler's queues, ``schedulerInfo`` of ``GET /ws/v1/cluster/scheduler``.

        Raises
        ------
        ResourceManagerUnavailable, CredentialsError
        """
        answer = self._ask(lambda endpoint: endpoint.cluster_scheduler())
        return cast(Json, answer["scheduler"]["schedulerInfo"])

    def get(self, url: str, **kwargs: Any) -> requests.Response:
        """GET from another of the cluster's web services with the same session.

        Raises
        ------
        requests.RequestException
        """
        return self._session().get(url, timeout=self._timeout, **kwargs)

    def _session(self) -> requests.Session:
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = self._session_factory()
        return cast(requests.Session, session)

    def _ask(self, call: Callable[[ResourceManager], YarnResponse]) -> Json:
        """Ask the active ResourceManager; look for it again when it is not the one it was."""
        tried: dict[str, Exception] = {}
        active = self._active
        order = sorted(self._addresses, key=lambda address: address != active)
        for address in order:
            endpoint = _Endpoint(address, self._session(), self._timeout)
            try:
                if len(order) > 1 and address != active:
                    _refuse_standby(endpoint.cluster_information().data)
                answer = call(endpoint).data
            except (requests.RequestException, _Standby) as error:
                tried[address] = error
                continue
            self._active = address
            return cast(Json, answer)
        self._active = None
        raise self._unavailable(tried)

    def _unavailable(self, tried: Mapping[str, Exception]) -> ResourceManagerUnavailable:
        """The error for addresses none of which was of use."""
        where = f"tried {', '.join(tried)} from the yarn-site.xml in HADOOP_CONF_DIR={self._hadoop_conf_dir}."
        said = "\n".join(f"{address}: {explain(error)}" for address, error in tried.items())
        refused = next(filter(None, map(refused_certificate, tried.values())), None)
        if refused is not None:
            return ResourceManagerUnavailable(
                f"The HTTPS certificate of the YARN ResourceManager is not trusted: {where}",
                diagnostics=said,
                hint=refused.hint,
            )
        return ResourceManagerUnavailable(
            f"The YARN ResourceManager can't be reached: {where}", diagnostics=said, hint=HINT
        )


def _refuse_standby(info: Json) -> None:
    state = info.get("clusterInfo", {}).get("haState", "ACTIVE")
    if state != "ACTIVE":
        raise _Standby(f"it is {state.lower()}")


def explain(error: Exception) -> str:
    """Why an address did not answer, in a few words without object addresses."""
    if isinstance(error, _Standby):
        return str(error)
    if isinstance(error, requests.ConnectTimeout):
        return "no connection in time"
    if isinstance(error, requests.Timeout):
        return "connected, but there was no answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS: {_innermost(error)}"
    return _innermost(error)


def _innermost(error: BaseException) -> str:
    """The words of the exception at the bottom: urllib3 and requests wrap it several times."""
    causes = [getattr(error, "reason", None), *error.args]
    inner = next((cause for cause in causes if isinstance(cause, BaseException)), None)
    if inner is not None:
        return _innermost(inner)
    text = re.sub(r"\s*\(_ssl\.c:\d+\)?", "", str(error).rpartition(": ")[2].rpartition("] ")[2])
    return text.rstrip(")").lower() or type(error).__name__


def error_for(status: int, body: str) -> Exception:
    """Our error for an answer of the ResourceManager that is not a success; the only such place.

    Parameters
    ----------
    status : int
        HTTP status.
    body : str
        The answer: Hadoop's ``{"RemoteException": …}``, plain text or a page.
    """
    message = remote_message(body)
    if 300 <= status < 400:
        return _Standby("it is a standby" if status == 307 else f"it redirects elsewhere (HTTP {status})")
    if status == 401:
        return CredentialsError(
            "The YARN ResourceManager does not know who is asking: it wants a Kerberos ticket.",
            diagnostics=message,
            hint="Get a ticket with kinit, and see `klist`.",
        )
    if status == 403:
        return impersonation_refused(message) or NotAllowed(
            "The YARN ResourceManager does not allow this.", diagnostics=message
        )
    if status == 404 and "NotFoundException" in body:
        return NotFound(message)
    if status >= 500:
        return _Standby(f"HTTP {status}: {message}")
    return SparkKernelError(f"The YARN ResourceManager answers HTTP {status}.", diagnostics=message)


def remote_message(body: str) -> str:
    """Hadoop's own words from the body of an error; a page of HTML has none."""
    try:
        return str(json.loads(body)["RemoteException"]["message"])
    except (ValueError, KeyError, TypeError):
        return "" if "<html" in body[:2000].lower() else body.strip()[:500]
