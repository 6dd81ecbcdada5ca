"""Inputs that come further than noise: frames that almost belong together, vectors with bytes changed."""

from __future__ import annotations

import json
import random
from pathlib import Path

from sparkkernels_supervisor.frames import ACK, CLOSE, DATA, OPEN, PING, PONG, encode

VECTORS = Path(__file__).parents[2] / "launchers" / "vectors.json"
TEXTS = (
    b'{"type":"state","host":"w","kernel":{"number":1,"state":"running"},"context":{"state":"ready"}}\n',
    b'{"type":"kernel","number":1,"state":"exited","returncode":-9,"text":"\xc3\xa9"}\n',
    b'{"type":"context","state":"failed","text":"\\ud800"}\n',
    b"[[[[[[[[",
    b"\n\n",
    b"\xff\xfe",
)
TABLES = (
    b'{"highest":0,"streams":{"0":0}}',
    b'{"highest":2,"streams":{"0":0,"1":50,"2":7}}',
    b'{"highest":-1,"streams":{"0":-1}}',
    b'{"highest":1e400,"streams":{"0":1}}',
    b'{"highest":null,"streams":[]}',
    b'{"streams":{"0":true,"1":"100"},"highest":"1"}',
)


def corpus() -> list[bytes]:
    """The fixed part: every encoding of the vectors, to both sides, and the tables."""
    vectors = json.loads(VECTORS.read_text())
    encodings = [bytes.fromhex(vector["bytes"]) for vector in vectors["frames"] + vectors["broken"]]
    for dialogue in vectors["dialogues"]:
        heard = [encoded for step in dialogue["steps"] for encoded in step.get("hear", [])]
        encodings.append(b"".join(map(bytes.fromhex, heard)))
    both = [bytes([side, 20]) + encoded for encoded in encodings for side in (0, 1)]
    return both + [b"\x07\x00" + table for table in TABLES]


def likely(chance: random.Random) -> bytes:
    """One random input."""
    if chance.random() < 0.1:
        return b"\x07\x00" + changed(chance, chance.choice(TABLES))
    frames = [frame(chance) for _ in range(chance.randrange(1, 40))]
    encoded = b"".join(frames)
    if chance.random() < 0.3:
        encoded = changed(chance, encoded)
    return bytes([chance.randrange(7), chance.randrange(256)]) + encoded


def frame(chance: random.Random) -> bytes:
    """A frame with an id that is perhaps in use."""
    stream = chance.choice((0, 1, 2, 2, 3, 4, 6, 8, 2**32 - 1))
    kind = chance.choice((OPEN, DATA, DATA, DATA, CLOSE, ACK, PING, PONG, chance.randrange(256)))
    if kind in (CLOSE, PING, PONG):
        return encode(kind, 0 if kind != CLOSE else stream)
    if kind == ACK:
        return encode(kind, stream, chance.choice((0, 1, 5, 6, 101, 2**63)).to_bytes(8, "big"))
    if kind == OPEN:
        return encode(kind, stream, chance.choice((b"log", b"shell", b"", b"\xff")))
    text = chance.choice(TEXTS) if chance.random() < 0.7 else chance.randbytes(chance.choice((1, 100, 65536)))
    return encode(kind, 0 if kind == DATA and chance.random() < 0.4 else stream, text)


def changed(chance: random.Random, data: bytes) -> bytes:
    """The same with some bytes replaced, taken out or doubled."""
    result = bytearray(data)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(result) or 1)
        how = chance.randrange(3)
        if how == 0:
            result[place : place + 1] = chance.randbytes(1)
        elif how == 1:
            del result[place : place + chance.randrange(20)]
        else:
            result[place:place] = result[place : place + chance.randrange(20)]
    return bytes(result)
