"""atheris (libFuzzer) on the protocol: ``python -m tests.fuzz.fuzz_frames -max_total_time=60``.

Options are libFuzzer's. The corpus of the unit test is where it begins.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sparkkernels_supervisor", "sparkkernels.relay"]):
    from tests.fuzz.inputs import corpus
    from tests.fuzz.target import Fuzzed


def main() -> None:
    """Fuzz until libFuzzer's options say that it is enough; it ends the process."""
    with tempfile.TemporaryDirectory(prefix="sparkkernels-fuzz-") as directory:
        for number, data in enumerate(corpus()):
            Path(directory, f"{number:04d}").write_bytes(data)
        atheris.Setup([*sys.argv, "-max_len=70000", directory], Fuzzed())
        atheris.Fuzz()


if __name__ == "__main__":
    main()
