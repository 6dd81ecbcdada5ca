"""What a server leaves of a kernel, made up."""

from __future__ import annotations

import uuid
from typing import Any

from sparkkernels.handover import Handover

KERNEL_ID = str(uuid.uuid4())


def handover(**changes: Any) -> Handover:
    """One that is whole, but for what is changed."""
    content: dict[str, Any] = {
        "kernel_id": KERNEL_ID, "kernel_name": "spark", "application_id": "application_1_1", "number": 2,
        "generation": 1, "session": "5" * 64, "begun_at": 1.5, "host": "0.0.0.0", "port": 4000,
        "certificate": "C", "key": "K", "certificate_path": "", "connection_info": {"key": "secret"},
        "requester": None, "starter": None, "proxy_user": "alice",
        "wish": {"spark_conf": {}, "queue": None}, "note": {"staging_root": ""},
    }  # fmt: skip
    return Handover(**{**content, **changes})
