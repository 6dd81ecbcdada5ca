"""An identity provider for tests: whoever knows the tests' token says in a header who they are."""

from __future__ import annotations

from jupyter_server.auth.identity import IdentityProvider, User
from tornado.web import RequestHandler

HEADER = "X-Test-User"


class HeaderUsers(IdentityProvider):
    """Tells users apart by a header."""

    def get_user(self, handler: RequestHandler) -> User | None:
        """The user of a request, None for requests without the token."""
        name = handler.request.headers.get(HEADER)
        if name and handler.request.headers.get("Authorization") == f"token {self.token}":
            return User(username=name)
        return None

    def is_token_authenticated(self, handler: RequestHandler) -> bool:
        """As requests with the token are: without the checks that are there for browsers."""
        return handler.current_user is not None
