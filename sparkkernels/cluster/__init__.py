"""Where applications run: one interface (base), two backends (yarn, local)."""

from __future__ import annotations

import threading

from .access import OWN_ACCOUNT, Access
from .base import Backend
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
    submit_helper: str = "",
) -> Backend:
    """The backend for these settings; the same settings give the same one in one process."""
    yarn = ("yarn", hadoop_conf_dir, spark_home, staging_dir, staging_admins, access)
    helped = ("helper", submit_helper)
    key = ("local",) if master != "yarn" else helped if submit_helper else yarn
    with _lock:
        if key not in _backends:
            if key == helped:
                from .helper import HelperBackend

                _backends[key] = HelperBackend(submit_helper)
            elif master == "yarn":
                from .yarn import YarnBackend

                _backends[key] = YarnBackend(
                    hadoop_conf_dir, spark_home, staging_dir, staging_admins, server_tag, access=access
                )
            else:
                _backends[key] = LocalBackend()
        return _backends[key]
