"""The Jupyter server's extension: it only imports, while the server starts, what a first kernel needs.

jupyter_client imports a provisioner when the first kernel is asked for, on the loop that everybody else's
requests wait for meanwhile. The installation enables it; a server without it works the same, with that pause.
"""

from __future__ import annotations

import importlib
from typing import Any

#: What a first kernel imports, on the loop or beside it.
MODULES = ("sparkkernels.provisioner", "sparkkernels.cluster.yarn")


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    for module in MODULES:
        importlib.import_module(module)
