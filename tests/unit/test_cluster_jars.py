"""A kernel's jars: named by their content, read once, and told when they can't be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sparkkernels.cluster import jars
from sparkkernels.cluster.jars import read_jars
from sparkkernels.errors import ConfigurationError


def write(path: Path, content: bytes) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return str(path)


def test_a_name_on_the_cluster_follows_name_and_content(tmp_path: Path) -> None:
    paths = [
        write(tmp_path / "a" / "toree-assembly-0.5.0.jar", b"one"),
        write(tmp_path / "b" / "toree-assembly-0.5.0.jar", b"one"),
        write(tmp_path / "c" / "toree-assembly-0.5.0.jar", b"two"),
        write(tmp_path / "d" / "größe 1=2.jar", b"one"),
    ]
    first, same, other, odd = read_jars(paths)
    assert first.name == same.name == "toree-assembly-0.5.0-7692c3ad3540.jar"
    assert other.name != first.name
    assert odd.name == "gr_e_1_2-7692c3ad3540.jar"
    assert [str(jar.path) for jar in (first, same, other, odd)] == paths


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    original = jars.digest_of

    def digest_of(path: Path) -> str:
        read.append(path)
        return original(path)

    monkeypatch.setattr(jars, "digest_of", digest_of)
    path = Path(write(tmp_path / "x.jar", b"one"))
    assert read_jars([str(path)]) == read_jars([str(path)])
    assert read == [path]
    times = path.stat()
    replacement = Path(write(tmp_path / "new.jar", b"two"))
    os.utime(replacement, ns=(times.st_atime_ns, times.st_mtime_ns))
    before = read_jars([str(path)])
    replacement.rename(path)
    assert read_jars([str(path)]) != before, "same size, same time, another file"
    assert read == [path, path]


@pytest.mark.parametrize("name", ["missing.jar", "directory.jar"])
def test_what_cant_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "directory.jar").mkdir()
    with pytest.raises(ConfigurationError) as caught:
        read_jars([str(tmp_path / name)])
    assert str(tmp_path / name) in caught.value.message and caught.value.message.endswith(".")
    assert "`jars`" in caught.value.hint
