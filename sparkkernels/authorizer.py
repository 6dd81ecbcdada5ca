"""An authorizer for Jupyter servers with several users: a kernel belongs to who started it.

``c.ServerApp.authorizer_class = "sparkkernels.authorizer.KernelOwnerAuthorizer"``. jupyter_server asks
``is_authorized`` before each request to its REST interface and before each WebSocket is opened. Only
this module and ``own_kernels`` import jupyter_server, of which the rest of the package is independent.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from jupyter_server.auth import Authorizer
from jupyter_server.auth.identity import User
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.handlers import MainKernelHandler
from jupyter_server.services.sessions.handlers import SessionHandler, SessionRootHandler
from tornado.web import HTTPError
from traitlets import List, Unicode

from .owners import canonical, starter_of


class KernelOwnerAuthorizer(Authorizer):
    """Only who started a kernel may see, open, interrupt, restart or end it and its sessions.

    Who that is was recorded when the kernel started, and survives restarts. Nobody may use kernels without
    such a record, which are those that this package did not start. Terminals and the server's end are for
    nobody, since both concern everybody.
    """

    allowed_resources: List[str] = List(
        Unicode(),
        ["api", "config", "contents", "csp", "events", "kernelspecs", "nbconvert"],
        help="jupyter_server's names of what every user may use, besides kernels and sessions of their own."
        " Extensions have names of their own; what is not named here is refused.",
    ).tag(config=True)

    def is_authorized(self, handler: JupyterHandler, user: User, action: str, resource: str) -> bool:
        """Whether a user may do this; whatever goes wrong while deciding means no.

        Not a coroutine: to whoever asks without awaiting the answer, every coroutine would mean yes.

        Parameters
        ----------
        handler : JupyterHandler
            The request's.
        user : User
        action : str
            ``read``, ``write`` or ``execute``; who may use a kernel may do everything with it.
        resource : str

        Raises
        ------
        tornado.web.HTTPError
            The request is malformed, or asks for a kernel that does not exist.
        """
        try:
            name = user.username
            if not isinstance(name, str) or not name:
                return False
            if resource == "kernels":
                return self._kernels(handler, name)
            if resource == "sessions":
                return self._sessions(handler, name)
            return resource in self.allowed_resources
        except HTTPError:
            raise
        except Exception:
            self.log.exception("Whether %r is allowed could not be decided; it is not.", resource)
            return False

    def _kernels(self, handler: JupyterHandler, name: str) -> bool:
        kernel_id = handler.path_kwargs.get("kernel_id")
        if kernel_id is not None:
            return self._owns(handler, name, kernel_id)
        if not isinstance(handler, MainKernelHandler):
            return False
        return handler.request.method == "GET" or self._may_name(handler, name, _body(handler), "kernel_id")

    def _sessions(self, handler: JupyterHandler, name: str) -> bool:
        method = handler.request.method
        if isinstance(handler, SessionRootHandler):
            return method == "GET" or self._may_write_session(handler, name)
        if not isinstance(handler, SessionHandler):
            return False
        sessions: Any = handler.session_manager
        session = at_once(sessions.get_session(session_id=handler.path_kwargs["session_id"]))
        if not self._owns(handler, name, session["kernel"]["id"]):
            return False
        return method != "PATCH" or self._may_write_session(handler, name)

    def _may_write_session(self, handler: JupyterHandler, name: str) -> bool:
        """Whether the kernel and the path that a session is to have are the user's or nobody's.

        A new session with the path of an existing one would be answered with that one.
        """
        body = _body(handler)
        kernel, notebook = body.get("kernel", {}), body.get("notebook", {})
        if not isinstance(kernel, Mapping) or not isinstance(notebook, Mapping):
            return False
        if not self._may_name(handler, name, kernel, "id"):
            return False
        sessions: Any = handler.session_manager
        for path in (body.get("path"), notebook.get("path"), notebook.get("name")):
            if path is None:
                continue
            if not isinstance(path, str):
                return False
            if at_once(sessions.session_exists(path=path)):
                session = at_once(sessions.get_session(path=path))
                if not self._owns(handler, name, session["kernel"]["id"]):
                    return False
        return True

    def _may_name(self, handler: JupyterHandler, name: str, body: Mapping[str, Any], key: str) -> bool:
        """Whether a client may send this kernel id: its own kernel's, or one that no kernel has."""
        kernel_id = body.get(key)
        if not kernel_id:
            return True
        if not isinstance(kernel_id, str):
            return False
        known = kernel_id in handler.kernel_manager or starter_of(kernel_id) is not None
        return not known or self._owns(handler, name, kernel_id)

    def _owns(self, handler: JupyterHandler, name: str, kernel_id: str) -> bool:
        starter = starter_of(kernel_id)
        if starter is None:
            kernels = handler.kernel_manager
            if kernel_id not in kernels and canonical(kernel_id) not in kernels:
                raise HTTPError(404, f"Kernel does not exist: {canonical(kernel_id)[:36]}")
            return False
        return starter.user == name


def at_once(answer: Any) -> Any:
    """What a session manager answers, whose methods are coroutines that wait for nothing.

    Raises
    ------
    RuntimeError
        It does wait.
    """
    if not inspect.iscoroutine(answer):
        return answer
    try:
        answer.send(None)
    except StopIteration as done:
        return done.value
    answer.close()
    raise RuntimeError("The session manager does not answer at once.")


def _body(handler: JupyterHandler) -> Mapping[str, Any]:
    body: Any = handler.get_json_body()
    if body is None:
        return {}
    if not isinstance(body, Mapping):
        raise HTTPError(400, "The request's body is no JSON object")
    return body
