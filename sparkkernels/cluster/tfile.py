"""Logs that YARN has moved to the cluster's file system, in the format that it writes by default.

Hadoop's own reader, ``LogsCLI``, does not start among the jars of Spark 3.5. Sources of the format:
``org.apache.hadoop.io.file.tfile.{BCFile,TFile,Chunk,Utils}`` and
``org.apache.hadoop.yarn.logaggregation.{AggregatedLogFormat,LogAggregationUtils}``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import NamedTuple

from .data_input import DataInput
from .hadoop_conf import HadoopConf

MAGIC = bytes.fromhex("d111d36891b5d7b639df414092bae150")
#: At the end of a file: where its index is, the version of the format, and the magic.
TAIL_BYTES = 8 + 4 + len(MAGIC)
DATA_INDEX = "data:BCFile.index"
REMOTE_ROOT = "yarn.nodemanager.remote-app-log-dir"
REMOTE_SUFFIX = f"{REMOTE_ROOT}-suffix"


def directories(conf: HadoopConf, user: str, application_id: str) -> list[str]:
    """Where the logs of an application may be, a file for each node: the way of Hadoop 3.3, 3.0 and 2."""
    root = conf.get(REMOTE_ROOT, "/tmp/logs").removeprefix(conf.default_fs).rstrip("/")
    suffix = conf.get(REMOTE_SUFFIX, "logs")
    bucket = f"{int(application_id.rpartition('_')[2]) % 10_000:04d}"
    ways = (f"bucket-{suffix}-tfile/{bucket}", f"{suffix}-tfile", suffix)
    return [f"{root}/{user}/{way}/{application_id}" for way in ways]


class _Region(NamedTuple):
    """A block of a file: where it is, and how long."""

    offset: int
    size: int


class _Reader(DataInput):
    """Reads what ``DataOutput`` and TFile's ``Utils`` write.

    Raises
    ------
    ValueError
        From any method: the data ends too soon, or is something else.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data, "The log")

    def number(self) -> int:
        """An integer of variable length (``Utils.readVLong``), which is not that of ``WritableUtils``."""
        first = int.from_bytes(self.take(1), "big", signed=True)
        if first >= -32:
            return first
        for lowest, origin, more in ((-72, 52, 1), (-104, 88, 2), (-120, 112, 3)):
            if first >= lowest:
                return (first + origin) << 8 * more | int.from_bytes(self.take(more), "big")
        return int.from_bytes(self.take(first + 129), "big", signed=True)

    def text(self) -> str:
        """A string of ``Utils``."""
        return self.take(self.number()).decode()

    def utf(self) -> str:
        """A string of ``DataOutput.writeUTF``; names in logs are ASCII."""
        return self.take(int.from_bytes(self.take(2), "big")).decode(errors="replace")

    def region(self) -> _Region:
        """A block's place; its size before compression is not needed."""
        offset, size, _ = self.number(), self.number(), self.number()
        return _Region(offset, size)

    def value(self) -> bytes:
        """A record's value, in chunks of which all but the last have a negative length."""
        chunks = []
        while (length := self.number()) < 0:
            chunks.append(self.take(-length))
        return b"".join([*chunks, self.take(length)])


def read(data: bytes, container_id: str) -> dict[str, str]:
    """The logs of one container in the file of a node, by name.

    Parameters
    ----------
    data : bytes
        The whole file.
    container_id : str

    Raises
    ------
    ValueError
        It is of another format, or compressed in a way that Python can't read.
    """
    for record in map(_Reader, _blocks(data)):
        while not record.is_at_end:
            key = _Reader(record.take(record.number())).utf()
            value = record.value()
            if key == container_id:
                return dict(_files(_Reader(value)))
    return {}


def _files(value: _Reader) -> Iterator[tuple[str, str]]:
    """Names and texts of a container's logs."""
    while not value.is_at_end:
        name, length = value.utf(), value.utf()
        yield name, value.take(int(length)).decode(errors="replace")


def _blocks(data: bytes) -> Iterator[bytes]:
    """The blocks that hold records, as they were before compression."""
    if len(data) < TAIL_BYTES or not data.endswith(MAGIC):
        raise ValueError("The log is in a format that is not known here.")
    index = _Reader(data[int.from_bytes(data[-TAIL_BYTES:][:8], "big") : -TAIL_BYTES])
    for _ in range(index.number()):
        name, compression, region = index.text(), index.text(), index.region()
        if name == DATA_INDEX:
            regions = _Reader(_block(data, region, compression))
            compression = regions.text()
            for _ in range(regions.number()):
                yield _block(data, regions.region(), compression)


def _block(data: bytes, region: _Region, compression: str) -> bytes:
    """One block as it was before compression."""
    block = data[region.offset : region.offset + region.size]
    if compression == "none":
        return block
    if compression != "gz":
        raise ValueError(f"The log is compressed with {compression}.")
    try:
        return zlib.decompress(block)
    except zlib.error as error:
        raise ValueError(f"The log can't be decompressed: {error}.") from error
