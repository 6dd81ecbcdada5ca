"""Credentials: when a keytab's ticket is replaced, and what is said when there is none."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from sparkkernels.cluster import kerberos
from sparkkernels.cluster.kerberos import Keytab, OwnTicket
from sparkkernels.cluster.kinit import kinit_error
from sparkkernels.cluster.negotiate import exchange_error
from sparkkernels.cluster.ticket_cache import Ticket
from sparkkernels.errors import ConfigurationError, CredentialsError

SERVICE = "jupyter/host.example.org@EXAMPLE.ORG"
DAY_S = 86400.0


class Kdc:
    """Gives tickets of a day while it is up, and counts them; time passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.given = 0
        self.is_up = True
        self.life_s = DAY_S

    def kinit(self, principal: str, keytab: str, cache: str, environ: object) -> None:
        if not self.is_up:
            raise kinit_error("kinit: Cannot contact any KDC for realm", principal, keytab)
        self.given += 1
        Path(cache.removeprefix("FILE:")).write_text(principal)

    def read(self, cache: str) -> Ticket:
        return Ticket(SERVICE, self.life_s)


@pytest.fixture
def kdc(monkeypatch: pytest.MonkeyPatch) -> Kdc:
    kdc = Kdc()
    monkeypatch.setattr(kerberos, "kinit", kdc.kinit)
    monkeypatch.setattr(kerberos, "read_ticket", kdc.read)
    return kdc


@pytest.fixture
def keytab(kdc: Kdc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keytab:
    path = tmp_path / "jupyter.keytab"
    path.write_bytes(b"key")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return Keytab(SERVICE, str(path), {}, lambda: kdc.now)


def test_a_ticket_is_kept_for_half_of_its_life(kdc: Kdc, keytab: Keytab) -> None:
    for passed_s, given in ((0, 1), (10, 1), (DAY_S / 2 - 11, 1), (2, 2), (60, 2)):
        kdc.now += passed_s
        keytab.ensure()
        assert kdc.given == given


def test_while_the_kdc_is_away_the_old_one_serves_until_it_runs_out(kdc: Kdc, keytab: Keytab) -> None:
    keytab.ensure()
    kdc.is_up = False
    kdc.now += DAY_S - 3600
    keytab.ensure()
    kdc.now += 3600
    with pytest.raises(CredentialsError, match=r"The Kerberos server \(KDC\)"):
        keytab.ensure()
    kdc.is_up = True
    keytab.ensure()
    assert kdc.given == 2


def test_its_cache_is_private(keytab: Keytab) -> None:
    keytab.ensure()
    path = Path(keytab.cache.removeprefix("FILE:"))
    assert path.read_text() == SERVICE
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert keytab.environment() == {"KRB5CCNAME": f"FILE:{path}"}
    assert keytab.short_name == "jupyter"


@pytest.mark.parametrize(
    "principal", ["", "a b", "jupyter; reboot", "-k", "a@b@c", "jupyter/h@R\n", "jüpyter@R"]
)
def test_what_is_no_principal(principal: str) -> None:
    with pytest.raises(ConfigurationError, match="is no Kerberos principal"):
        Keytab(principal, "/etc/jupyter.keytab", {})


def test_a_missing_keytab_is_told_without_asking_anybody(kdc: Kdc) -> None:
    with pytest.raises(CredentialsError, match=r"There is no keytab /no/such\.keytab\."):
        Keytab(SERVICE, "/no/such.keytab", {}).ensure()
    assert kdc.given == 0


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("kinit: Clock skew too great while getting initial credentials", "the clocks of this host"),
        ("kinit: Client 'x@R' not found in Kerberos database", f"does not know the principal {SERVICE}"),
        ("kinit: Preauthentication failed while getting", "holds an outdated key"),
        ("kinit: Keytab contains no suitable keys for x", "has no key of"),
        ("kinit: Cannot contact any KDC for realm 'R'", "can't be reached"),
        ('kinit: Cannot find KDC for realm "R"', "can't be reached"),
        ("kinit: Permission denied while getting", "can't be read by this account"),
        ("kinit: something new", f"There is no Kerberos ticket for {SERVICE}."),
    ],
)
def test_what_kinit_says_is_told_in_a_sentence(said: str, words: str) -> None:
    error = kinit_error(said, SERVICE, "/etc/jupyter.keytab")
    assert words in error.message and error.message.endswith(".")
    assert error.diagnostics == said and error.hint


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Minor (2529638949): Clock skew too great", "the clocks of this host"),
        ("Ticket not yet valid", "the clocks of this host"),
        ("Server not found in Kerberos database", "no service HTTP/rm1."),
        ("Cannot contact any KDC", "can't be reached"),
        ("Ticket expired", "has run out"),
        ("something new", "no ticket for the web service on rm1"),
    ],
)
def test_what_the_library_says_is_told_in_a_sentence(said: str, words: str) -> None:
    error = exchange_error(said, "rm1")
    assert words in error.message and error.hint


@pytest.mark.parametrize(
    ("left_s", "words"),
    [(0.0, "has run out."), (30.0, "runs out in 30 s."), (None, "has no Kerberos ticket")],
)
def test_a_ticket_of_ones_own_must_last_a_minute(
    left_s: float | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket = None if left_s is None else Ticket("alice@EXAMPLE.ORG", left_s)
    monkeypatch.setattr(kerberos, "read_ticket", lambda cache: ticket)
    with pytest.raises(CredentialsError) as caught:
        OwnTicket({"KRB5CCNAME": "FILE:/tmp/t"}, "alice").ensure()
    assert words in caught.value.message and "kinit alice" in caught.value.hint


def test_one_that_lasts_is_taken_from_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def read(cache: str) -> Ticket:
        asked.append(cache)
        return Ticket("alice@EXAMPLE.ORG", 3600.0)

    monkeypatch.setattr(kerberos, "read_ticket", read)
    own = OwnTicket({"KRB5CCNAME": "DIR:/run/user/7"}, "alice")
    own.ensure()
    assert own.short_name == "alice" and set(asked) == {"DIR:/run/user/7"}
    assert OwnTicket({}, "alice").cache.endswith(str(os.getuid()))
