"""tools/system_packages.py: with an apt-get that installs what it is told into a directory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools import system_packages
from tools.system_packages import NEEDED, main, program

APT_GET = """\
#!/bin/sh
echo "$@" >> "{directory}/log"
[ "$1" = update ] && exit 0
[ -e "{directory}/broken" ] && {{ echo "no such package"; exit 100; }}
[ -e "{directory}/empty" ] && exit 0
printf '#!/bin/sh\\n' > "{directory}/made-of-it" && chmod +x "{directory}/made-of-it"
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory before all others of PATH, with an apt-get; the tests need one package, as root."""
    apt_get = tmp_path / "apt-get"
    apt_get.write_text(APT_GET.format(directory=tmp_path))
    apt_get.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(system_packages, "NEEDED", [("a-package", program("made-of-it"), "its purpose")])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return tmp_path


def test_what_is_missing_is_installed_once(path: Path) -> None:
    assert main() == 0
    assert (path / "log").read_text().splitlines() == [
        "update",
        "install --yes --no-install-recommends a-package",
    ]
    assert main() == 0
    assert len((path / "log").read_text().splitlines()) == 2


def test_without_root_it_only_says_what_to_do(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main() == 1
    said = capsys.readouterr().err
    assert "a-package" in said and "its purpose" in said
    assert "apt-get install --yes --no-install-recommends a-package" in said
    assert not (path / "log").exists()


@pytest.mark.parametrize(("state", "words"), [("broken", "no such package"), ("empty", "still not usable")])
def test_a_failed_installation_fails(
    path: Path, capsys: pytest.CaptureFixture[str], state: str, words: str
) -> None:
    (path / state).touch()
    assert main() == 1
    assert words in capsys.readouterr().err


def test_programs_for_administrators_are_found_by_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    # Debian's login shells of ordinary accounts lack /usr/sbin, where every Debian has this one.
    assert program("ldconfig")() == (Path("/usr/sbin/ldconfig").exists() or Path("/sbin/ldconfig").exists())
    assert not program("no-such-program")()


def test_each_package_is_named_once_with_a_reason() -> None:
    assert len({package for package, _, _ in NEEDED}) == len(NEEDED)
    assert all(why for _, _, why in NEEDED)
