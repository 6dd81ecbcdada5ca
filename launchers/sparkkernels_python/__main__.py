"""``python -m sparkkernels_python -f CONNECTION_FILE``: what the supervisor runs."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # As ipykernel_launcher does: modules beside the notebook must not stand in for ipykernel's own imports.
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]

    from sparkkernels_python.app import main

    main()
