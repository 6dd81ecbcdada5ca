"""Lists for Jupyter servers with several users: everybody sees kernels and sessions of their own.

The authorizer keeps people from using the kernels of others; these keep lists from telling of them, and let
two people have the same notebook open, each with a kernel of their own.

``c.ServerApp.kernel_manager_class = "sparkkernels.own_kernels.OwnKernels"`` and
``c.ServerApp.session_manager_class = "sparkkernels.own_kernels.OwnSessions"``.
"""

from __future__ import annotations

from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from jupyter_server.services.sessions.sessionmanager import SessionManager
from tornado.web import HTTPError

from .identity import requester
from .owners import starter_of


def is_own(kernel_id: str) -> bool:
    """Whether who asks started this kernel; the server itself, outside any request, sees all."""
    user = requester()
    starter = starter_of(kernel_id)
    return user is None or (starter is not None and starter.user == user)


class OwnKernels(AsyncMappingKernelManager):
    """Lists the kernels of who asks."""

    def list_kernels(self) -> list[dict[str, Any]]:
        """The models of one's own kernels."""
        models: list[dict[str, Any]] = super().list_kernels()  # type: ignore[no-untyped-call]
        return [model for model in models if is_own(model["id"])]


class OwnSessions(SessionManager):
    """Lists the sessions of who asks, and finds by a notebook's path only these."""

    async def list_sessions(self) -> list[dict[str, Any]]:
        """The models of one's own sessions."""
        models = await super().list_sessions()  # type: ignore[no-untyped-call]
        return [model for model in models if is_own(model["kernel"]["id"])]

    async def session_exists(self, path: str) -> bool:
        """Whether one has a session with this path."""
        return any(model["path"] == path for model in await self.list_sessions())

    async def get_session(self, **kwargs: Any) -> dict[str, Any]:
        """A session; when asked for by its path, one's own.

        Raises
        ------
        tornado.web.HTTPError
            There is none.
        """
        if set(kwargs) != {"path"}:
            return dict(await super().get_session(**kwargs))  # type: ignore[no-untyped-call]
        for model in await self.list_sessions():
            if model["path"] == kwargs["path"]:
                return model
        raise HTTPError(404, "Session not found")
