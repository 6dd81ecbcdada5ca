"""The ResourceManager's web services, as far as the tests need them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, urlencode

from tests.cluster.harness.web import ask

#: YarnApplicationState without FINISHED, FAILED and KILLED.
UNFINISHED = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")


class ResourceManager:
    """One ResourceManager, without Kerberos.

    Parameters
    ----------
    url : str
        Its web server, like ``http://localhost:8088``.
    user : str
        Who asks.
    """

    def __init__(self, url: str, user: str) -> None:
        self._url = f"{url}/ws/v1/cluster"
        self._user = user

    def info(self) -> dict[str, Any]:
        """Describe the ResourceManager itself (``state``, ``haState``, ``startedOn``, ...)."""
        found: dict[str, Any] = self._get("info")["clusterInfo"]
        return found

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

    def kill(self, application_id: str) -> None:
        """Ask for an application's end, without waiting for it.

        Parameters
        ----------
        application_id : str
            Which one.
        """
        ask(
            "PUT",
            self._address(f"apps/{quote(application_id)}/state"),
            body=json.dumps({"state": "KILLED"}).encode(),
            content_type="application/json",
        )

    def _get(self, path: str, **query: str) -> Any:
        """Ask for a document."""
        return ask("GET", self._address(path, **query)).json()

    def _address(self, path: str, **query: str) -> str:
        """Give a URL with the user in it: strangers see applications without hosts, times and logs."""
        return f"{self._url}/{path}?{urlencode({**query, 'user.name': self._user})}"
