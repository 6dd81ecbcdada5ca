"""Somebody else on the same hosts, at every door of alice's kernel: Spark's page, driver, gateways."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
import zmq

from sparkkernels.cluster.hadoop_site import HadoopSite

from .conftest import Kernels, access
from .harness import Cluster
from .notebook import Notebook

pytestmark = [pytest.mark.timeout(300)]

#: What only the notebook's owner may see; it is in the environment page, a job's description and the output.
SECRET = "7f3a-alices-own-figures"
#: What a stranger may try to have of a port that answers, in seconds.
PATIENCE_S = 3.0

#: Asks a driver's RPC port for an endpoint, as Spark's own executors do, without the application's secret.
INTRUDER = """
import sys
from pyspark import SparkConf, SparkContext
conf = SparkConf().setMaster("local[1]").set("spark.ui.enabled", "false").set("spark.rpc.lookupTimeout", "5s")
sc = SparkContext(conf=conf.set("spark.driver.bindAddress", "127.0.0.1").set("spark.rpc.askTimeout", "5s"))
address = sc._jvm.org.apache.spark.rpc.RpcAddress(sys.argv[1], int(sys.argv[2]))
for endpoint in ("CoarseGrainedScheduler", "HeartbeatReceiver", "MapOutputTracker"):
    try:
        sc._jvm.org.apache.spark.SparkEnv.get().rpcEnv().setupEndpointRef(address, endpoint)
        print("IN", endpoint)
    except Exception as error:
        print("OUT", endpoint, type(error).__name__)
"""


async def test_a_stranger_gets_nothing_at_any_door(
    secured: Cluster, secure_kernels: Kernels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secured.kinit("alice", tmp_path / "ticket-alice")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path / 'ticket-alice'}")
    async with secure_kernels(spark_conf={"spark.alices.own": SECRET}) as notebook:
        await notebook.ok(f"sc.setJobDescription({SECRET!r}); spark.range(10).count()")
        ui = urlsplit(notebook.provisioner._link.context.ui)
        container = notebook.provisioner._link.container.pid
        printing = asyncio.ensure_future(
            notebook.ok(f"import time\nfor _ in range(40):\n    print({SECRET!r}); time.sleep(.2)")
        )
        await asyncio.to_thread(look_at_every_port, notebook, container)
        await asyncio.to_thread(look_at_the_page, secured, ui.port, notebook.application_id)
        await printing
        driver = (await notebook.ok("print(sc.getConf().get('spark.driver.port'))")).stdout.strip()
        said = await asyncio.to_thread(intrude, tmp_path, str(ui.hostname), driver)
        assert said.count("OUT") == 3 and "IN" not in said, said
        assert (await notebook.ok("spark.range(10).count()")).value == "10"


def look_at_every_port(notebook: Notebook, supervisor: int) -> None:
    """Every TCP port of the application's processes, asked in each protocol that one of them speaks."""
    process = psutil.Process(supervisor)
    family = [*process.parents()[:1], process, *process.children(recursive=True)]
    doors = sorted({door for member in family for door in listening(member)})
    assert len(doors) > 6, "the application's processes were not found"
    knocks = (
        b"c\nt\nrj\ne\n",  # py4j: call on the entry point
        b"GET /environment/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL" + b"\x00" * 48,  # ZeroMQ's greeting, NULL
    )
    with ThreadPoolExecutor(16) as pool:
        heard = [
            *pool.map(lambda both: ask(*both), itertools.product(doors, knocks)),
            *pool.map(overhear, doors),
        ]
    assert not [answer for answer in heard if SECRET.encode() in answer]


def listening(process: psutil.Process) -> Iterator[int]:
    """The TCP ports a process listens on."""
    with contextlib.suppress(psutil.Error):
        for found in process.net_connections("tcp"):
            if found.status == psutil.CONN_LISTEN:
                yield found.laddr.port


def ask(port: int, knock: bytes, patience_s: float = PATIENCE_S) -> bytes:
    """Whatever a port answers to somebody from another address of this host's loopback."""
    answer = b""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(
            ("127.0.0.1", port), patience_s, source_address=("127.0.0.2", 0)
        ) as stranger,
    ):
        stranger.sendall(knock)
        while data := stranger.recv(65536):
            answer += data
    return answer


def overhear(port: int) -> bytes:
    """What a ZeroMQ subscriber to everything gets."""
    context = zmq.Context()
    stranger = context.socket(zmq.SUB)
    try:
        stranger.setsockopt(zmq.SUBSCRIBE, b"")
        stranger.connect(f"tcp://127.0.0.1:{port}")
        return b"".join(stranger.recv_multipart()) if stranger.poll(600) else b""
    finally:
        context.destroy(linger=0)


def look_at_the_page(cluster: Cluster, port: int | None, application_id: str) -> None:
    """Spark's page: sent to the ResourceManager's proxy, which wants Kerberos, where bob is not alice."""
    assert port is not None
    direct = ask(port, b"GET /environment/ HTTP/1.0\r\nCookie: proxy-user=alice\r\n\r\n", 30)
    assert b" 302 " in direct.splitlines()[0] and SECRET.encode() not in direct
    [app] = [app for app in cluster.applications() if app["id"] == application_id]
    page = f"{app['trackingUrl']}environment/"
    for name, allowed in (("alice", True), ("bob", False)):
        site = HadoopSite(str(cluster.conf_dir), access=access(cluster, name))
        answer = site.session().get(page, timeout=20)
        assert (SECRET in answer.text) == allowed, (name, answer.status_code, answer.text[:500])
        assert answer.ok == allowed


def intrude(directory: Path, host: str, port: str) -> str:
    """What Spark's own client, without the secret, gets of a driver."""
    script = directory / "intruder.py"
    script.write_text(INTRUDER)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("HADOOP_CONF_DIR", "YARN_CONF_DIR")
    }
    done = subprocess.run(
        [sys.executable, str(script), host, port],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout
