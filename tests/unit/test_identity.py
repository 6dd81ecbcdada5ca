"""Who a kernel runs as: names, sources, and what a kernelspec or a request can't change."""

from __future__ import annotations

import asyncio
import contextvars
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from jupyter_client.manager import KernelManager
from jupyter_server.base.call_context import CallContext
from traitlets.config import Config

from sparkkernels.errors import ConfigurationError, NotAllowed
from sparkkernels.identity import (
    ADMINISTRATORS,
    Identity,
    NameRules,
    accounts,
    cluster_user,
    identify,
    refuse_administrators,
    requester,
)
from sparkkernels.owners import claim, starter_of
from sparkkernels.provisioner import SparkProvisioner
from sparkkernels.settings import PREFIX, Settings

KERNEL_ID = "8f1f6b1c-6c1e-4f0a-9d43-4d1a7d4f6a11"
ALICE = "alice"
#: A rule for each kind of thing that one could try to make of a hostile name.
EVERY_RULE = NameRules(["EXAMPLE.ORG"], "lower", {r"(.*)\.old": r"\1"}, [], ["mallory"])
HOSTILE = [
    "", " ", "alice ", " alice", "alice\n", "\nalice", "alice\r", "ali\tce", "alice\0", "alice\x7f",
    "alice bob",
    "-alice", "--proxy-user", ".", "..", ".alice", "../bob", "a/../bob", "/user/bob", "alice/", "a\\b",
    "alice;id", "$(id)", "`id`", "a|b", "a&b", "a>b", "a'b", 'a"b', "a*", "a?", "a%2fb", "a%", "{alice}",
    "~bob",
    "alice,bob", "alice:bob", "alice=bob", "alice#", "alice@EVIL.ORG", "alice@", "@EXAMPLE.ORG",
    "alice@EXAMPLE.ORG@EXAMPLE.ORG", "alice/host@EXAMPLE.ORG", "<script>", "a" * 65, "a" * 10_000,
    "аlice", "alicе", "ａｌｉｃｅ", "alice\u200b", "\u202ealice", "álice", "alíce", "ALİCE", "ªlice",
    "ℳallory", "\u212aate",
    "hdfs", "HDFS", "Hdfs@EXAMPLE.ORG", "yarn", "mapred", "root", "HTTP", "jupyter", "JUPYTER", "mallory",
    "Mallory", "hdfs.old", "0123456789abcdef0123456789abcdef",
]  # fmt: skip


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.class_trait_names(config=True):
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused_in_one_sentence_that_does_not_repeat_them(name: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        cluster_user(name, EVERY_RULE, ["jupyter"])
    first = str(caught.value).splitlines()[0]
    assert first.endswith(".") and first.isascii() and first.isprintable() and len(first) < 200
    assert caught.value.hint
    assert not set("<>;$`'\"&|\\%") & set(first.replace("user's", ""))


def test_no_look_alike_becomes_an_allowed_name() -> None:
    """Neither case folding nor normalisation may turn a foreign letter into one of ours."""
    for letter in map(chr, range(0x80, 0x3100)):
        normal = unicodedata.normalize("NFKC", letter).casefold()
        if normal in set("alice") or letter.lower() in set("alice"):
            name = ALICE.replace(normal, letter) if normal in ALICE else f"alic{letter}"
            with pytest.raises(NotAllowed):
                cluster_user(name, NameRules(case="lower", allowed=[ALICE]))


@pytest.mark.parametrize(
    ("name", "rules", "user"),
    [
        ("alice", NameRules(), "alice"),
        ("a.b-c_9", NameRules(), "a.b-c_9"),
        ("Alice", NameRules(), "Alice"),
        ("Alice", NameRules(case="lower"), "alice"),
        ("alice@EXAMPLE.ORG", NameRules(["EXAMPLE.ORG"]), "alice"),
        ("ALICE@EXAMPLE.ORG", NameRules(["EXAMPLE.ORG"], "lower"), "alice"),
        ("alice@b.org", NameRules(["a.org", "b.org"]), "alice"),
        ("alice@b.org", NameRules(["a.org"], mapping={r"(\w+)@b\.org": r"b_\1"}), "b_alice"),
        ("smith.alice", NameRules(mapping={r"(\w+)\.(\w+)": r"\2"}), "alice"),
        ("alice", NameRules(mapping={"alic": "bob", "lice": "bob", "": "bob"}), "alice"),
        ("alice", NameRules(mapping={"alice": "al", "a.*": "bob"}), "al"),
        ("alice", NameRules(allowed=["alice"]), "alice"),
    ],
)
def test_names_become_the_clusters(name: str, rules: NameRules, user: str) -> None:
    assert cluster_user(name, rules) == user


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        (NameRules(allowed=["bob"]), "may not start kernels here"),
        (NameRules(allowed=["Alice"]), "may not start kernels here"),
        (NameRules(allowed=["alice"], denied=["alice"]), "that account is denied"),
        (NameRules(mapping={"alice": "hdfs"}, allowed=["hdfs"]), "Kernels do not run as hdfs here"),
        (NameRules(mapping={"alice": "../bob"}), "is not one that a cluster knows"),
        (NameRules(mapping={"alice": ""}), "is not one that a cluster knows"),
        (NameRules(mapping={"alice": "bob\n"}), "is not one that a cluster knows"),
    ],
)
def test_rules_end_with_the_same_checks(rules: NameRules, words: str) -> None:
    with pytest.raises(NotAllowed, match=words):
        cluster_user("alice", rules)


@pytest.mark.parametrize("mapping", [{"(": "x"}, {"(a).*": r"\2"}, {"a.*": r"\g<"}])
def test_a_malformed_rule_is_the_administrators_fault(mapping: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="user_name_map"):
        cluster_user("alice", NameRules(mapping=mapping))


def decide(requester: str | None = None, *, hub: str = "", claimed: str = "", **settings: Any) -> Identity:
    environ = {"JUPYTERHUB_USER": hub} if hub else {}
    kernel_env = {"KERNEL_USERNAME": claimed} if claimed else {}
    return identify(Settings(**settings), requester, environ, kernel_env)


def test_each_source_names_its_user() -> None:
    assert decide("alice", hub="bob", claimed="carol") == Identity("alice", None)
    assert decide(None) == Identity(None, None)
    assert decide("alice", hub="bob", identity="jupyter") == Identity("alice", "alice")
    assert decide("alice", hub="bob", identity="hub") == Identity("alice", "bob")
    assert decide(None, hub="bob", identity="hub") == Identity(None, "bob")
    named = decide("Alice@A.ORG", identity="jupyter", user_name_realms=["A.ORG"], user_name_case="lower")
    assert named == Identity("Alice@A.ORG", "alice")


def test_a_source_that_names_nobody_starts_nothing() -> None:
    with pytest.raises(NotAllowed, match="There is no authenticated user"):
        decide(None, hub="bob", identity="jupyter")
    with pytest.raises(ConfigurationError, match="JUPYTERHUB_USER is not in its environment"):
        decide("alice", identity="hub")
    with pytest.raises(NotAllowed, match="local master"):
        decide("alice", identity="jupyter", master="local[*]")


def test_nobody_becomes_the_service() -> None:
    principal = {"principal": "jupyter/host.example.org@EXAMPLE.ORG", "keytab": "/k"}
    for name in ("jupyter", *accounts()):
        with pytest.raises(NotAllowed, match="that account is denied"):
            decide(name, identity="jupyter", allowed_users=[name], **principal)
    with pytest.raises(NotAllowed, match="would run as jupyter"):
        decide("alice", **principal)
    assert decide("alice", allow_shared_server=["service_account"], **principal) == Identity("alice", None)
    own = next(iter(accounts()))
    assert decide(None, principal=f"{own}@EXAMPLE.ORG", keytab="/k") == Identity(None, None)


def test_kernel_username_is_refused_unless_an_administrator_says_otherwise() -> None:
    with pytest.raises(NotAllowed, match="asks with KERNEL_USERNAME for another user than alice"):
        decide("alice", claimed="bob", identity="jupyter")
    assert decide("alice", claimed="alice", identity="jupyter").proxy_user == "alice"
    assert decide("alice", claimed="bob", identity="jupyter", kernel_username="ignore").proxy_user == "alice"
    assert decide("alice", claimed="bob", identity="jupyter", kernel_username="use").proxy_user == "bob"
    assert decide("alice", identity="jupyter", kernel_username="use").proxy_user == "alice"
    with pytest.raises(NotAllowed, match="that account is denied"):
        decide("alice", claimed="hdfs", identity="jupyter", kernel_username="use")
    with pytest.raises(NotAllowed, match="There is no authenticated user"):
        decide(None, claimed="bob", identity="jupyter", kernel_username="use")


def test_what_is_the_administrators_is_refused_in_a_kernelspec() -> None:
    for name in ADMINISTRATORS:
        with pytest.raises(ConfigurationError, match=f"The kernelspec sets {name}, ") as caught:
            refuse_administrators(["queue", name], [])
        assert f"c.SparkProvisioner.{name}" in caught.value.hint
    for name in ("spark.kerberos.keytab", "spark.yarn.principal"):
        with pytest.raises(ConfigurationError, match=name):
            refuse_administrators([], ["spark.executor.memory", name])
    refuse_administrators(["queue", "python", "spark_conf"], ["spark.executor.memory"])


def provisioner(server: dict[str, Any], **stanza: Any) -> SparkProvisioner:
    manager = KernelManager(config=Config({"SparkProvisioner": server}))
    return SparkProvisioner(kernel_id=KERNEL_ID, parent=manager, **stanza)


@pytest.mark.parametrize(
    ("server", "stanza", "setting"),
    [
        ({"identity": "jupyter"}, {"identity": "os"}, "identity"),
        ({"identity": "jupyter"}, {"identity": "jupyter"}, "identity"),
        ({}, {"identity": "jupyter"}, "identity"),
        ({"identity": "hub"}, {"allowed_users": ["bob"]}, "allowed_users"),
        ({}, {"config": Config()}, "config"),
        ({}, {"log": None}, "log"),
        ({}, {"connection_info": {}}, "connection_info"),
    ],
)
def test_a_kernelspec_does_not_choose_the_identity(
    server: dict[str, Any], stanza: dict[str, Any], setting: str
) -> None:
    fault = provisioner(server, **stanza)._fault
    assert fault is not None and fault.message.startswith(f"The kernelspec sets {setting}, which is ")


def test_a_kernelspec_may_say_what_holds_anyway() -> None:
    assert provisioner({}, identity="os", hadoop_conf_dir="/etc/hadoop")._fault is None
    assert provisioner({"identity": "jupyter"}, queue="a")._fault is None


def request_of(name: str | None) -> contextvars.Context:
    """The context of a request by somebody."""
    context = contextvars.copy_context()
    user = SimpleNamespace(username=name) if name else None
    context.run(CallContext.set, CallContext.JUPYTER_HANDLER, SimpleNamespace(current_user=user))
    return context


def test_the_user_of_the_request_is_in_its_context_alone() -> None:
    assert requester() is None
    assert request_of("alice").run(requester) == "alice"
    assert request_of(None).run(requester) is None
    assert requester() is None


def test_whom_a_kernel_belongs_to_is_settled_once() -> None:
    kernel = provisioner({})
    for name in ("alice", "bob", None):
        request_of(name).run(asyncio.run, kernel._identify({}))
        assert kernel._identity == Identity("alice", None)
    starter = starter_of(KERNEL_ID.upper())
    assert starter is not None and starter.user == "alice"


def test_a_kernel_id_can_be_claimed_by_one_person_only() -> None:
    first = claim(KERNEL_ID, "alice")
    assert claim(KERNEL_ID, "alice") is first
    for other in ("bob", "Alice", None):
        with pytest.raises(NotAllowed, match="somebody else has this id"):
            claim(KERNEL_ID, other)
    del first
    assert starter_of(KERNEL_ID) is None
    assert starter_of("no uuid") is None


async def test_a_request_to_a_server_that_can_not_be_checked_starts_nothing() -> None:
    async def start() -> None:
        await provisioner({"identity": "jupyter"})._identify({})

    with pytest.raises(NotAllowed, match="can't be found"):
        await asyncio.get_running_loop().create_task(start(), context=request_of("alice"))
    with pytest.raises(NotAllowed, match="There is no authenticated user"):
        await start()


async def test_outside_a_server_jupyterhub_names_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_USER", "alice")
    kernel = provisioner({"identity": "hub"})
    await kernel._identify({})
    assert kernel._identity == Identity(None, "alice")
