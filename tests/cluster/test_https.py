"""A cluster that speaks HTTPS only: with its authority all works, and without it nothing is begun."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from sparkkernels.cli.main import main as sparkkernels_command
from sparkkernels.cluster.access import Access
from sparkkernels.cluster.delegation_tokens import fetch
from sparkkernels.cluster.fs_shell import FsShell
from sparkkernels.cluster.hadoop_site import HadoopSite
from sparkkernels.cluster.webhdfs import WebHdfs
from sparkkernels.errors import (
    ConfigurationError,
    ResourceManagerUnavailable,
    SparkKernelError,
)

from .conftest import SHARED_STAGING, as_user, ticket
from .failed_start import refused_at_once
from .harness import Cluster

pytestmark = [pytest.mark.timeout(300)]


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
