"""What one server leaves to the next is whole, its owner's alone, and taken by one process at a time."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from sparkkernels import record
from sparkkernels.errors import ConfigurationError
from sparkkernels.handover import Handover, is_left, read, save, take_all
from sparkkernels.record import LaunchRecord, records, sweep
from sparkkernels.tags import server_tag
from tests.handovers import KERNEL_ID, handover


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LaunchRecord:
    """A kernel that was left and that nobody holds."""
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    kept = LaunchRecord(KERNEL_ID)
    save(kept, handover())
    kept.leave()
    return kept


def refused(said: list[str]) -> str:
    """Why the only kernel that was left is not taken."""
    assert take_all(said.append) == []
    (why,) = said
    return why


def test_it_is_read_back_as_it_was_and_shows_no_secret(left: LaunchRecord) -> None:
    (found,) = take_all(pytest.fail)
    assert found.handover == handover()
    assert found.handover.relay_certificate.key == b"K"
    assert "5" * 64 not in repr(found.handover) and "'secret'" not in repr(found.handover)
    assert (left.directory / "handover.json").stat().st_mode & 0o077 == 0


def test_one_process_at_a_time_has_it(left: LaunchRecord) -> None:
    (found,) = take_all(pytest.fail)
    assert take_all(pytest.fail) == []
    assert not LaunchRecord(KERNEL_ID).lock()
    found.record.leave()
    (again,) = take_all(pytest.fail)
    again.record.remove()
    assert records() == []


@pytest.mark.parametrize("mode", [0o640, 0o606, 0o622], ids=oct)
def test_what_others_may_read_or_write_is_refused(left: LaunchRecord, mode: int) -> None:
    (left.directory / "handover.json").chmod(mode)
    assert "is not this account's alone" in refused([])


def test_what_leads_elsewhere_is_refused(left: LaunchRecord, tmp_path: Path) -> None:
    path = left.directory / "handover.json"
    path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(tmp_path / "elsewhere.json")
    assert "can't be read" in refused([])


def test_what_somebody_else_wrote_is_refused(left: LaunchRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert take_all(pytest.fail) == []
    with pytest.raises(ConfigurationError, match="is not this account's alone"):
        read(left)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kernel_id": str(uuid.uuid4())}, "of another kernel"),
        ({"version": 2}, "another version"),
        ({"port": "4000"}, "can't be read"),
        ({"number": 0}, "can't be read"),
        ({"generation": True}, "can't be read"),
        ({"session": ""}, "can't be read"),
        ({"connection_info": {}}, "can't be read"),
        ({"note": None}, "can't be read"),
        ({"more": 1}, "can't be read"),
    ],
)
def test_what_is_not_whole_is_refused(left: LaunchRecord, changes: dict[str, Any], words: str) -> None:
    left.write_file("handover.json", {**handover().to_json(), **changes})
    left.leave()
    assert words in refused([])


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_what_is_no_handover_is_refused(left: LaunchRecord, content: str) -> None:
    (left.directory / "handover.json").write_text(content)
    assert refused([])


def test_what_killed_servers_left_is_swept_but_for_kernels(
    left: LaunchRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, held = LaunchRecord(str(uuid.uuid4())), LaunchRecord(str(uuid.uuid4()))
    for kept in (dead, held):
        kept.write({"application_id": "application_1_2"})
    dead.leave()
    sweep(is_left, time.time())
    assert dead.directory.exists()  # too young to be judged
    monkeypatch.setattr(record, "SWEEP_AGE_S", 0.0)
    sweep(is_left, time.time() + 1)
    assert set(records()) == {KERNEL_ID, held.kernel_id}


def test_two_processes_of_one_account_have_one_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    first = server_tag.__wrapped__()
    assert first == server_tag.__wrapped__()
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/elsewhere")
    assert server_tag.__wrapped__() != first


def test_a_handover_of_a_manager_is_json(left: LaunchRecord) -> None:
    content = json.loads(json.dumps(handover().to_json()))
    assert Handover.from_json(content) == handover()
    left.lock()
    assert read(left) == handover()
    with pytest.raises(ConfigurationError, match="another version"):
        Handover.from_json({})
