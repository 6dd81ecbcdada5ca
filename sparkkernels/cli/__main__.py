"""`python -m sparkkernels.cli`, for where the script is not on the PATH."""

from __future__ import annotations

import sys

from .main import main

sys.exit(main())
