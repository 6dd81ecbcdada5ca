"""Reads bytes one after the other, as Java's ``DataInput`` does."""

from __future__ import annotations


class DataInput:
    """What readers of Hadoop's formats have in common.

    Parameters
    ----------
    data : bytes
    what : str
        How the data is called when it is wrong.

    Raises
    ------
    ValueError
        From any method: the data ends too soon, or is something else.
    """

    def __init__(self, data: bytes, what: str) -> None:
        self._data = data
        self._what = what
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        """Whether nothing is left."""
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        """So many bytes."""
        taken = self._data[self._at : self._at + count]
        if count < 0 or len(taken) != count:
            raise ValueError(f"{self._what} is cut off or garbled.")
        self._at += count
        return taken
