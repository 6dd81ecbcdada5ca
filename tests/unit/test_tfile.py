"""Aggregated logs: TFiles as a NodeManager writes them, and what only looks like one."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import pytest

from sparkkernels.cluster import tfile
from sparkkernels.cluster.hadoop_conf import HadoopConf

FIRST, SECOND = "container_1_0001_01_000001", "container_1_0001_01_000002"
LOGS = {
    FIRST: {"stdout": "", "stderr": "x" * 70_000 + "\nlast\n"},
    SECOND: {"stdout": "of an executor\n"},
}


def number(value: int) -> bytes:
    """As ``Utils.writeVLong`` does, for what its short forms hold and beyond."""
    if -32 <= value <= 127:
        return value.to_bytes(1, "big", signed=True)
    for origin, more, lowest, highest in ((52, 1, -20, 19), (88, 2, -16, 15), (112, 3, -8, 7)):
        if lowest <= value >> 8 * more <= highest:
            head = ((value >> 8 * more) - origin).to_bytes(1, "big", signed=True)
            return head + (value & (1 << 8 * more) - 1).to_bytes(more, "big")
    return (4 - 129).to_bytes(1, "big", signed=True) + value.to_bytes(4, "big", signed=True)


def text(value: str) -> bytes:
    return number(len(value)) + value.encode()


def utf(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def record(key: str, value: bytes, chunk: int = 30_000) -> bytes:
    pieces = [value[at : at + chunk] for at in range(0, len(value), chunk)] or [b""]
    chunks = [number(-len(piece)) + piece for piece in pieces[:-1]]
    return number(len(utf(key))) + utf(key) + b"".join(chunks) + number(len(pieces[-1])) + pieces[-1]


def written(compression: str = "none", compress: Callable[[bytes], bytes] = bytes) -> bytes:
    """A file with two blocks of records."""
    values = {
        name: b"".join(utf(file) + utf(str(len(log))) + log.encode() for file, log in logs.items())
        for name, logs in LOGS.items()
    }
    blocks = [record("VERSION", b"\0\0\0\1") + record(FIRST, values[FIRST]), record(SECOND, values[SECOND])]
    data, regions = tfile.MAGIC, b""
    for block in blocks:
        stored = compress(block)
        regions += number(len(data)) + number(len(stored)) + number(len(block))
        data += stored
    index = text(compression) + number(len(blocks)) + regions
    place = number(len(data)) + number(len(index)) + number(len(index))
    data += index
    meta = number(2) + text("data:TFile.meta") + text("none") + number(0) * 3
    meta += text(tfile.DATA_INDEX) + text("none") + place
    return data + meta + len(data).to_bytes(8, "big") + b"\0\1\0\0" + tfile.MAGIC


@pytest.mark.parametrize(("compression", "compress"), [("none", bytes), ("gz", zlib.compress)])
def test_a_containers_logs_are_found_among_others(
    compression: str, compress: Callable[[bytes], bytes]
) -> None:
    data = written(compression, compress)
    assert tfile.read(data, FIRST) == LOGS[FIRST]
    assert tfile.read(data, SECOND) == LOGS[SECOND]
    assert tfile.read(data, "container_1_0001_01_000003") == {}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "format"),
        (b"SEQ" + b"x" * 100, "format"),
        (tfile.MAGIC + b"x" * 50 + tfile.MAGIC, "cut off"),
        (written()[:100] + written()[-60:], "cut off|format"),
        (written("lzo"), "compressed with lzo"),
        (written("gz"), "can't be decompressed"),
    ],
)
def test_what_can_not_be_read_says_why(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tfile.read(data, FIRST)


def test_every_length_of_a_number() -> None:
    for value in (0, 127, -32, -33, 128, 5119, -5120, 70_000, -1_000_000, 100_000_000, 2**31 - 1, -(2**31)):
        assert tfile._Reader(number(value)).number() == value


def test_where_the_logs_of_an_application_are() -> None:
    conf = HadoopConf("/c", {"fs.defaultFS": "hdfs://nn:8020", tfile.REMOTE_ROOT: "hdfs://nn:8020/app-logs"})
    assert tfile.directories(conf, "alice", "application_1700000000000_20042") == [
        "/app-logs/alice/bucket-logs-tfile/0042/application_1700000000000_20042",
        "/app-logs/alice/logs-tfile/application_1700000000000_20042",
        "/app-logs/alice/logs/application_1700000000000_20042",
    ]
