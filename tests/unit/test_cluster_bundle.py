"""The launchers' zip: the same bytes from the same sources, and Python runs it under its name."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sparkkernels.cluster.bundle import MAIN, launchers_bundle, pack, package_directory, package_files
from sparkkernels.errors import ConfigurationError

FILES = {"__main__.py": MAIN.encode(), "sparkkernels_supervisor/__init__.py": b""}


def test_same_files_in_any_order_give_the_same_bytes() -> None:
    assert pack(FILES) == pack(dict(reversed(FILES.items())))


def test_name_follows_the_content() -> None:
    other = pack({**FILES, "sparkkernels_supervisor/__init__.py": b"#"})
    assert pack(FILES).name != other.name
    assert pack(FILES).name.startswith("sparkkernels-launchers-")
    assert pack(FILES).name.endswith(".py")


def test_python_runs_the_zip_under_its_py_name(tmp_path: Path) -> None:
    main = b"import sys\ndef main():\n    print(sys.argv[1:], __name__)\n    return 7\n"
    path = pack({**FILES, "sparkkernels_supervisor/__main__.py": main}).write_to(tmp_path)
    done = subprocess.run(
        [sys.executable, path, "registration.json"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "['registration.json'] sparkkernels_supervisor.__main__\n", done.stderr
    assert done.returncode == 7
    assert path.stat().st_mode & 0o777 == 0o600


def test_caches_and_hidden_files_stay_at_home(tmp_path: Path) -> None:
    for name in ("a.py", "b.pyc", ".hidden", "__pycache__/a.cpython-311.pyc", "deep/c.R"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert dict(package_files("p", tmp_path)) == {"p/a.py": b"x", "p/deep/c.R": b"x"}


def test_the_installed_launchers_are_in_it(tmp_path: Path) -> None:
    names = zipfile.ZipFile(launchers_bundle().write_to(tmp_path)).namelist()
    assert "__main__.py" in names
    assert "sparkkernels_supervisor/__init__.py" in names
    assert "sparkkernels_python/__init__.py" in names
    assert "sparkkernels_r/kernel.R" in names


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ConfigurationError, match="sparkkernels_nonsense"):
        package_directory("sparkkernels_nonsense")
