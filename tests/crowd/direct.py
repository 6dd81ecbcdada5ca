"""The fleet's kernels on a server without this package: what two hundred kernels cost any Jupyter server.

Loaded as a server's extension it makes :class:`DirectProvisioner` known, which tells the server's clients the
ports of a kernel of the fleet: no relay, no YARN, no encryption, as for a local kernel.
"""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.factory import KernelProvisionerFactory
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase
from traitlets import Unicode

from .fleet import LOOK_EVERY_S

NAME = "direct-provisioner"


class DirectProvisioner(KernelProvisionerBase):
    """One kernel of the fleet."""

    inbox = Unicode(config=True, help="The fleet's directory for requests.")
    _runs = False

    @property
    def has_process(self) -> bool:
        """Whether it was started and has not ended."""
        return self._runs

    async def poll(self) -> int | None:
        """None while it runs."""
        return None if self._runs else 0

    async def wait(self) -> int | None:
        """It ends when it is asked to."""
        return 0

    async def send_signal(self, signum: int) -> None:
        """Nothing listens to signals."""

    async def kill(self, restart: bool = False) -> None:
        """As below."""
        self._runs = False

    async def terminate(self, restart: bool = False) -> None:
        """As below."""
        self._runs = False

    async def shutdown_requested(self, restart: bool = False) -> None:
        """The fleet's kernel has closed its sockets."""
        self._runs = False

    async def cleanup(self, restart: bool = False) -> None:
        """Nothing is kept here."""

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """No command."""
        return {**await super().pre_launch(**kwargs), "cmd": []}

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Ask the fleet for a kernel and take its ports."""
        manager: Any = self.parent
        key = manager.session.key
        asked = Path(self.inbox, f"direct-{self.kernel_id}")
        unfinished, answer = asked.with_suffix(".asking"), asked.with_suffix(".ports")
        unfinished.write_text(json.dumps({"key": key.decode()}))
        unfinished.rename(asked)
        while not answer.exists():
            await asyncio.sleep(LOOK_EVERY_S)
        connection: Any = {
            "ip": "127.0.0.1",
            "transport": "tcp",
            "signature_scheme": "hmac-sha256",
            "key": key,
        }
        for channel, port in json.loads(answer.read_text()).items():
            connection[f"{channel}_port"] = port
        self._runs = True
        self.connection_info = connection
        return self.connection_info


def _load_jupyter_server_extension(server: Any) -> None:
    entry = EntryPoint(NAME, f"{__name__}:DirectProvisioner", KernelProvisionerFactory.GROUP_NAME)
    KernelProvisionerFactory.instance().provisioners[NAME] = entry
