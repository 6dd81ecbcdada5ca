"""What the server's extension spares the loop."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys
from importlib.metadata import entry_points
from sparkkernels.extension import _load_jupyter_server_extension

_load_jupyter_server_extension(None)
there = set(sys.modules)
(entry,) = entry_points(group="jupyter_client.kernel_provisioners", name="spark-provisioner")
entry.load()
import sparkkernels.cluster
sparkkernels.cluster.create_backend("yarn", hadoop_conf_dir="/nowhere")
print(json.dumps(["sparkkernels.application" in there, sorted(set(sys.modules) - there)]))
"""


def test_a_first_kernel_of_a_server_with_the_extension_imports_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=False
    )
    assert json.loads(done.stdout or "null") == [True, []], done.stderr
