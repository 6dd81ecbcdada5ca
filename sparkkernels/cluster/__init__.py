"""Where applications run: one interface (base), two backends (yarn, local)."""

from __future__ import annotations

import threading

from .base import Backend
from .hadoop_site import OWN_ACCOUNT, Access
from .local import LocalBackend

_lock = threading.Lock()
_backends: dict[tuple[object, ...], Backend] = {}


def create_backend(
    master: str,
    *,
    spark_home: str = "",
    hadoop_conf_dir: str = "",
    staging_dir: str = "",
    staging_admins: tuple[str, ...] = (),
    server_tag: str = "",
    access: Access = OWN_ACCOUNT,
) -> Backend:
    """The backend for these settings; the same settings give the same one in one process."""
    yarn = ("yarn", hadoop_conf_dir, spark_home, staging_dir, staging_admins, access)
    key = yarn if master == "yarn" else ("local",)
    with _lock:
        if key not in _backends:
            if master == "yarn":
                from .yarn import YarnBackend

                _backends[key] = YarnBackend(
                    hadoop_conf_dir, spark_home, staging_dir, staging_admins, server_tag, access=access
                )
            else:
                _backends[key] = LocalBackend()
        return _backends[key]
