"""A person's own Jupyter: starts a kernel, runs the lines that it reads, and goes without ending the kernel.

Run by itself, by a Python that has the product: ``person.py KERNELSPEC``. Each answer is a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from jupyter_client.manager import KernelManager

LIMIT_S = 120.0


def say(**content: Any) -> None:
    """Answer."""
    print(json.dumps(content), flush=True)


def value_of(client: Any, code: str) -> str:
    """The value of an expression."""
    cell = f"it = {code}"
    reply = client.execute_interactive(cell, user_expressions={"it": "it"}, timeout=LIMIT_S)
    result = reply["content"]["user_expressions"]["it"]
    return str(result["data"]["text/plain"] if result["status"] == "ok" else result["evalue"])


def main(kernel_name: str) -> None:
    """Start and serve."""
    manager = KernelManager(kernel_name=kernel_name)
    try:
        manager.start_kernel()
    except Exception as error:  # noqa: BLE001 whoever started this wants to know
        say(error=type(error).__name__, text=str(error))
        return
    client = manager.client()
    client.start_channels()
    client.wait_for_ready(timeout=LIMIT_S)
    provisioner: Any = manager.provisioner
    say(application_id=provisioner.application_id, uid=os.getuid())
    for line in sys.stdin:
        say(value=value_of(client, line.strip()))
    client.stop_channels()


if __name__ == "__main__":
    main(sys.argv[1])
