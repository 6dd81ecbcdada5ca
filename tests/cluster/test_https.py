"""A cluster that speaks HTTPS only: with its authority all works, and without it nothing is begun."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sparkkernels.cli.main import main as sparkkernels_command
from sparkkernels.cluster.access import Access
from sparkkernels.cluster.delegation_tokens import decode, fetch
from sparkkernels.cluster.fs_shell import FsShell
from sparkkernels.cluster.hadoop_site import HadoopSite
from sparkkernels.cluster.webhdfs import WebHdfs
from sparkkernels.cluster.yarn import YarnBackend
from sparkkernels.errors import (
    ConfigurationError,
    NotAllowed,
    ResourceManagerUnavailable,
    SparkKernelError,
)

from .conftest import SHARED_STAGING, Kernels, access, act_for, as_user, ticket
from .failed_start import refused_at_once
from .harness import Cluster
from .people import give_away, people

pytestmark = [pytest.mark.timeout(300)]

LINE = "what alice's driver wrote"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[None]:
    """Unix accounts of a worker's, where containers run as their users."""
    with people(("alice",), "jupyter", tmp_path / "home"):
        yield


def backend_of(cluster: Cluster, name: str) -> YarnBackend:
    """The cluster as somebody has it who holds a keytab of their own."""
    return YarnBackend(str(cluster.conf_dir), os.environ.get("SPARK_HOME", ""), access=access(cluster, name))


async def test_a_kernels_life_and_its_log(
    secured: Cluster,
    secure_kernels: Kernels,
    accounts: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act_for(monkeypatch, secured, "alice")
    async with secure_kernels() as notebook:
        await notebook.ok(f"sc._jvm.System.err.println({LINE!r})")
        application_id = notebook.application_id
        alice, bob, service = (backend_of(secured, name) for name in ("alice", "bob", "jupyter"))
        report = (await asyncio.to_thread(alice.report, [application_id]))[application_id]
        assert report.tracking_url.startswith(f"{secured.resource_manager_url}/proxy/")
        assert secured.resource_manager_url.startswith("https://")

        with pytest.raises(SparkKernelError, match="its files do not belong to the account alice") as caught:
            await asyncio.to_thread(alice.logs, application_id)
        assert "LinuxContainerExecutor" in caught.value.hint
        give_away(secured.log_directories(application_id), "alice")
        acting = await asyncio.to_thread(notebook.provisioner._backend)
        for backend in (alice, service, acting):
            assert LINE in await asyncio.to_thread(backend.logs, application_id)
        with pytest.raises(NotAllowed, match=f"let bob see the log of {application_id}, which is alice's"):
            await asyncio.to_thread(bob.logs, application_id)

        tokens = await asyncio.to_thread(fetch, service.site, "alice")
        [token] = decode(tokens.credentials).values()
        assert b"alice" in token.identifier and tokens.life_s > 80_000

        # Elsewhere, where the kernel's record is not.
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "elsewhere"))
        for name, code in (("alice", 0), ("jupyter", 0), ("bob", 1)):
            by_hand = ["--principal", secured.principal(name), "--keytab", str(secured.keytab(name))]
            command = ["logs", application_id, *by_hand]
            assert await asyncio.to_thread(sparkkernels_command, command) == code
            said = capsys.readouterr()
            assert (LINE in said.out) == (code == 0)
            assert (f"not let bob see the log of {application_id}" in said.err) == (code == 1)
        await asyncio.to_thread(service.kill, application_id)


def test_staging_and_homes(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticket(secured, tmp_path, monkeypatch, "hdfs")
    with caplog.at_level(logging.WARNING):
        assert sparkkernels_command(["stage", "--staging-dir", SHARED_STAGING]) == 0
        assert sparkkernels_command(["homes", "check", "alice", "bob"]) == 0
        files = as_user(secured, "alice").file_system()
    assert isinstance(files, WebHdfs) and caplog.text == ""
    source = tmp_path / "hers.txt"
    source.write_text("hers")
    files.upload(source, "/user/alice/hers.txt", 0o600)  # through a DataNode, which has its own certificate
    status = files.status("/user/alice/hers.txt")
    assert status is not None and (status.owner, status.mode) == ("alice", 0o600)
    files.delete("/user/alice/hers.txt")


async def test_without_its_authority_nothing_is_submitted(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket(secured, tmp_path, monkeypatch, "alice")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for ca_file in ("", str(secured.other_ca_file)):
        monkeypatch.setenv("SPARKKERNELS_CA_FILE", ca_file)
        error = await refused_at_once(secured, tmp_path)
        assert isinstance(error, ResourceManagerUnavailable)
        assert error.message.startswith("The HTTPS certificate of the YARN ResourceManager is not trusted:")
        assert secured.resource_manager_url in error.message and "c.SparkProvisioner.ca_file" in error.hint
    for ca_file, words in (
        (str(tmp_path / "not-there.pem"), "There is no ca_file"),
        (str(empty), "holds no certificate of an authority"),
    ):
        monkeypatch.setenv("SPARKKERNELS_CA_FILE", ca_file)
        error = await refused_at_once(secured, tmp_path)
        assert isinstance(error, ConfigurationError) and words in error.message


async def test_nor_where_the_certificate_is_for_another_host(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticket(secured, tmp_path, monkeypatch, "alice")
    wrong = tmp_path / "conf"
    shutil.copytree(secured.conf_dir, wrong)
    for name in ("yarn-site.xml", "hdfs-site.xml"):
        text = (wrong / name).read_text()
        (wrong / name).write_text(text.replace("<value>localhost:", "<value>127.0.0.1:"))
    error = await refused_at_once(secured, tmp_path, hadoop_conf_dir=str(wrong))
    assert isinstance(error, ResourceManagerUnavailable)
    assert error.message.startswith("The HTTPS certificate of the YARN ResourceManager is not trusted:")
    assert "address mismatch, certificate is not valid for '127.0.0.1'" in error.diagnostics
    assert "must be names that the certificates were made for" in error.hint
    # HDFS can be had without its web service, but tokens can't.
    site = HadoopSite(str(wrong), access=Access(ca_file=str(secured.ca_file)))
    assert isinstance(site.file_system(), FsShell)
    said = f"The HTTPS certificate of WebHDFS at {site.conf.webhdfs()[0]} is not trusted: IP address mismatch"
    assert said in caplog.text
    with pytest.raises(SparkKernelError) as caught:
        fetch(site, None)
    assert caught.value.message.startswith(said)
