"""`jupyter sparkkernels install`: what it writes, what it refuses, and that nothing is ever half-written."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

from sparkkernels.cli.main import main

KERNELS = Path("share") / "jupyter" / "kernels"


def install(prefix: Path, *arguments: str) -> int:
    return main(["install", "--prefix", str(prefix), *arguments])


def read(prefix: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((prefix / KERNELS / name / "kernel.json").read_text())
    return content


def files_below(directory: Path) -> list[Path]:
    return sorted(path for path in directory.rglob("*") if not path.is_dir())


def test_a_yarn_spec_is_what_jupyter_client_expects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--master", "yarn", "--python", "/opt/py/bin/python", "--queue", "a.b", "--env", "X=1=2"]
    assert install(tmp_path, *arguments, "--conf", "spark.executor.memory=2g", "--conf", "spark.x=") == 0
    assert read(tmp_path, "spark-python-yarn") == {
        "argv": ["/opt/py/bin/python", "-m", "sparkkernels_python", "-f", "{connection_file}"],
        "display_name": "Python (Spark on YARN)",
        "language": "python",
        "interrupt_mode": "signal",
        "kernel_protocol_version": "5.5",
        "env": {"X": "1=2"},
        "metadata": {
            "debugger": True,
            "supported_encryption": ["curve"],
            "kernel_provisioner": {
                "provisioner_name": "spark-provisioner",
                "config": {
                    "master": "yarn",
                    "python": "/opt/py/bin/python",
                    "spark_conf": {"spark.executor.memory": "2g", "spark.x": ""},
                    "queue": "a.b",
                },
            },
        },
    }
    out = capsys.readouterr().out
    assert str(tmp_path / KERNELS / "spark-python-yarn" / "kernel.json") in out
    assert "jupyter sparkkernels stage" in out


def test_a_local_spec_names_this_python_and_the_provisioner_is_found(tmp_path: Path) -> None:
    assert (
        install(tmp_path, "--master", "local[*]", "--name", "my.kernel-1", "--display-name", "Größe 1") == 0
    )
    spec = read(tmp_path, "my.kernel-1")
    assert spec["argv"][0] == sys.executable
    assert spec["metadata"]["kernel_provisioner"]["config"] == {
        "master": "local[*]",
        "python": sys.executable,
        "spark_conf": {},
    }
    manager = KernelSpecManager(kernel_dirs=[str(tmp_path / KERNELS)])
    found: KernelSpec = manager.get_kernel_spec("my.kernel-1")  # raises when the provisioner is unknown
    assert found.display_name == "Größe 1"


def test_the_file_can_be_read_by_those_the_umask_allows(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        assert install(tmp_path, "--master", "yarn") == 0
    finally:
        os.umask(before)
    path = tmp_path / KERNELS / "spark-python-yarn" / "kernel.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_user_is_the_default_and_follows_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    assert main(["install", "--master", "yarn"]) == 0
    assert main(["install", "--master", "yarn", "--user", "--name", "second"]) == 0
    assert [path.parent.name for path in files_below(tmp_path / "data" / "kernels")] == [
        "second",
        "spark-python-yarn",
    ]


def test_a_spec_of_ours_is_replaced(tmp_path: Path) -> None:
    assert install(tmp_path, "--master", "yarn", "--conf", "spark.a=1") == 0
    assert install(tmp_path, "--master", "yarn", "--conf", "spark.b=2") == 0
    config = read(tmp_path, "spark-python-yarn")["metadata"]["kernel_provisioner"]["config"]
    assert config["spark_conf"] == {"spark.b": "2"}
    assert len(files_below(tmp_path)) == 1


@pytest.mark.parametrize("content", ['{"argv": ["python"], "metadata": {}}', "no json", "[]"])
def test_a_spec_of_another_kernel_is_not(
    tmp_path: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = tmp_path / KERNELS / "python3"
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(content)
    assert install(tmp_path, "--master", "yarn", "--name", "python3") == 2
    assert "another kind of kernel" in one_line(capsys)
    assert (directory / "kernel.json").read_text() == content


def test_a_full_disk_leaves_the_old_spec(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert install(tmp_path, "--master", "yarn", "--conf", "spark.a=1") == 0
    before = read(tmp_path, "spark-python-yarn")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    capsys.readouterr()
    assert install(tmp_path, "--master", "yarn", "--conf", "spark.b=2") == 1
    assert "No space left on device" in one_line(capsys)
    assert install(tmp_path, "--master", "yarn", "--name", "other") == 1
    assert read(tmp_path, "spark-python-yarn") == before
    assert len(files_below(tmp_path)) == 1
    assert not (tmp_path / KERNELS / "other").exists()


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, with nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


BAD = [
    ([], "--master"),
    (["--master", "mesos"], "mesos"),
    (["--master", "local[0]"], "local[0]"),
    (["--master", "local[*] "], "local[*] "),
    (["--master", "yarn\n"], "yarn"),
    (["--master", "yarn", "--language", "haskell"], "python"),
    (["--master", "yarn", "--language", ""], "launcher"),
    (["--master", "yarn", "--name", "Grün"], "kernel name"),
    (["--master", "yarn", "--name", ""], "kernel name"),
    (["--master", "yarn", "--name", "../up"], "kernel name"),
    (["--master", "yarn", "--name", ".hidden"], "kernel name"),
    (["--master", "yarn", "--name", "Upper"], "kernel name"),
    (["--master", "yarn", "--display-name", " "], "--display-name"),
    (["--master", "yarn", "--display-name", "two\nlines"], "--display-name"),
    (["--master", "yarn", "--queue", "a b"], "a b"),
    (["--master", "yarn", "--queue", ""], "queue"),
    (["--master", "local[2]", "--queue", "default"], "--queue"),
    (["--master", "yarn", "--conf", "spark.x"], "NAME=VALUE"),
    (["--master", "yarn", "--conf", "=1"], "NAME=VALUE"),
    (["--master", "yarn", "--conf", "hadoop.x=1"], "hadoop.x"),
    (["--master", "yarn", "--conf", "spark.x y=1"], "spark.x y"),
    (["--master", "yarn", "--conf", "spark.x=a\nb"], "line break"),
    (["--master", "yarn", "--conf", "spark.x=1", "--conf", "spark.x=2"], "twice"),
    (["--master", "yarn", "--conf", "spark.master=local"], "spark.master"),
    (["--master", "yarn", "--conf", "spark.submit.deployMode=client"], "spark.submit.deployMode"),
    (["--master", "yarn", "--env", "X"], "NAME=VALUE"),
    (["--master", "yarn", "--env", "1X=2"], "1X"),
    (["--master", "yarn", "--python", ""], "--python"),
    (["--master", "yarn", "--python", "/a\nb"], "--python"),
    (["--master", "local[*]", "--python", "/nowhere/python"], "/nowhere/python"),
    (["--master", "local[*]", "--python", "/"], "executable"),
    (["--master", "local[*]", "--python", "/bin/true"], "/bin/true"),
    (["--master", "local[*]", "--python", "/bin/false"], "/bin/false"),
    (["--master", "yarn", "--user"], "not allowed with"),
    (["--master", "yarn", "--pyth", "x"], "--pyth"),
    (["--master", "yarn", "stray"], "stray"),
]


@pytest.mark.parametrize(("arguments", "named"), BAD, ids=lambda value: " ".join(value) if value else "-")
def test_bad_input_gets_one_line_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], named: str
) -> None:
    assert install(tmp_path, *arguments) == 2
    assert named in one_line(capsys)
    assert list(tmp_path.iterdir()) == []


def test_a_python_without_ipykernel_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho '[[3, 9], false]'\n")
    python.chmod(0o755)
    assert install(tmp_path / "p", "--master", "local[*]", "--python", str(python)) == 2
    assert "pip install ipykernel" in one_line(capsys)
    python.write_text("#!/bin/sh\necho '[[3, 7], true]'\n")
    assert install(tmp_path / "p", "--master", "local[*]", "--python", str(python)) == 2
    assert "3.7" in one_line(capsys)
    assert not (tmp_path / "p").exists()


def test_an_r_kernel_names_its_launcher_and_promises_no_encryption(tmp_path: Path) -> None:
    assert install(tmp_path, "--language", "r", "--master", "yarn", "--python", "python3") == 0
    spec = read(tmp_path, "spark-r-yarn")
    assert spec["argv"] == ["python3", "-m", "sparkkernels_r", "-f", "{connection_file}"]
    assert (spec["language"], spec["display_name"]) == ("R", "R (Spark on YARN)")
    assert set(spec["metadata"]) == {"kernel_provisioner"}


@pytest.mark.parametrize(
    ("script", "hint"),
    [(None, "r-base-core"), ("exit 1", "r-base-core"), ("echo FALSE", "IRkernel"), ("printf TRUE", "")],
)
def test_a_local_r_kernel_needs_r_and_irkernel(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    script: str | None,
    hint: str,
) -> None:
    if script is not None:
        (tmp_path / "R").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "R").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    code = install(tmp_path / "p", "--language", "r", "--master", "local[1]")
    assert code == (2 if hint else 0)
    if hint:
        assert hint in one_line(capsys)
    assert (tmp_path / "p").exists() != bool(hint)


@pytest.fixture
def scala(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The parts of a Scala kernel where Python would find them, and a Spark for it."""
    parts = tmp_path / "parts"
    for path in (
        *("toree/__init__.py", "toree/lib/toree-assembly-0.5.0-incubating.jar"),
        *("sparkkernels_scala/__init__.py", "sparkkernels_scala/host.jar"),
        *("spark/bin/spark-submit", "spark/jars/spark-core_2.12-3.5.9.jar"),
        "spark/jars/scala-library-2.12.18.jar",
    ):
        (parts / path).parent.mkdir(parents=True, exist_ok=True)
        (parts / path).write_text("raise ImportError" if path.endswith(".py") else "")
        (parts / path).chmod(0o755)
    monkeypatch.setenv("SPARK_HOME", str(parts / "spark"))
    monkeypatch.syspath_prepend(str(parts))
    for name in ("toree", "sparkkernels_scala"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return parts


def test_a_scala_kernel_names_its_jars_and_what_they_were_built_for(tmp_path: Path, scala: Path) -> None:
    arguments = ["--language", "scala", "--python", "python3", "--conf", "spark.a=1"]
    for master, name in (("yarn", "spark-scala-yarn"), ("local[2]", "spark-scala-local")):
        assert install(tmp_path / "p", *arguments, "--master", master) == 0
        spec = read(tmp_path / "p", name)
        assert spec["argv"] == ["python3", "-m", "sparkkernels_scala", "-f", "{connection_file}"]
        assert (spec["language"], spec["display_name"].split()[0]) == ("scala", "Scala")
        assert spec["metadata"].keys() == {"kernel_provisioner"}
        config = spec["metadata"]["kernel_provisioner"]["config"]
        assert config["jars"] == [
            str(scala / "toree" / "lib" / "toree-assembly-0.5.0-incubating.jar"),
            str(scala / "sparkkernels_scala" / "host.jar"),
        ]
        assert config["scala_version"] == "2.12"
        assert config["spark_conf"]["spark.a"] == "1" and "spark.repl.class.outputDir" in config["spark_conf"]


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("toree/lib/toree-assembly-0.5.0-incubating.jar", "sparkkernels[scala]"),
        ("sparkkernels_scala/host.jar", "Install Maven"),
        ("spark/jars/scala-library-2.12.18.jar", "has Scala 2.13"),
    ],
)
def test_what_a_scala_kernel_lacks_is_said_and_nothing_written(
    tmp_path: Path, scala: Path, capsys: pytest.CaptureFixture[str], missing: str, says: str
) -> None:
    (scala / missing).rename((scala / missing).with_name("scala-library-2.13.16.jar"))
    assert install(tmp_path / "p", "--language", "scala", "--master", "yarn") == 2
    assert says in one_line(capsys)
    assert not (tmp_path / "p").exists()


def test_a_relative_local_python_is_made_absolute_and_not_resolved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    (tmp_path / "bin" / "python").chmod(0o755)
    (tmp_path / "link").symlink_to("bin")
    monkeypatch.chdir(tmp_path)
    assert install(tmp_path, "--master", "local[1]", "--python", "link/python") == 0
    assert read(tmp_path, "spark-python-local")["argv"][0] == str(tmp_path / "link" / "python")


def test_a_place_that_cant_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert install(tmp_path / "file", "--master", "yarn") == 1
    assert "can't be written" in one_line(capsys)
    assert main(["install", "--master", "yarn", "--prefix", ""]) == 2
    assert "--prefix" in one_line(capsys)


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sparkkernels.cli", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_command_in_a_process(tmp_path: Path) -> None:
    done = command("install", "--master", "yarn", "--user", JUPYTER_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "kernels" / "spark-python-yarn" / "kernel.json").is_file()
    bad = command("install", "--master", "yarn", "--conf", "x", JUPYTER_DATA_DIR=str(tmp_path))
    assert (bad.returncode, bad.stdout, bad.stderr.count("\n")) == (2, "", 1)
    assert command("--version").stdout.startswith("sparkkernels 0.")
    none = command()
    assert (none.returncode, none.stderr.count("\n")) == (2, 1)
