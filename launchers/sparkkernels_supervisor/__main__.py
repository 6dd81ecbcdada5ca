"""``python sparkkernels-launchers.py registration.json``: what the container runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import List, Optional

from .dial import Registration
from .processes import adopt_orphans


def main(argv: Optional[List[str]] = None) -> int:
    """Read the registration file and supervise; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        sys.stderr.write("usage: sparkkernels-launchers REGISTRATION_FILE\n")
        return 2
    path = os.path.abspath(arguments[0])
    try:
        with open(path, "rb") as file:
            registration = Registration.read(json.loads(file.read()))
    except (OSError, ValueError) as error:
        sys.stderr.write("sparkkernels: the registration file can't be used: %s\n" % error)
        return 2
    adopt_orphans()
    return asyncio.run(_supervise(registration, path))


async def _supervise(registration: Registration, path: str) -> int:
    from .supervisor import Supervisor

    spark = None
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        from .context import connect

        spark = connect(os.environ)
    return await Supervisor(registration, path, spark, os.environ, os.getcwd()).run()


if __name__ == "__main__":
    sys.exit(main())
