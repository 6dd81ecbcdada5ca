"""What Python's collector leaves out."""

from __future__ import annotations

import subprocess
import sys

CODE = """
import gc
from sparkkernels.garbage import leave_out_what_is_there

there = len(gc.get_objects())
leave_out_what_is_there()
left_out = gc.get_freeze_count()
later = [[] for _ in range(1000)]
leave_out_what_is_there()
print(left_out >= there, gc.get_freeze_count() <= left_out, len(gc.get_objects()) < there)
"""


def test_what_a_process_has_made_is_left_out_once_and_what_comes_later_is_collected() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "True True True\n", done.stderr
