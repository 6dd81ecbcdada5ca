"""Delegation tokens: Hadoop's encodings, and what is asked of WebHDFS in which order."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from sparkkernels.cluster.base import FreshTokens
from sparkkernels.cluster.delegation_tokens import (
    HDFS_KIND,
    Reader,
    Token,
    dates_of,
    decode,
    decode_url_string,
    encode,
    fetch,
    service_of,
    write_number,
    write_token,
)
from sparkkernels.cluster.hadoop_conf import HadoopConf
from sparkkernels.errors import CredentialsError, NotAllowed, SparkKernelError
from sparkkernels.submit_helper.messages import tokens_from_json, tokens_to_json

#: Written by Hadoop 3.3.4: DelegationTokenIdentifier, Credentials.writeTokenStorageToStream and
#: Token.encodeToUrlString, of a token with the password "pppppppppppppppppppp".
IDENTIFIER = bytes.fromhex("0005616c696365047961726e076a7570797465728a01a1fd24a7878a01a221312b878d12d6878fc8")
CREDENTIALS = bytes.fromhex(
    "4844545300010e3132372e302e302e313a38303230280005616c696365047961726e076a7570797465728a01a1fd24a787"
    "8a01a221312b878d12d6878fc814707070707070707070707070707070707070707015484446535f44454c45474154494f"
    "4e5f544f4b454e0e3132372e302e302e313a3830323000"
)
URL_STRING = (
    "KAAFYWxpY2UEeWFybgdqdXB5dGVyigGh_SSnh4oBoiExK4eNEtaHj8gUcHBwcHBwcHBwcHBwcHBwcHBwcHAVSERGU19ERUxFR0FU"
    "SU9OX1RPS0VODjEyNy4wLjAuMTo4MDIw"
)
ISSUED, LAST = 1795248400263, 1795853200263
ADDRESS = "127.0.0.1:8020"
TOKEN = Token(IDENTIFIER, b"p" * 20, HDFS_KIND, ADDRESS)
#: ``WritableUtils.writeVLong`` of Hadoop 3.3.4.
NUMBERS = {
    0: "00",
    -1: "ff",
    127: "7f",
    128: "8f80",
    -112: "90",
    -113: "8770",
    255: "8fff",
    256: "8e0100",
    -256: "87ff",
    -257: "860100",
    2**31 - 1: "8c7fffffff",
    -(2**31): "847fffffff",
    2**63 - 1: "887fffffffffffffff",
    -(2**63): "807fffffffffffffff",
}


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_are_hadoops(number: int) -> None:
    written = bytes.fromhex(NUMBERS[number])
    assert write_number(number) == written
    assert Reader(written).number() == number


def test_credentials_are_hadoops_to_the_byte() -> None:
    assert encode({ADDRESS: TOKEN}) == CREDENTIALS
    assert decode(CREDENTIALS) == {ADDRESS: TOKEN}
    several = {"ha-hdfs:größe": Token(b"x" * 300, b"", HDFS_KIND, "ha-hdfs:größe"), ADDRESS: TOKEN}
    assert decode(encode(several)) == several
    assert decode_url_string(URL_STRING) == TOKEN
    assert dates_of(TOKEN) == (ISSUED, LAST)


def test_what_is_no_credentials_is_refused() -> None:
    for data in (b"", b"HDTS\1", b"PK\3\4\0", CREDENTIALS[:40], CREDENTIALS[:-30]):
        with pytest.raises(ValueError, match="Hadoop"):
            decode(data)
    for text in ("", "=", "KAAF", "!!!"):
        with pytest.raises(ValueError, match="Hadoop"):
            decode_url_string(text)
    with pytest.raises(ValueError, match="version"):
        dates_of(Token(b"\1", b"", HDFS_KIND, ""))


def test_nothing_secret_is_in_their_repr() -> None:
    assert "pppp" not in repr(TOKEN)
    assert "pppp" not in repr(FreshTokens(CREDENTIALS, 1.0, 2.0))


def test_the_submit_helpers_answer_is_what_it_got() -> None:
    fresh = FreshTokens(CREDENTIALS, 60.0, 120.0)
    assert tokens_from_json(json.loads(json.dumps(tokens_to_json(fresh)))) == fresh


HA = {"dfs.nameservices": "Prod,other", "dfs.ha.namenodes.Prod": "nn1,nn2"}
NAMES = {"hadoop.security.token.service.use_ip": "false"}


@pytest.mark.parametrize(
    ("fs", "more", "service"),
    [
        ("hdfs://nn.example:9000", {}, "10.1.2.3:9000"),
        ("hdfs://nn.example", {}, "10.1.2.3:8020"),
        ("hdfs://NN.example/", NAMES, "nn.example:8020"),
        ("hdfs://Prod", HA, "ha-hdfs:Prod"),
        ("hdfs://other", {**HA, **NAMES}, "other:8020"),
    ],
)
def test_the_service_is_what_hadoops_clients_look_for(
    fs: str, more: dict[str, str], service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostbyname", {"nn.example": "10.1.2.3"}.__getitem__)
    assert service_of(HadoopConf("", more), fs) == service


# -- WebHDFS -----------------------------------------------------------------------------------------------

CONF = {
    "fs.defaultFS": f"hdfs://{ADDRESS}",
    "dfs.namenode.http-address": "127.0.0.1:9870",
    "yarn.resourcemanager.principal": "rm/_HOST@EXAMPLE.ORG",
}
RENEWED = ISSUED + 3_600_000


class NameNode(requests.adapters.BaseAdapter):
    """Answers as told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[dict[str, str]] = []
        self.refusals: dict[tuple[str, str], tuple[str, str]] = {}
        self.token = URL_STRING

    def send(self, request: Any, *args: Any, **kwargs: Any) -> requests.Response:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        query["method"] = request.method
        self.asked.append(query)
        response = requests.Response()
        response.status_code = 200
        answers: dict[str, dict[str, Any]] = {
            "GETDELEGATIONTOKEN": {"Token": {"urlString": self.token}},
            "RENEWDELEGATIONTOKEN": {"long": RENEWED},
        }
        content = answers.get(query["op"], {})
        refusal = self.refusals.get((query["op"], query.get("doas", "")))
        if refusal:
            response.status_code = 403
            content = {"RemoteException": {"exception": refusal[0], "message": refusal[1]}}
        response._content = json.dumps(content).encode()
        return response

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def namenode() -> NameNode:
    return NameNode()


def site(namenode: NameNode, conf: dict[str, str] = CONF, ensure: Callable[[], None] = lambda: None) -> Any:
    def session() -> requests.Session:
        made = requests.Session()
        made.mount("http://", namenode)
        return made

    credentials = SimpleNamespace(ensure=ensure, short_name="jupyter")
    return SimpleNamespace(conf=HadoopConf("", conf), session=session, credentials=credentials)


def test_tokens_of_somebody_else_are_got_and_no_token_in_use_is_ever_in_an_address(
    namenode: NameNode,
) -> None:
    fresh = fetch(site(namenode), "alice")
    assert fresh == FreshTokens(CREDENTIALS, life_s=3600.0, longest_s=(LAST - ISSUED) / 1000)
    own = {"op": "GETDELEGATIONTOKEN", "renewer": "jupyter", "method": "GET"}
    assert namenode.asked == [
        own,
        {"op": "RENEWDELEGATIONTOKEN", "token": URL_STRING, "method": "PUT"},
        {"op": "CANCELDELEGATIONTOKEN", "token": URL_STRING, "method": "PUT"},
        {**own, "renewer": "rm", "doas": "alice"},
    ]


def test_behind_a_viewfs_each_hdfs_gives_one(namenode: NameNode) -> None:
    links = {"link./user": "hdfs://Prod/user", "link./tmp": "hdfs://Prod/tmp", "linkFallback": "hdfs://cold/"}
    nodes = {"Prod.nn1": "127.0.0.1:1", "Prod.nn2": "127.0.0.1:2", "cold": "127.0.0.1:3"}
    conf = {
        **CONF,
        "fs.defaultFS": "viewfs://all/",
        "dfs.nameservices": "Prod,cold",
        "dfs.ha.namenodes.Prod": "nn1,nn2",
        "hadoop.security.token.service.use_ip": "false",
        "fs.viewfs.mounttable.other.link./x": "hdfs://elsewhere/",
        **{f"fs.viewfs.mounttable.all.{name}": value for name, value in links.items()},
        **{f"dfs.namenode.http-address.{name}": value for name, value in nodes.items()},
    }
    fresh = fetch(site(namenode, conf), "alice")
    assert set(decode(fresh.credentials)) == {"ha-hdfs:Prod", "cold:8020"}
    assert len(namenode.asked) == 8


def test_a_namenode_that_renews_nothing_for_us_leaves_the_configured_interval(namenode: NameNode) -> None:
    namenode.refusals["RENEWDELEGATIONTOKEN", ""] = ("IOException", "not for you")
    assert fetch(site(namenode), "alice").life_s == 86400
    conf = {**CONF, "dfs.namenode.delegation.token.renew-interval": "60000"}
    assert fetch(site(namenode, conf), None).life_s == 60
    assert [asked["op"][:3] for asked in namenode.asked] == ["GET", "REN", "CAN", "GET"] * 2


def test_why_there_are_none_is_said(namenode: NameNode) -> None:
    refusal = ("AuthorizationException", "User: jupyter/a@B is not allowed to impersonate carol")
    namenode.refusals["GETDELEGATIONTOKEN", "carol"] = refusal
    with pytest.raises(NotAllowed, match="does not allow jupyter/a@B to act for carol"):
        fetch(site(namenode), "carol")

    def no_ticket() -> None:
        raise CredentialsError("The Kerberos ticket of alice has run out.", hint="kinit alice")

    with pytest.raises(CredentialsError, match="has run out"):
        fetch(site(namenode, ensure=no_ticket), None)
    with pytest.raises(SparkKernelError, match="file system s3a://bucket has no WebHDFS"):
        fetch(site(namenode, {"fs.defaultFS": "s3a://bucket"}), None)
    with pytest.raises(SparkKernelError, match="file system viewfs://all has no WebHDFS"):
        fetch(site(namenode, {"fs.defaultFS": "viewfs://all/"}), None)
    for garbled in ("KAAF", "@"):
        namenode.token = garbled
        with pytest.raises(SparkKernelError, match="can't be used"):
            fetch(site(namenode), "alice")


def test_a_token_of_an_unknown_version_is_not_handed_on(namenode: NameNode) -> None:
    odd = write_token(Token(b"\7", b"", "WEBHDFS delegation", ""))
    namenode.token = base64.urlsafe_b64encode(odd).decode()
    with pytest.raises(SparkKernelError, match="can't be used"):
        fetch(site(namenode), "alice")
