"""``python -m sparkkernels_scala -f CONNECTION_FILE``: what the supervisor runs."""

from __future__ import annotations

import argparse
import os
import sys

from .process import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="sparkkernels_scala")
    parser.add_argument("-f", required=True, metavar="CONNECTION_FILE", dest="connection_file")
    sys.exit(run(parser.parse_args().connection_file, os.environ))
