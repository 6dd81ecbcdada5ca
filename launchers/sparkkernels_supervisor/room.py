"""Keeps a file that others write, and nobody rolls, from filling the disk: its beginning gives up its blocks.

YARN's containers write ``stdout`` and ``stderr`` for as long as they live. The file keeps its size, whoever
writes it goes on where it was, and its end can be read as before; what was given up reads as zeros.
"""

from __future__ import annotations

import ctypes
import os

#: Bytes on the disk from which on a file is made smaller, and how many are kept of its end.
LIMIT, KEPT = 16777216, 4194304
#: ``linux/falloc.h``: punch a hole and keep the size. Holes are made of whole blocks.
MODE = 0x01 | 0x02
BLOCK = 4096
#: ``st_blocks`` counts these, whatever the file system's own are.
UNIT = 512

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def make_room(path: str) -> int:
    """Give up the beginning of a file that has become large.

    Returns
    -------
    int
        The first byte that is still there; 0 when nothing was given up, also where the file system can't.

    Raises
    ------
    OSError
        There is no such file.
    """
    status = os.stat(path)
    if status.st_blocks * UNIT <= LIMIT:
        return 0
    end = (status.st_size - KEPT) // BLOCK * BLOCK
    descriptor = os.open(path, os.O_WRONLY)
    try:
        return end if _libc.fallocate(descriptor, MODE, 0, end) == 0 else 0
    finally:
        os.close(descriptor)
