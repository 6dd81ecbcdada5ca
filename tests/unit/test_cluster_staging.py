"""Staging: found by content, complete or not there, and never from a place that others could write to."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from sparkkernels.cluster.bundle import Bundle
from sparkkernels.cluster.filesystem import FileStatus, FileSystem
from sparkkernels.cluster.jars import Jar, read_jars
from sparkkernels.cluster.spark_home import SparkHome
from sparkkernels.cluster.staging import Staging, components, distrust, jars_name, zip_jars
from sparkkernels.errors import NotAllowed, SparkKernelError
from tests.unit.memory import Memory

FS = "hdfs://nn:8020"
BUNDLE = Bundle("sparkkernels-launchers-0123456789ab.py", b"zip")
OWN = "/user/alice/.sparkkernels"


@pytest.fixture
def home(tmp_path: Path) -> SparkHome:
    (tmp_path / "jars").mkdir()
    for name, content in (("b.jar", b"bb"), ("a.jar", b"a"), ("notes.txt", b"x")):
        (tmp_path / "jars" / name).write_bytes(content)
    return SparkHome(tmp_path, "3.5.9")


def staging(file_system: FileSystem, root: str = "") -> Staging:
    return Staging(file_system, FS, root, ("hdfs", "root"))


def test_stage_then_find_in_the_own_home(home: SparkHome) -> None:
    memory = Memory()
    before = staging(memory).find(home, BUNDLE)
    assert (before.archive, before.bundle) == (None, None)
    assert "jupyter sparkkernels stage" in before.warnings[0]
    steps: list[str] = []
    staged = staging(memory).stage(home, BUNDLE, tell=steps.append)
    assert staging(memory).find(home, BUNDLE) == staged
    assert staged.archive is not None
    assert staged.archive.startswith(f"{FS}{OWN}/spark-jars-3.5.9-")
    assert staged.bundle == f"{FS}{OWN}/{BUNDLE.name}"
    assert memory.files[OWN].mode == 0o700
    assert sorted(name for name in memory.files if name.startswith(OWN + "/.")) == [], "no temporary file"
    assert len(steps) == 3


def test_staging_again_uploads_nothing(home: SparkHome) -> None:
    memory = Memory()
    staging(memory).stage(home, BUNDLE)
    memory.contents.clear()
    staging(memory).stage(home, BUNDLE)
    assert memory.contents == {}


def test_the_archive_has_the_jars_at_its_root_uncompressed(home: SparkHome, tmp_path: Path) -> None:
    zip_jars([home.jars / "a.jar", home.jars / "b.jar"], tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert [(info.filename, info.compress_type) for info in archive.infolist()] == [
            ("a.jar", 0),
            ("b.jar", 0),
        ]


def test_the_name_follows_names_and_sizes() -> None:
    name = jars_name("3.5.9", [("a.jar", 1), ("b.jar", 2)])
    assert name == jars_name("3.5.9", [("b.jar", 2), ("a.jar", 1)])
    assert name != jars_name("3.5.9", [("a.jar", 1), ("b.jar", 3)])
    assert name.startswith("spark-jars-3.5.9-")


def test_somebody_else_staged_at_the_same_time(home: SparkHome, tmp_path: Path) -> None:
    memory = Memory()
    memory.add("/target", "alice", 0o644, is_directory=False)
    (tmp_path / "file").write_bytes(b"x")
    memory.upload(tmp_path / "file", "/target", 0o644)
    assert memory.contents.keys() == {name for name in memory.contents if name != "/target"}
    assert [name for name in memory.files if name.startswith("/.")] == []


def test_an_upload_that_fails_leaves_nothing(tmp_path: Path) -> None:
    memory = Memory()
    memory.fail_rename = True
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(SparkKernelError, match="exists"):
        memory.upload(tmp_path / "file", "/target", 0o644)
    assert not [name for name in memory.files if "target" in name]


def shared(memory: Memory, owner: str = "root", mode: int = 0o755) -> Memory:
    memory.add("/apps", "hdfs", 0o755)
    memory.add("/apps/sparkkernels", owner, mode)
    return memory


def test_a_trusted_shared_root_is_used(home: SparkHome) -> None:
    memory = shared(Memory("root"))
    staged = staging(memory, "/apps/sparkkernels").stage(home, BUNDLE)
    memory.user = "alice"
    found = staging(memory, f"{FS}/apps/sparkkernels/").find(home, BUNDLE)
    assert found == staged
    assert memory.files[str(staged.bundle).removeprefix(FS)].mode == 0o644


@pytest.mark.parametrize(
    ("owner", "mode", "reason"),
    [
        ("mallory", 0o755, "belongs to mallory"),
        ("root", 0o777, "may be written by others"),
        ("root", 0o775, "written"),
    ],
)
def test_an_untrusted_shared_root_is_not_used(home: SparkHome, owner: str, mode: int, reason: str) -> None:
    memory = shared(Memory(), owner, mode)
    found = staging(memory, "/apps/sparkkernels").find(home, BUNDLE)
    assert found.archive is None
    assert reason in found.warnings[0]
    assert OWN in found.warnings[0]
    with pytest.raises(NotAllowed, match=reason):
        staging(memory, "/apps/sparkkernels").stage(home, BUNDLE)


def test_a_file_that_somebody_put_into_a_sticky_root_is_not_used(home: SparkHome) -> None:
    memory = shared(Memory("root"), mode=0o1777)
    staged = staging(memory, "/apps/sparkkernels").stage(home, BUNDLE)
    path = str(staged.archive).removeprefix(FS)
    memory.add(path, "mallory", 0o644, is_directory=False)
    found = staging(memory, "/apps/sparkkernels").find(home, BUNDLE)
    assert (found.archive, found.bundle) == (None, staged.bundle)
    assert "belongs to mallory" in found.warnings[0]


def test_a_missing_shared_root_falls_back(home: SparkHome) -> None:
    found = staging(Memory(), "/apps/sparkkernels").find(home, BUNDLE)
    assert "/apps does not exist" in found.warnings[0]


@pytest.fixture
def jar(tmp_path: Path) -> Jar:
    (tmp_path / "toree.jar").write_bytes(b"toree")
    return read_jars([str(tmp_path / "toree.jar")])[0]


def test_a_kernels_jar_is_put_once_into_the_users_own_home(home: SparkHome, jar: Jar) -> None:
    memory = Memory()
    root = staging(memory)
    staged = root.complete(root.find(home, BUNDLE, [jar]), [jar])
    assert staged.jars == {jar.path: f"{FS}{OWN}/{jar.name}"}
    assert memory.contents == {f"{OWN}/{jar.name}": b"toree"} and memory.files[OWN].mode == 0o700
    memory.contents.clear()
    found = root.find(home, BUNDLE, [jar])
    assert found.jars == staged.jars
    assert root.complete(found, [jar]) == found and memory.contents == {}


def test_a_jar_that_changes_while_it_is_staged_has_the_name_of_what_was_staged(
    home: SparkHome, jar: Jar
) -> None:
    memory = Memory()
    root = staging(memory)
    jar.path.write_bytes(b"newer")
    (now,) = read_jars([str(jar.path)])
    assert root.complete(root.find(home, BUNDLE, [jar]), [jar]).jars == {jar.path: f"{FS}{OWN}/{now.name}"}
    assert memory.contents == {f"{OWN}/{now.name}": b"newer"}


def test_a_jar_that_cant_be_staged_is_told_and_left_to_the_submit(home: SparkHome, jar: Jar) -> None:
    memory = Memory()
    memory.fail_rename = True
    root = staging(memory)
    staged = root.complete(root.find(home, BUNDLE, [jar]), [jar])
    assert staged.jars == {} and "can't be staged" in staged.warnings[-1]
    assert [name for name in memory.files if jar.path.stem in name] == []


def test_only_administrators_put_jars_where_all_find_them(home: SparkHome, jar: Jar) -> None:
    memory = shared(Memory("root"))
    root = staging(memory, "/apps/sparkkernels")
    memory.user = "alice"
    before = root.find(home, BUNDLE, [jar])
    assert root.complete(before, [jar]) == before and memory.contents == {}
    assert str(jar.path) in before.warnings[-1] and "jupyter sparkkernels stage" in before.warnings[-1]
    memory.user = "root"
    steps: list[str] = []
    staged = root.stage(home, BUNDLE, [jar], steps.append)
    memory.user = "alice"
    assert root.find(home, BUNDLE, [jar]) == staged
    assert steps[-1] == f"Uploading /apps/sparkkernels/{jar.name}."
    memory.add(f"/apps/sparkkernels/{jar.name}", "mallory", 0o644, is_directory=False)
    forged = root.find(home, BUNDLE, [jar])
    assert forged.jars == {} and "belongs to mallory" in forged.warnings[0]


@pytest.mark.parametrize(
    ("statuses", "reason"),
    [
        ([("/", "hdfs", 0o755, True), ("/tmp", "hdfs", 0o1777, True), ("/tmp/x", "root", 0o755, True)], ""),
        ([("/", "hdfs", 0o755, True), ("/tmp", "hdfs", 0o777, True)], "/tmp may be written by others"),
        ([("/", "hdfs", 0o775, True)], "/ may be written by others"),
        ([("/f", "root", 0o1666, False)], "/f may be written by others"),
        ([("/", "alice", 0o755, True)], "/ belongs to alice, who is not one of hdfs, root"),
    ],
)
def test_distrust(statuses: list[tuple[str, str, int, bool]], reason: str) -> None:
    assert distrust([FileStatus(*status) for status in statuses], ("root", "hdfs")).startswith(reason)


def test_components() -> None:
    assert components("/apps/spark//x/") == ["/", "/apps", "/apps/spark", "/apps/spark/x"]
    assert components("/") == ["/"]
