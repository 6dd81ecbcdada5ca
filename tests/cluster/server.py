"""A stock Jupyter server in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.free_ports import free_port

from .conftest import LIMIT_S, until


@contextlib.asynccontextmanager
async def jupyter_server(
    log: Path, runtime: Path
) -> AsyncIterator[tuple[subprocess.Popen[bytes], Callable[[str, dict[str, str]], Any]]]:
    """A stock server with its own runtime directory, and a way to POST to it; what it said is printed."""
    environment = {**os.environ, "JUPYTER_RUNTIME_DIR": str(runtime)}
    port = free_port()
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0", "--IdentityProvider.token=secret"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=log.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"

    def ask(path: str, content: dict[str, str]) -> Any:
        headers = {"Authorization": "token secret", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/{path}", json.dumps(content).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                return json.load(answer)
        except OSError as error:
            return error

    def answers() -> bool:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            return False
        return True

    try:
        await until(answers, "the server answers")
        yield server, ask
    finally:
        server.kill()
        server.wait()
        print(log.read_text())
