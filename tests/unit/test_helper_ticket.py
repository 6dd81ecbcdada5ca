"""The service's ticket: shared by all helpers of its account, and renewed by one of them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sparkkernels.cluster import kerberos
from sparkkernels.cluster.ticket_cache import Ticket
from sparkkernels.errors import CredentialsError
from sparkkernels.submit_helper import ticket as module
from sparkkernels.submit_helper.ticket import SharedTicket, locked

PRINCIPAL = "jupyter/host@EXAMPLE.ORG"


class Realm:
    """A Kerberos whose tickets last so many seconds; a cache's file stands for its ticket."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.life_s = 1000.0
        self.age_s = 0.0
        self.principal = PRINCIPAL
        self.kinits = 0
        self.down = False
        monkeypatch.setattr(module, "read_ticket", self.read)
        monkeypatch.setattr(kerberos.Keytab, "_get_ticket", self.kinit)

    def read(self, cache: str) -> Ticket | None:
        path = Path(cache.removeprefix("FILE:"))
        return Ticket(self.principal, max(0.0, self.life_s - self.age_s)) if path.exists() else None

    def kinit(self, *_: object) -> None:
        if self.down:
            raise CredentialsError("The KDC can't be reached.")
        self.kinits += 1
        (self.directory / "ticket").touch()
        self.age_s = 0.0

    def helper(self) -> SharedTicket:
        return SharedTicket(PRINCIPAL, "/k", {}, self.directory)


@pytest.fixture
def realm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Realm:
    found = Realm(tmp_path, monkeypatch)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + found.age_s)
    return found


def test_the_second_helper_uses_the_ticket_of_the_first(realm: Realm) -> None:
    realm.helper().ensure()
    realm.helper().ensure()
    assert realm.kinits == 1
    assert realm.helper().cache == f"FILE:{realm.directory / 'ticket'}"


def test_a_ticket_in_its_second_half_is_replaced(realm: Realm) -> None:
    realm.helper().ensure()
    realm.age_s = 400
    realm.helper().ensure()
    assert realm.kinits == 1
    realm.age_s = 600
    realm.helper().ensure()
    assert realm.kinits == 2


def test_one_that_is_good_will_do_while_the_kdc_is_down(realm: Realm) -> None:
    realm.helper().ensure()
    realm.age_s, realm.down = 600, True
    realm.helper().ensure()
    realm.age_s = 990
    with pytest.raises(CredentialsError):
        realm.helper().ensure()


def test_the_ticket_of_another_principal_is_not_used(realm: Realm) -> None:
    realm.helper().ensure()
    realm.principal = "other@EXAMPLE.ORG"
    realm.helper().ensure()
    assert realm.kinits == 2


def test_one_at_a_time(tmp_path: Path) -> None:
    inside: list[int] = []

    def enter() -> None:
        with locked(tmp_path / "lock"):
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.01)
            inside.pop()

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert inside == [] and not any(thread.is_alive() for thread in threads)
