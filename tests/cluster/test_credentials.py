"""On a cluster with Kerberos: whose ticket is used, what each fault says, and who may do what to a kernel."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from sparkkernels.cli.main import main as sparkkernels_command
from sparkkernels.cluster.access import Access
from sparkkernels.cluster.delegation_tokens import decode, fetch
from sparkkernels.cluster.hadoop_site import HadoopSite
from sparkkernels.cluster.homes import CREATE_COMMAND
from sparkkernels.cluster.yarn import YarnBackend
from sparkkernels.errors import ConfigurationError, CredentialsError, NotAllowed, SparkKernelError

from .conftest import Kernels, access, act_for, as_user, service, ticket
from .failed_start import refused_at_once
from .harness import Cluster
from .people import give_away, people

pytestmark = [pytest.mark.timeout(300)]

LINE = "what alice's driver wrote"
WHO = "print(sc._jvm.org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getUserName())"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[None]:
    """Unix accounts of a worker's, where containers run as their users."""
    with people(("alice",), "jupyter", tmp_path / "home"):
        yield


def backend_of(cluster: Cluster, name: str) -> YarnBackend:
    """The cluster as somebody has it who holds a keytab of their own."""
    return YarnBackend(str(cluster.conf_dir), os.environ.get("SPARK_HOME", ""), access=access(cluster, name))


def by_hand(cluster: Cluster, name: str) -> list[str]:
    """Options of the command line for somebody with a keytab of their own."""
    return ["--principal", cluster.principal(name), "--keytab", str(cluster.keytab(name))]


async def test_with_a_ticket_of_ones_own_the_kernel_is_that_user(
    secured: Cluster,
    secure_kernels: Kernels,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ticket(secured, tmp_path, monkeypatch, "alice")
    secured.hdfs_put("/user/bob/secret.txt", b"bob's", user="bob")
    async with secure_kernels() as notebook:
        assert (await notebook.ok(WHO)).stdout == "alice\n"
        await notebook.ok("spark.range(10).write.mode('overwrite').parquet('own.parquet')")
        refused = await notebook.run("spark.read.text('/user/bob/secret.txt').count()")
        assert "Permission denied: user=alice" in refused.evalue
        application_id = notebook.application_id
        [app] = [app for app in secured.applications() if app["id"] == application_id]
        assert app["user"] == "alice"
        conf = await notebook.ok(
            "print([sc.getConf().get(f'spark.{n}') for n in ('authenticate', 'acls.enable',"
            " 'network.crypto.enabled', 'ui.killEnabled')])"
        )
        assert conf.stdout == "['true', 'true', 'true', 'false']\n"
        # Somebody else can neither see its log nor end it.
        bob = as_user(secured, "bob")
        seen = bob.client.application(application_id)
        assert seen is not None and "amContainerLogs" not in seen
        with pytest.raises(NotAllowed):
            bob.client.kill(application_id)
        logs = urlsplit(app["amContainerLogs"])
        node = f"{logs.scheme}://{logs.netloc}/ws/v1/node/containers/{logs.path.split('/')[3]}/logs/stdout"
        answer = bob.client.get(node)
        assert not answer.ok and "User [bob] is not authorized" in answer.text
        assert (await notebook.ok("1 + 1")).value == "2"
        command = ["stop", application_id, *by_hand(secured, "bob")]
        assert await asyncio.to_thread(sparkkernels_command, command) == 1
        assert f"does not let bob end {application_id}, which is alice's" in capsys.readouterr().err
        assert await asyncio.to_thread(sparkkernels_command, ["list"]) == 0
        assert f"{application_id}  RUNNING" in capsys.readouterr().out
        assert (
            await asyncio.to_thread(sparkkernels_command, ["stop", notebook.provisioner.kernel_id[:8]]) == 0
        )
    status = secured.hdfs_status("/user/alice/own.parquet")
    assert status is not None and status["owner"] == "alice"


async def test_with_the_services_keytab_a_kernel_and_its_log_are_of_whom_it_acts_for(
    secured: Cluster,
    secure_kernels: Kernels,
    accounts: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    act_for(monkeypatch, secured, "alice")
    async with secure_kernels() as notebook:
        assert (await notebook.ok(WHO)).stdout == "alice\n"
        await notebook.ok(
            "spark.range(10).write.mode('overwrite').parquet('hdfs:///user/alice/acted.parquet')"
        )
        await notebook.restart()
        assert (await notebook.ok(WHO)).stdout == "alice\n"
        await notebook.ok(f"sc._jvm.System.err.println({LINE!r})")
        application_id = notebook.application_id
        # The service sees it without acting for anybody.
        own = as_user(secured, "jupyter").client.application(application_id)
        assert own is not None and own["user"] == "alice" and own["amContainerLogs"]
        alice, bob, jupyter = (backend_of(secured, name) for name in ("alice", "bob", "jupyter"))
        report = (await asyncio.to_thread(alice.report, [application_id]))[application_id]
        assert report.tracking_url.startswith(f"{secured.resource_manager_url}/proxy/")
        assert secured.resource_manager_url.startswith("https://")

        with pytest.raises(SparkKernelError, match="its files do not belong to the account alice") as caught:
            await asyncio.to_thread(alice.logs, application_id)
        assert "LinuxContainerExecutor" in caught.value.hint
        give_away(secured.log_directories(application_id), "alice")
        acting = await asyncio.to_thread(notebook.provisioner._backend)
        for backend in (alice, jupyter, acting):
            assert LINE in await asyncio.to_thread(backend.logs, application_id)
        with pytest.raises(NotAllowed, match=f"let bob see the log of {application_id}, which is alice's"):
            await asyncio.to_thread(bob.logs, application_id)

        tokens = await asyncio.to_thread(fetch, jupyter.site, "alice")
        [token] = decode(tokens.credentials).values()
        assert b"alice" in token.identifier and tokens.life_s > 80_000

        # Elsewhere, where the kernel's record is not.
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "elsewhere"))
        for name, code in (("alice", 0), ("jupyter", 0), ("bob", 1)):
            command = ["logs", application_id, *by_hand(secured, name)]
            assert await asyncio.to_thread(sparkkernels_command, command) == code
            said = capsys.readouterr()
            assert (LINE in said.out) == (code == 0)
            assert (f"not let bob see the log of {application_id}" in said.err) == (code == 1)
        command = ["stop", application_id, *by_hand(secured, "jupyter")]
        assert await asyncio.to_thread(sparkkernels_command, command) == 0
    status = secured.hdfs_status("/user/alice/acted.parquet")
    assert status is not None and status["owner"] == "alice"


@pytest.mark.parametrize("user", ["carol", "dave"])
async def test_whom_the_cluster_does_not_let_us_act_for(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    act_for(monkeypatch, secured, user)
    error = await refused_at_once(secured, tmp_path)
    assert isinstance(error, NotAllowed)
    assert f"does not allow {secured.principal('jupyter')} to act for {user}." in error.message


async def test_no_ticket_and_one_that_ran_out_say_which_kinit_to_run(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = await refused_at_once(secured, tmp_path)
    assert isinstance(error, CredentialsError) and "has no Kerberos ticket" in error.message
    assert "kinit" in error.hint
    ticket(secured, tmp_path, monkeypatch, "alice", lifetime="2s")
    time.sleep(2.1)
    error = await refused_at_once(secured, tmp_path)
    assert isinstance(error, CredentialsError) and "has run out" in error.message
    assert error.hint.endswith(f"kinit {secured.principal('alice')}")


async def test_wrong_keytabs(secured: Cluster, tmp_path: Path) -> None:
    mine: dict[str, Any] = {**service(secured), "allow_shared_server": ["service_account"]}
    unreadable = tmp_path / "not-there.keytab"
    stale = tmp_path / "stale.keytab"
    key = secured.keytab("jupyter").read_bytes()
    stale.write_bytes(key[:-40] + bytes(byte ^ 0xFF for byte in key[-40:]))
    for changes, words in (
        ({"keytab": str(secured.keytab("bob"))}, "has no key of jupyter/localhost"),
        ({"keytab": str(unreadable)}, "There is no keytab"),
        ({"keytab": "relative.keytab"}, "is no absolute path"),
        ({"principal": "jupyter; rm -rf /"}, "is no Kerberos principal"),
    ):
        error = await refused_at_once(secured, tmp_path, **{**mine, **changes})
        assert isinstance(error, CredentialsError | ConfigurationError)
        assert words in error.message


@pytest.mark.parametrize("offset", ["+2h", "-2h"])
def test_a_clock_that_is_wrong_is_told(secured: Cluster, tmp_path: Path, offset: str) -> None:
    cache = tmp_path / "ticket-alice"
    secured.kinit("alice", cache)
    code = (
        "import os, sys\n"
        "from sparkkernels.cluster.hadoop_site import Access, HadoopSite\n"
        "from sparkkernels.errors import CredentialsError\n"
        "access = Access(ca_file=os.environ['SPARKKERNELS_CA_FILE'])\n"
        "try:\n    HadoopSite(os.environ['HADOOP_CONF_DIR'], access=access).client.check()\n"
        "except CredentialsError as error:\n    print(error.message, error.hint)\n"
    )
    done = subprocess.run(
        ["faketime", "-f", offset, sys.executable, "-c", code],
        env={**os.environ, "KRB5CCNAME": f"FILE:{cache}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "the clocks of this host and of the KDC differ too much" in done.stdout, done.stderr
    assert "Set this host's clock" in done.stdout


async def test_a_missing_home_names_the_administrators_command(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket(secured, tmp_path, monkeypatch, "dave")
    error = await refused_at_once(secured, tmp_path)
    assert isinstance(error, ConfigurationError)
    assert error.message.startswith("The user dave has no home directory")
    assert error.hint.endswith(f"{CREATE_COMMAND} dave")


async def test_homes_are_made_by_hdfs_superuser_and_by_nobody_else(
    secured: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticket(secured, tmp_path, monkeypatch, "alice")
    assert sparkkernels_command(["homes", "create", "carol"]) == 1
    assert "only a superuser of HDFS" in capsys.readouterr().err
    ticket(secured, tmp_path, monkeypatch, "hdfs")
    assert sparkkernels_command(["homes", "create", "carol", "--quota", "1G"]) == 0
    assert sparkkernels_command(["homes", "create", "carol"]) == 0
    assert capsys.readouterr().out == "carol: home created\ncarol: is as it should be\n"
    status = secured.hdfs_status("/user/carol")
    assert status is not None and (status["owner"], status["permission"]) == ("carol", "700")
    assert sparkkernels_command(["homes", "check", "carol", "erin"]) == 1
    assert capsys.readouterr().out == "erin has no home: there is no /user/erin.\n"
    try:
        ticket(secured, tmp_path, monkeypatch, "carol")
        site = HadoopSite(str(secured.conf_dir), access=Access(ca_file=str(secured.ca_file)))
        site.file_system().set_mode("/user/carol", 0o500)
        error = await refused_at_once(secured, tmp_path)
        assert isinstance(error, NotAllowed) and "may not write" in error.message
    finally:
        secured.hdfs_delete("/user/carol")
