"""Whom the privileged helper works for, and which settings it trusts."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import stat
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.errors import ConfigurationError, NotAllowed
from sparkkernels.submit_helper import configuration
from sparkkernels.submit_helper.caller import Caller, check_caller, read_caller
from sparkkernels.submit_helper.configuration import (
    Users,
    check_keytab,
    environment,
    parse_configuration,
    read_configuration,
)
from sparkkernels.submit_helper.ticket import private_directory, take_slot

ROOT = Path(__file__).resolve().parents[2]
LEAST: dict[str, Any] = {"hadoop_conf_dir": "/c", "spark_home": "/s", "pythons": ["/p"]}
ACCOUNTS = {1001: "alice", 1002: "bob"}


def account(uid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((ACCOUNTS[uid], "x", uid, uid, "", "/", "/bin/sh"))


def test_the_caller_is_whom_sudo_names() -> None:
    assert read_caller({"SUDO_USER": "alice", "SUDO_UID": "1001"}, account) == Caller("alice", 1001)


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("alice", "1002"), ("bob", "1001"), ("alice", "1003"), ("", "1001"), ("alice", ""), ("root", "0"),
        ("alice", "-1"), ("alice", "01001 "), ("alice", "1001\n"), ("alice", "\u0661001"), ("alice", "1e3"),
        ("Alice", "1001"), ("alice\n", "1001"), ("alice@EXAMPLE.ORG", "1001"), ("alice", "9" * 10),
        ("alice", str(os.getuid())),
    ],
)  # fmt: skip
def test_anything_else_is_nobody(name: str, uid: str) -> None:
    with pytest.raises(NotAllowed):
        read_caller({"SUDO_USER": name, "SUDO_UID": uid, "USER": "alice", "LOGNAME": "alice"}, account)


def test_without_sudo_it_works_for_nobody() -> None:
    with pytest.raises(NotAllowed, match="not called through sudo"):
        read_caller({"USER": "alice"}, account)


def test_a_strange_name_in_the_account_database_is_refused() -> None:
    strange = pwd.struct_passwd(("a/../b", "x", 1001, 1001, "", "/", "/bin/sh"))
    with pytest.raises(NotAllowed):
        read_caller({"SUDO_USER": "a/../b", "SUDO_UID": "1001"}, lambda uid: strange)


def test_the_administrators_lists() -> None:
    alice = Caller("alice", 1001)
    check_caller(alice, Users())
    check_caller(alice, Users(allow=("alice",)))
    for users in (Users(allow=("bob",)), Users(allow=()), Users(deny=("alice",)), Users(minimum_uid=2000)):
        with pytest.raises(NotAllowed, match="alice may not"):
            check_caller(alice, users)
    for service in ("hdfs", "yarn"):
        with pytest.raises(NotAllowed):
            check_caller(Caller(service, 1001), Users())


def test_the_example_is_right_and_the_defaults_are_closed() -> None:
    example = parse_configuration((ROOT / "spark-conf" / "helper.json").read_text(), "example")
    example.limits.check("notebooks", {"spark.executor.memory": "16g"})
    closed = parse_configuration(json.dumps(LEAST), "least")
    with pytest.raises(NotAllowed):
        closed.limits.check(None, {"spark.executor.memory": "1g"})
    assert closed.pythons == ("/p",)


@pytest.mark.parametrize(
    "changes",
    [
        {"principals": "x"}, {"pythons": []}, {"pythons": "/p"}, {"spark_home": ""}, {"spark_home": None},
        {"hadoop_conf_dir": "relative"}, {"principal": "x"}, {"keytab": "/k"}, {"helpers_per_user": 0},
        {"helpers_per_user": True}, {"helpers_per_user": "1"}, {"users": []}, {"users": {"permit": []}},
        {"users": {"allow": "alice"}}, {"users": {"minimum_uid": -1}}, {"limits": {"spark.yarn.keytab": {}}},
        {"limits": []}, {"staging_admins": [1]}, {"jars": "/x.jar"},
    ],
)  # fmt: skip
def test_wrong_settings_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        parse_configuration(json.dumps({**LEAST, **changes}), "x")


def test_settings_that_are_no_json_object() -> None:
    for text in ("", "[]", "7", "{", "null"):
        with pytest.raises(ConfigurationError):
            parse_configuration(text, "x")


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settings file for which this account stands in for root, in a directory of its own root."""
    path = tmp_path / "etc" / "helper.json"
    path.parent.mkdir(mode=0o755)
    path.write_text(json.dumps(LEAST))
    path.chmod(0o644)

    def is_trusted(status: os.stat_result) -> bool:
        fields = list(status)
        fields[stat.ST_UID] = 0 if status.st_uid == os.getuid() else 1 + status.st_uid
        return original(os.stat_result(fields))

    original = configuration._is_trusted
    monkeypatch.setattr(configuration, "_is_trusted", is_trusted)
    return path


def test_settings_that_only_root_can_write_are_read(trusted: Path) -> None:
    assert read_configuration(str(trusted)).spark_home == "/s"


@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_a_file_that_others_can_write_is_not_trusted(trusted: Path, mode: int) -> None:
    trusted.chmod(mode)
    with pytest.raises(ConfigurationError, match="can't be trusted") as caught:
        read_configuration(str(trusted))
    assert str(trusted) in caught.value.hint


def test_a_directory_that_others_can_write_is_not_trusted_unless_sticky(trusted: Path) -> None:
    trusted.parent.chmod(0o777)
    with pytest.raises(ConfigurationError, match="can't be trusted"):
        read_configuration(str(trusted))
    trusted.parent.chmod(0o1777)
    read_configuration(str(trusted))


def test_links_and_detours_and_other_files_are_not_followed(trusted: Path, tmp_path: Path) -> None:
    link = trusted.with_name("link.json")
    link.symlink_to(trusted)
    directory = tmp_path / "link"
    directory.symlink_to(trusted.parent)
    fifo = trusted.with_name("fifo")
    os.mkfifo(fifo)
    paths = [link, directory / "helper.json", fifo, trusted.parent, trusted.with_name("not-there")]
    for path in [*map(str, paths), f"{trusted.parent}/../etc/helper.json", "helper.json", ""]:
        with pytest.raises(ConfigurationError):
            read_configuration(path)


def test_the_file_of_another_account_is_not_trusted(tmp_path: Path) -> None:
    status = os.stat_result((0o100644, 1, 1, 1, 1001, 0, 1, 0, 0, 0))
    assert not configuration._is_trusted(status)


def test_a_keytab_for_everybody_is_refused(tmp_path: Path) -> None:
    keytab = tmp_path / "keytab"
    keytab.touch()
    for mode, good in ((0o400, True), (0o440, True), (0o444, False), (0o620, False)):
        keytab.chmod(mode)
        if good:
            check_keytab(str(keytab))
        else:
            with pytest.raises(ConfigurationError, match="can be read"):
                check_keytab(str(keytab))


def test_the_environment_is_the_administrators() -> None:
    settings = parse_configuration(json.dumps({**LEAST, "krb5_config": "/k5"}), "x")
    found = environment(settings, "/home/jupyter", "jupyter", "FILE:/t")
    assert (
        found["HADOOP_CONF_DIR"] == "/c"
        and found["KRB5CCNAME"] == "FILE:/t"
        and found["KRB5_CONFIG"] == "/k5"
    )
    assert "JAVA_HOME" not in found and not found.keys() & {"HADOOP_PROXY_USER", "LD_PRELOAD", "PYTHONPATH"}


def test_every_setting_is_documented() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    for kind in (configuration.Configuration, Users):
        for entry in dataclasses.fields(kind):
            assert f"`{entry.name}`" in text.partition("helper.json")[2]


def test_the_private_directory_is_private(tmp_path: Path) -> None:
    made = private_directory("", str(tmp_path))
    assert made == tmp_path / ".cache" / "sparkkernels" and stat.S_IMODE(made.stat().st_mode) == 0o700
    assert private_directory(str(made), "/not/used") == made
    made.chmod(0o750)
    with pytest.raises(ConfigurationError, match="alone"):
        private_directory("", str(tmp_path))
    made.chmod(0o700)
    (tmp_path / "link").symlink_to(made)
    with pytest.raises(ConfigurationError):
        private_directory(str(tmp_path / "link"), "")


def test_one_person_has_so_many_helpers_and_no_more(tmp_path: Path) -> None:
    held = [take_slot(tmp_path, "alice", 2) for _ in range(2)]
    with pytest.raises(NotAllowed, match="2 submit helpers"):
        take_slot(tmp_path, "alice", 2)
    held.append(take_slot(tmp_path, "bob", 2))
    os.close(held.pop(0))
    held.append(take_slot(tmp_path, "alice", 2))
    for descriptor in held:
        os.close(descriptor)
