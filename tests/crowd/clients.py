"""Clients of many kernels, in a process that is not the server's: what they get, and how soon."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio
from jupyter_client.session import Session

#: Seconds between two cells of one client, each after a heartbeat.
CELL_EVERY_S = 1.0
LIMIT_S = 60.0


@dataclass
class Heard:
    """What all clients have got together.

    Attributes
    ----------
    heartbeats, replies : list of float
        Seconds of each round trip.
    outputs : int
        Lines that kernels printed.
    kernels : set of str
        Connection files of those that answered.
    """

    heartbeats: list[float] = field(default_factory=list)
    replies: list[float] = field(default_factory=list)
    outputs: int = 0
    kernels: set[str] = field(default_factory=set)


class Client:
    """A client of one kernel.

    Parameters
    ----------
    context : zmq.asyncio.Context
    path : Path
        The kernel's connection file.
    heard : Heard
        Where its figures go.
    """

    def __init__(self, context: zmq.asyncio.Context, path: Path, heard: Heard) -> None:
        self._info: dict[str, Any] = json.loads(path.read_text())
        self._name = path.name
        self._heard = heard
        self._messages = Session(key=self._info["key"].encode())
        self._keys = zmq.curve_keypair()
        self._sockets = {
            "shell": self._connect(context, "shell", zmq.DEALER),
            "iopub": self._connect(context, "iopub", zmq.SUB),
            "hb": self._connect(context, "hb", zmq.REQ),
        }
        self._sockets["iopub"].subscribe(b"")

    def _connect(self, context: zmq.asyncio.Context, channel: str, kind: int) -> zmq.asyncio.Socket:
        made = context.socket(kind)
        made.linger = 0
        if "curve_publickey" in self._info:
            made.curve_publickey, made.curve_secretkey = self._keys
            made.curve_serverkey = self._info["curve_publickey"].encode()
        made.connect(f"tcp://127.0.0.1:{self._info[f'{channel}_port']}")
        return made

    async def run(self) -> None:
        """Talk, until it is cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            await asyncio.sleep(random.random() * CELL_EVERY_S)
            while True:
                await self._beat()
                await self._run_cell()
                await asyncio.sleep(CELL_EVERY_S)
        finally:
            listening.cancel()
            for made in self._sockets.values():
                made.close()

    async def _beat(self) -> None:
        begun = time.perf_counter()
        await self._sockets["hb"].send(b"ping")
        async with asyncio.timeout(LIMIT_S):  # in 3.11 wait_for may swallow the cancellation that ends this
            await self._sockets["hb"].recv()
        self._heard.heartbeats.append(time.perf_counter() - begun)

    async def _run_cell(self) -> None:
        begun = time.perf_counter()
        request = self._messages.msg("execute_request", {"code": "", "silent": False})
        await self._sockets["shell"].send_multipart(self._messages.serialize(request))
        async with asyncio.timeout(LIMIT_S):
            answer = await self._sockets["shell"].recv_multipart()
        _, parts = self._messages.feed_identities(answer)
        reply = self._messages.deserialize(parts)
        assert reply["parent_header"]["msg_id"] == request["header"]["msg_id"]
        self._heard.replies.append(time.perf_counter() - begun)
        self._heard.kernels.add(self._name)

    async def _listen(self) -> None:
        while True:
            parts = await self._sockets["iopub"].recv_multipart()
            if parts[0].endswith(b"stream"):
                self._heard.outputs += 1


async def talk(paths: list[Path], seconds: float) -> Heard:
    """Have clients of all these kernels talk to them for so many seconds, and until each has answered."""
    heard = Heard()
    deadline = time.monotonic() + LIMIT_S
    context = zmq.asyncio.Context()
    context.set(zmq.MAX_SOCKETS, 20000)
    tasks = [asyncio.create_task(Client(context, path, heard).run()) for path in paths]
    try:
        while seconds > 0 and time.monotonic() < deadline:
            done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
            seconds = 1.0 if len(heard.kernels) < len(paths) else 0.0
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        context.destroy(linger=0)
    return heard
