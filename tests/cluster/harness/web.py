"""HTTP to the daemons, with nothing but the standard library."""

from __future__ import annotations

import functools
import http.client
import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from tests.cluster.harness.errors import HarnessError

TIMEOUT_S = 20.0

#: Gives, for a URL and the name of who asks, the URL and the headers to send.
Authenticate = Callable[[str, str], tuple[str, dict[str, str]]]


def by_name(url: str, user: str) -> tuple[str, dict[str, str]]:
    """Say who asks, where whoever says so is believed.

    Parameters
    ----------
    url : str
        What will be asked.
    user : str
        Who asks.

    Returns
    -------
    str, dict of str to str
        The URL with the user in it, and no headers.
    """
    return f"{url}{'&' if urlsplit(url).query else '?'}user.name={quote(user)}", {}


class WebError(HarnessError):
    """A daemon answered with an error, or not at all.

    Parameters
    ----------
    message : str
        What was asked and what came back.
    status : int or None
        The HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Answer:
    """An HTTP answer.

    Parameters
    ----------
    status : int
        Its status, below 400.
    headers : mapping of str to str
        Its headers.
    body : bytes
        Its body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body; None when there is none."""
        return json.loads(self.body) if self.body else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Hands a redirect to the caller: urllib refuses to repeat a PUT elsewhere, and WebHDFS needs that."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


@functools.cache
def _opener(ca_file: Path | None) -> urllib.request.OpenerDirector:
    """Give what sends requests: without a proxy, whatever the environment says, since daemons are here."""
    context = ssl.create_default_context(cafile=ca_file)
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context), _NoRedirect()
    )


def ask(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    content_type: str = "application/octet-stream",
    headers: Mapping[str, str] | None = None,
    ca_file: Path | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Answer:
    """Send one HTTP request; redirects are answers like any other.

    Parameters
    ----------
    method, url : str
        What to ask.
    body : bytes, optional
        What to send.
    content_type : str
        Its media type.
    headers : mapping of str to str, optional
        More headers.
    ca_file : Path, optional
        The authority to believe, for HTTPS; the system's without it.
    timeout_s : float
        How long any step of it may take.

    Returns
    -------
    Answer
        With a status below 400.

    Raises
    ------
    WebError
        For every other outcome.
    """
    sent = {"Accept": "application/json", **(headers or {})}
    if body is not None:
        sent["Content-Type"] = content_type
    request = urllib.request.Request(url, data=body, method=method, headers=sent)
    try:
        with _opener(ca_file).open(request, timeout=timeout_s) as response:
            return Answer(response.status, dict(response.headers.items()), response.read())
    except urllib.error.HTTPError as error:
        with error:
            content = error.read()
            if error.code < 400:
                return Answer(error.code, dict(error.headers.items()), content)
        text = content.decode(errors="replace")[:1000]
        raise WebError(f"{method} {url} was answered with {error.code}: {text}", error.code) from None
    except (OSError, http.client.HTTPException) as error:
        raise WebError(f"{method} {url} got no answer: {error}", None) from None
