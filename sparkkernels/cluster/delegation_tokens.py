"""Delegation tokens of HDFS: asked for over WebHDFS, and written as Hadoop's clients read them; no JVM.

The encodings are those of Hadoop's ``Credentials`` (format 0, the one that every Hadoop reads), ``Token``,
``AbstractDelegationTokenIdentifier`` and ``WritableUtils``.
"""

from __future__ import annotations

import base64
import binascii
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from hdfs.client import _Request

from ..errors import CredentialsError, SparkKernelError
from .base import FreshTokens
from .data_input import DataInput
from .hadoop_conf import HadoopConf
from .hadoop_site import HadoopSite
from .webhdfs import WebHdfs

MAGIC = b"HDTS\0"
#: ``DelegationTokenIdentifier.HDFS_DELEGATION_KIND``; WebHDFS gives its own name to the very same token.
HDFS_KIND = "HDFS_DELEGATION_TOKEN"
#: ``HdfsClientConfigKeys.DFS_NAMENODE_RPC_PORT_DEFAULT``.
RPC_PORT = 8020
RENEW_INTERVAL = "dfs.namenode.delegation.token.renew-interval"
#: ``DFSConfigKeys``: the default of that, in milliseconds.
DEFAULT_RENEW_INTERVAL_MS = 86_400_000


@dataclass(frozen=True)
class Token:
    """One of Hadoop's tokens (``org.apache.hadoop.security.token.Token``).

    Attributes
    ----------
    identifier : bytes
        Whose it is, and until when; what is in it depends on the kind.
    password : bytes
        The secret.
    kind : str
    service : str
        What it is for: an address, or a name for several.
    """

    identifier: bytes
    password: bytes = field(repr=False)
    kind: str
    service: str


class Reader(DataInput):
    """Reads what Hadoop's ``Writable`` classes write.

    Raises
    ------
    ValueError
        From any method: the data ends too soon, or is something else.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "Hadoop's credential file")

    def number(self) -> int:
        """An integer of variable length (``WritableUtils.readVLong``)."""
        first = int.from_bytes(self.take(1), "big", signed=True)
        if first >= -112:
            return first
        is_negative = first < -120
        value = int.from_bytes(self.take(-120 - first if is_negative else -112 - first), "big")
        return ~value if is_negative else value

    def counted(self) -> bytes:
        """Bytes after their number."""
        return self.take(self.number())

    def text(self) -> str:
        """A ``Text``."""
        return self.counted().decode()

    def token(self) -> Token:
        """A ``Token``."""
        return Token(self.counted(), self.counted(), self.text(), self.text())


def write_number(value: int) -> bytes:
    """An integer of variable length (``WritableUtils.writeVLong``)."""
    if -112 <= value <= 127:
        return value.to_bytes(1, "big", signed=True)
    first = -120 if value < 0 else -112
    size = value if value >= 0 else ~value
    count = (size.bit_length() + 7) // 8
    return (first - count).to_bytes(1, "big", signed=True) + size.to_bytes(count, "big")


def write_counted(data: bytes) -> bytes:
    """Bytes after their number."""
    return write_number(len(data)) + data


def write_token(token: Token) -> bytes:
    """A ``Token``."""
    parts = (token.identifier, token.password, token.kind.encode(), token.service.encode())
    return b"".join(map(write_counted, parts))


def encode(tokens: Mapping[str, Token]) -> bytes:
    """Credentials as Hadoop's token files hold them.

    Parameters
    ----------
    tokens : mapping of str to Token
        By alias. Hadoop's file systems use the token's service for it; one with the alias of an older token
        takes its place (``Credentials.addAll``), and that of its clones for single NameNodes.
    """
    written = b"".join(write_counted(alias.encode()) + write_token(tokens[alias]) for alias in tokens)
    return MAGIC + write_number(len(tokens)) + written + write_number(0)


def decode(data: bytes) -> dict[str, Token]:
    """The tokens in credentials of format 0, by alias.

    Raises
    ------
    ValueError
    """
    reader = Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise ValueError("These are no credentials of Hadoop's format 0.")
    return {reader.text(): reader.token() for _ in range(reader.number())}


def decode_url_string(text: str) -> Token:
    """The token in ``Token.encodeToUrlString``.

    Raises
    ------
    ValueError
    """
    try:
        return Reader(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))).token()
    except binascii.Error as error:
        raise ValueError("WebHDFS's token is not one of Hadoop's.") from error


def dates_of(token: Token) -> tuple[int, int]:
    """When a token was issued and when nobody can renew it any more, in milliseconds since 1970.

    Raises
    ------
    ValueError
    """
    reader = Reader(token.identifier)
    if reader.take(1) != b"\0":
        raise ValueError("This version of Hadoop's delegation tokens is not known.")
    for _ in ("owner", "renewer", "real user"):
        reader.counted()
    return reader.number(), reader.number()


def service_of(conf: HadoopConf, file_system: str) -> str:
    """What Hadoop's clients call a file system's NameNode in a token.

    Notes
    -----
    ``SecurityUtil.buildTokenService``, and ``HAUtilClient.buildTokenServiceForLogicalUri`` for several
    NameNodes. The address is the one that this host resolves, as for the tokens of the submit.
    """
    address = urlsplit(file_system)
    host = address.hostname or ""
    for name in conf.names("dfs.nameservices"):
        if name.lower() == host and conf.names(f"dfs.ha.namenodes.{name}"):
            return f"ha-hdfs:{name}"
    if conf.get("hadoop.security.token.service.use_ip", "true").lower() != "false":
        host = socket.gethostbyname(host)
    return f"{host}:{address.port or RPC_PORT}"


#: WebHDFS's operations on tokens, which the library leaves out.
GET = _Request("GET").to_method("GETDELEGATIONTOKEN")
RENEW = _Request("PUT").to_method("RENEWDELEGATIONTOKEN")
CANCEL = _Request("PUT").to_method("CANCELDELEGATIONTOKEN")


class WebHdfsTokens(WebHdfs):
    """The NameNode's delegation tokens, through its web service."""

    def get(self, renewer: str) -> str:
        """A new token, as ``Token.encodeToUrlString`` writes it."""
        answer = self._call(lambda: GET(self._client, "/", renewer=renewer).json())
        return str(answer["Token"]["urlString"])

    def renew(self, token: str) -> int:
        """Renew a token as its renewer; returns when it runs out, in milliseconds since 1970."""
        return int(self._call(lambda: RENEW(self._client, "/", token=token).json())["long"])

    def cancel(self, token: str) -> None:
        """Make a token worthless."""
        self._call(lambda: CANCEL(self._client, "/", token=token))


def fetch(site: HadoopSite, proxy_user: str | None) -> FreshTokens:
    """Fresh tokens of the default file system; of all that are linked into it, where it is a viewfs.

    Parameters
    ----------
    site : HadoopSite
        As this server's own account or service has it.
    proxy_user : str or None
        Whose tokens, None for the account's own.

    Raises
    ------
    CredentialsError, NotAllowed, SparkKernelError
    """
    conf = site.conf
    systems = {file_system: conf.webhdfs(file_system) for file_system in conf.hdfs()}
    if not systems or not all(systems.values()):
        raise SparkKernelError(
            f"The file system {conf.default_fs} has no WebHDFS to get new tokens from.",
            hint="Start a new kernel before, or give the file system another way to authenticate.",
        )
    credentials = site.credentials
    if credentials is None:
        raise CredentialsError("The cluster wants no Kerberos credentials, and gives no tokens.")
    credentials.ensure()
    # Nobody will renew them, which the ResourceManager does with those of a submit alone.
    renewer = _short_name(conf.get("yarn.resourcemanager.principal") or credentials.short_name)
    tokens: list[Token] = []
    life_ms, longest_ms = sys.maxsize, sys.maxsize
    with site.session() as session:
        for file_system, addresses in systems.items():
            own = WebHdfsTokens(addresses, lambda: session)
            interval_ms = _renew_interval_ms(own, credentials.short_name, conf.get(RENEW_INTERVAL))
            try:
                token = decode_url_string(WebHdfsTokens(addresses, lambda: session, proxy_user).get(renewer))
                issued, last = dates_of(token)
                tokens.append(replace(token, kind=HDFS_KIND, service=service_of(conf, file_system)))
            except SparkKernelError:
                raise
            except (ValueError, KeyError, TypeError, OSError) as error:
                raise SparkKernelError(
                    "HDFS's answer to the request for new tokens can't be used.", diagnostics=str(error)
                ) from error
            longest_ms = min(longest_ms, last - issued)
            life_ms = min(life_ms, interval_ms, longest_ms)
    return FreshTokens(encode({token.service: token for token in tokens}), life_ms / 1000, longest_ms / 1000)


def _renew_interval_ms(own: WebHdfsTokens, renewer: str, configured: str) -> int:
    """For how long a token is good that nobody renews: what renewing one that nobody uses gives it.

    Only the NameNode knows. WebHDFS wants the token in the address of the request, where logs may have it: so
    it is one of our own account, and worthless right afterwards.
    """
    try:
        text = own.get(renewer)
        issued, _ = dates_of(decode_url_string(text))
        try:
            return own.renew(text) - issued
        finally:
            own.cancel(text)
    except CredentialsError:
        raise
    except (SparkKernelError, ValueError, KeyError, TypeError):
        return int(configured) if configured.isdigit() else DEFAULT_RENEW_INTERVAL_MS


def _short_name(principal: str) -> str:
    """``yarn`` of ``yarn/_HOST@REALM``: Hadoop's default rule, when the host is not for us to fill in."""
    return principal.partition("@")[0].partition("/")[0]
