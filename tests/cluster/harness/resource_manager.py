"""The ResourceManagers' web services, as far as the tests need them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from tests.cluster.harness.web import Answer, Authenticate, WebError, ask, by_name

#: YarnApplicationState without FINISHED, FAILED and KILLED.
UNFINISHED = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")


class ResourceManager:
    """A cluster's ResourceManager: the only one, or the one of several that is active.

    Parameters
    ----------
    urls : mapping of str to str
        The web servers, like ``http://localhost:8088``, by the ids of the ResourceManagers.
    user : str
        Who asks.
    authenticate : callable
        How a user is known.
    ca_file : Path, optional
        Whom to believe, for HTTPS.
    """

    def __init__(
        self,
        urls: Mapping[str, str],
        user: str,
        authenticate: Authenticate = by_name,
        ca_file: Path | None = None,
    ) -> None:
        self._urls = urls
        self._user = user
        self._authenticate = authenticate
        self._ca_file = ca_file

    def info(self, manager_id: str = "") -> dict[str, Any]:
        """Describe one ResourceManager itself (``state``, ``haState``, ``startedOn``, ...).

        Parameters
        ----------
        manager_id : str
            Which one, active or not.
        """
        answer = self._send("GET", f"{self._urls[manager_id]}/ws/v1/cluster/info")
        found: dict[str, Any] = answer.json()["clusterInfo"]
        return found

    def active(self) -> str | None:
        """Give the id of the ResourceManager that is active; None when there is none."""
        for manager_id in self._urls:
            try:
                if self.info(manager_id)["haState"] == "ACTIVE":
                    return manager_id
            except WebError:
                continue
        return None

    def url(self) -> str:
        """Give the web server of the only ResourceManager, or of the active one.

        Raises
        ------
        WebError
            When none of several is active.
        """
        if len(self._urls) == 1:
            return next(iter(self._urls.values()))
        manager_id = self.active()
        if manager_id is None:
            raise WebError(f"Of the ResourceManagers {', '.join(self._urls)} none is active.", None)
        return self._urls[manager_id]

    def nodes(self) -> list[dict[str, Any]]:
        """List the nodes that are RUNNING."""
        return list((self._get("nodes", states="RUNNING")["nodes"] or {}).get("node", []))

    def applications(self, states: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """List applications.

        Parameters
        ----------
        states : iterable of str, optional
            Only those in one of these YarnApplicationStates.

        Returns
        -------
        list of dict
            As in ``/ws/v1/cluster/apps``: ``id``, ``state``, ``finalStatus``, ``diagnostics``, ...
        """
        query = {"states": ",".join(states)} if states is not None else {}
        return list((self._get("apps", **query)["apps"] or {}).get("app", []))

    def occupy(self, queue: str, memory_mb: int) -> str:
        """Submit an application that does nothing in a container of this size, and give its id."""
        applications = f"{self.url()}/ws/v1/cluster/apps"
        application_id: str = self._send("POST", f"{applications}/new-application").json()["application-id"]
        content = {
            "application-id": application_id,
            "application-name": "sleep",
            "queue": queue,
            "am-container-spec": {"commands": {"command": "exec sleep 600"}},
            "resource": {"memory": memory_mb, "vCores": 1},
            "max-app-attempts": 1,
        }
        self._send("POST", applications, json.dumps(content).encode())
        return application_id

    def kill(self, application_id: str) -> None:
        """Ask for an application's end, without waiting for it.

        Parameters
        ----------
        application_id : str
            Which one.
        """
        self._send(
            "PUT",
            f"{self.url()}/ws/v1/cluster/apps/{quote(application_id)}/state",
            json.dumps({"state": "KILLED"}).encode(),
        )

    def _get(self, path: str, **query: str) -> Any:
        """Ask for a document."""
        return self._send("GET", f"{self.url()}/ws/v1/cluster/{path}?{urlencode(query)}").json()

    def _send(self, method: str, address: str, body: bytes | None = None) -> Answer:
        """Ask as the user: strangers see applications without hosts, times and logs."""
        url, headers = self._authenticate(address, self._user)
        return ask(
            method, url, body=body, content_type="application/json", headers=headers, ca_file=self._ca_file
        )
