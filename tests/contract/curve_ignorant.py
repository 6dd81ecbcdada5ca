"""A kernel that ignores CURVE keys, as ipykernel before 7.3 does. Run as a script with ``-f FILE``."""

import json
import sys
from pathlib import Path

from ipykernel.kernelapp import IPKernelApp

if __name__ == "__main__":
    path = Path(sys.argv[sys.argv.index("-f") + 1])
    known = {name: value for name, value in json.loads(path.read_text()).items() if "curve" not in name}
    path.write_text(json.dumps(known))
    IPKernelApp.launch_instance()
