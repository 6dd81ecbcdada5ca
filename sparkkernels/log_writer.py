"""Writes the containers' logs of all kernels, on one thread: a slow disk never slows the relay.

One thread, since containers speak at the same moments: a thread for each kernel would have hundreds of them
ask for the interpreter's lock at once, and the server's event loop would wait for all.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from pathlib import Path
from typing import BinaryIO

#: Bytes of a log after which it is begun anew; one older file is kept.
LOG_LIMIT = 4194304
#: Seconds that closing waits for what is queued.
CLOSE_S = 2.0


class LogWriter:
    """One file, owner-only.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._closing = False
        self._closed = threading.Event()
        _thread.opened()

    def put(self, data: bytes) -> None:
        """Queue bytes to write; from any thread."""
        _thread.works.put((self, data))

    def close(self) -> None:
        """Write what is queued; idempotent."""
        if not self._closing:
            self._closing = True
            _thread.works.put((self, None))
        self._closed.wait(CLOSE_S)

    def write(self, data: bytes) -> None:
        """Write, on the thread."""
        if self._closed.is_set():
            return
        try:
            if self._file is not None and self._file.tell() > LOG_LIMIT:
                self._end()
                self._path.replace(self._path.with_name(self._path.name + ".1"))
            if self._file is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._file = os.fdopen(os.open(self._path, flags, 0o600), "ab")
            self._file.write(data)
            self._file.flush()
        except OSError:
            self._end()  # a full disk, or the directory is gone: the live tail in memory remains

    def finish(self) -> None:
        """Close, on the thread."""
        self._end()
        self._closed.set()

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()


class _Thread:
    """Lives while a log is open."""

    def __init__(self) -> None:
        self.works: queue.SimpleQueue[tuple[LogWriter, bytes | None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._open = 0

    def opened(self) -> None:
        """One more."""
        with self._lock:
            self._open += 1
            if self._open == 1:
                threading.Thread(target=self._run, name="sparkkernels-log", daemon=True).start()

    def _run(self) -> None:
        while True:
            writer, data = self.works.get()
            if data is not None:
                writer.write(data)
                continue
            writer.finish()
            with self._lock:
                self._open -= 1
                if not self._open:
                    return


_thread = _Thread()
