"""Where Spark and Java are, and what is said when they can't be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkkernels.cluster.spark_home import (
    check_scala,
    find_java,
    find_spark_home,
    inspect_spark_home,
    is_supported,
    read_spark_defaults,
    spark_version,
)
from sparkkernels.errors import ConfigurationError


def make_home(path: Path, *, release: str = "", jar: str = "") -> Path:
    (path / "bin").mkdir(parents=True)
    (path / "jars").mkdir()
    (path / "bin" / "spark-submit").touch(0o755)
    if release:
        (path / "RELEASE").write_text(release)
    if jar:
        (path / "jars" / jar).touch()
    return path


def make_java(path: Path, code: int) -> Path:
    (path / "bin").mkdir(parents=True)
    java = path / "bin" / "java"
    java.write_text(f"#!/bin/sh\necho 'some complaint' >&2\nexit {code}\n")
    java.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("release", "jars", "version"),
    [
        ("Spark 3.5.1 (git revision fd86f85e181) built for Hadoop 3.3.4\nBuild flags: -Pyarn", [], "3.5.1"),
        ("", ["spark-core_2.12-3.5.9.jar"], "3.5.9"),
        ("", ["spark-core_2.12-3.3.2.3.3.7190.0-91.jar"], "3.3.2.3.3.7190.0-91"),
        ("", ["spark-core_2.13-4.0.0.jar", "other.jar"], "4.0.0"),
        ("nonsense", ["spark-sql_2.12-3.5.9.jar"], None),
    ],
)
def test_version(release: str, jars: list[str], version: str | None) -> None:
    assert spark_version(release, jars) == version


@pytest.mark.parametrize(
    ("version", "supported"),
    [("3.3.4", False), ("3.4.0", True), ("3.5.9", True), ("4.1.0", True), ("5.0.0", False), ("x", False)],
)
def test_supported_versions(version: str, supported: bool) -> None:
    assert is_supported(version) is supported


def test_a_usable_spark(tmp_path: Path) -> None:
    home = inspect_spark_home(str(make_home(tmp_path / "spark", jar="spark-core_2.12-3.5.9.jar")))
    assert (home.version, home.submit.name, home.jars.name) == ("3.5.9", "spark-submit", "jars")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: None, "is not a directory"),
        (lambda path: path.mkdir(), "no bin/spark-submit"),
        (make_home, "can't be told"),
        (
            lambda path: make_home(path, release="Spark 2.4.8 built for Hadoop 2.7"),
            "Spark 2.4.8 .* not supported",
        ),
        (lambda path: make_home(path, release="Spark 5.0.0"), "Spark 5.0.0 .* not supported"),
    ],
)
def test_an_unusable_spark_is_named(tmp_path: Path, make: object, says: str) -> None:
    path = tmp_path / "spark"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigurationError, match=says) as raised:
        inspect_spark_home(str(path))
    assert str(path) in raised.value.message
    assert "SPARK_HOME" in raised.value.message


def test_no_spark_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing() -> str:
        raise ValueError("Couldn't find Spark")

    monkeypatch.setattr("findspark.find", nothing)
    find_spark_home.cache_clear()
    with pytest.raises(ConfigurationError, match="SPARK_HOME is not set"):
        inspect_spark_home("")


def test_java_home_comes_first(tmp_path: Path) -> None:
    home = make_java(tmp_path / "java", 0)
    java = find_java({"JAVA_HOME": str(home), "PATH": "/usr/bin:/bin"})
    assert (java.executable, java.home) == (f"{home}/bin/java", str(home))


def test_then_the_path(tmp_path: Path) -> None:
    home = make_java(tmp_path / "java", 0)
    java = find_java({"PATH": f"{home}/bin"})
    assert (java.executable, java.home) == (f"{home}/bin/java", None)


def test_a_java_that_does_not_run_is_named_with_what_it_says(tmp_path: Path) -> None:
    home = make_java(tmp_path / "java", 3)
    with pytest.raises(ConfigurationError, match="exits with 3") as raised:
        find_java({"JAVA_HOME": str(home)})
    assert "some complaint" in str(raised.value)
    assert str(home) in raised.value.message


def test_a_java_home_without_java_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})


def test_no_java_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="There is no Java"):
        find_java({"PATH": str(tmp_path)})


def test_spark_defaults_are_where_spark_looks(tmp_path: Path) -> None:
    home = inspect_spark_home(str(make_home(tmp_path / "spark", release="Spark 3.5.9")))
    assert read_spark_defaults(home, {}) == ""
    (home.path / "conf").mkdir()
    (home.path / "conf" / "spark-defaults.conf").write_text("spark.a 1\n")
    assert read_spark_defaults(home, {}) == "spark.a 1\n"
    assert read_spark_defaults(home, {"SPARK_CONF_DIR": str(tmp_path)}) == ""


@pytest.mark.parametrize(
    ("jars", "wanted", "says"),
    [
        (["scala-library-2.12.18.jar"], "2.12", ""),
        (["scala-library-2.13.16.jar"], "", ""),
        ([], "", ""),
        (["scala-library-2.13.16.jar"], "2.12", "Spark 4.1.1 in {home} has Scala 2.13."),
        (["scala-library-2.12.18.jar"], "2.1", "Spark 4.1.1 in {home} has Scala 2.12."),
        (["spark-core_2.12-3.5.9.jar"], "2.12", "Spark 4.1.1 in {home} has no Scala library among its jars."),
    ],
)
def test_a_spark_for_another_scala_is_refused(
    tmp_path: Path, jars: list[str], wanted: str, says: str
) -> None:
    path = make_home(tmp_path / "spark", release="Spark 4.1.1 built for Hadoop 3.4.2")
    for jar in jars:
        (path / "jars" / jar).touch()
    home = inspect_spark_home(str(path))
    if not says:
        check_scala(home, wanted)
        return
    with pytest.raises(ConfigurationError) as caught:
        check_scala(home, wanted)
    needs = f"This kernel needs a Spark for Scala {wanted}, and "
    assert caught.value.message == needs + says.format(home=home.path)
    assert "SPARK_HOME" in caught.value.hint and ("docs/scala.md" in caught.value.hint) == (wanted == "2.12")
