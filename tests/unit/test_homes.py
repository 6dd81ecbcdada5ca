"""Homes on a file system that is a dictionary."""

from __future__ import annotations

import pytest

from sparkkernels.cluster.filesystem import FileStatus
from sparkkernels.cluster.homes import Done, Homes, check_home, parse_size
from sparkkernels.errors import ConfigurationError, NotAllowed, SparkKernelError
from tests.unit.memory import Memory


def homes_of(**found: tuple[str, int]) -> Memory:
    """A file system with these homes, as hdfs has it: name, then owner and mode."""
    files = Memory("hdfs")
    del files.files["/user/alice"]
    for name, (owner, mode) in found.items():
        files.add(f"/user/{name}", owner, mode)
    return files


def test_a_home_is_made_closed_and_given_to_its_user_once() -> None:
    files = homes_of()
    homes = Homes(files, "hdfs")
    assert homes.create("alice", 10 << 30) is Done.CREATED
    assert files.files["/user/alice"] == FileStatus("/user/alice", "alice", 0o700, True)
    assert files.quotas == {"/user/alice": 10 << 30}
    files.changes.clear()
    assert homes.create("alice") is Done.UNCHANGED
    assert files.changes == []


def test_the_parent_is_made_before_it() -> None:
    files = homes_of()
    files.files.clear()
    Homes(files, "hdfs", "/home/").create("alice")
    assert files.changes == ["mkdir /home 755", "mkdir /home/alice 700", "chown /home/alice alice"]


@pytest.mark.parametrize(
    ("owner", "mode", "changes"),
    [
        ("alice", 0o755, ["chmod /user/alice 700"]),
        ("alice", 0o1777, ["chmod /user/alice 700"]),
        ("hdfs", 0o755, ["chmod /user/alice 700", "chown /user/alice alice"]),
    ],
)
def test_one_that_is_there_is_closed_before_it_changes_hands(
    owner: str, mode: int, changes: list[str]
) -> None:
    files = homes_of(alice=(owner, mode))
    assert Homes(files, "hdfs").create("alice") is Done.CORRECTED
    assert files.changes == changes


def test_what_is_somebody_elses_is_left_alone() -> None:
    files = homes_of(alice=("mallory", 0o700))
    with pytest.raises(NotAllowed, match="belongs to mallory"):
        Homes(files, "hdfs").create("alice")
    assert files.changes == []


def test_a_file_is_no_home() -> None:
    files = homes_of()
    files.files["/user/alice"] = FileStatus("/user/alice", "alice", 0o644, False)
    with pytest.raises(SparkKernelError, match="is a file"):
        Homes(files, "hdfs").create("alice")


def test_faults_are_told_of_the_named_or_of_all() -> None:
    files = homes_of(alice=("alice", 0o700), bob=("bob", 0o750), carol=("hdfs", 0o700), dave=("dave", 0o000))
    homes = Homes(files, "hdfs")
    assert list(homes.faults()) == [
        "/user/bob is open to others (mode 0750, not 0700).",
        "/user/carol belongs to hdfs instead of carol.",
        "/user/dave is closed to its owner (mode 0000).",
    ]
    assert list(homes.faults(["alice", "erin"])) == ["erin has no home: there is no /user/erin."]


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("500g", 500 << 30), ("2T", 2 << 40), (" 7KB ", 7 << 10), ("1E", 1 << 60)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5g", "g", "1 g", "1x", "٣", "9" * 30, "1g\n2"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is not a size"):
        parse_size(text)


def as_alice(**found: tuple[str, int]) -> Memory:
    """The same, as alice has it."""
    files = homes_of(**found)
    files.user = "alice"
    return files


def test_a_missing_home_names_the_command() -> None:
    with pytest.raises(ConfigurationError, match="The user alice has no home directory") as caught:
        check_home(as_alice(), "alice")
    assert caught.value.hint.endswith("jupyter sparkkernels homes create alice")


def test_homes_of_others_and_closed_ones_are_told_before_a_start() -> None:
    with pytest.raises(NotAllowed, match="belongs to hdfs"):
        check_home(as_alice(alice=("hdfs", 0o700)), "alice")
    with pytest.raises(NotAllowed, match="may not write"):
        check_home(as_alice(alice=("alice", 0o500)), "alice")
    check_home(as_alice(alice=("alice", 0o755)), "alice")


def test_where_looking_takes_seconds_nobody_looks() -> None:
    files = homes_of()
    files.is_quick = False
    check_home(files, "alice")
