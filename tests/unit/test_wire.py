"""Frames and streams against launchers/vectors.json, and the streams' promises under cuts at any place."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from sparkkernels_supervisor import frames
from sparkkernels_supervisor.frames import Decoder, Frame, WireError
from sparkkernels_supervisor.streams import CONTROL, WINDOW, Closed, Opened, Received, Room, Streams

VECTORS = json.loads((Path(__file__).parents[2] / "launchers" / "vectors.json").read_text())


def frame_bytes(vector: dict[str, Any]) -> bytes:
    payload = bytes.fromhex(vector["payload"])
    return frames.encode(vector["kind"], vector["stream"], payload)


@pytest.mark.parametrize("vector", VECTORS["frames"], ids=lambda vector: vector["name"])
def test_every_frame_of_the_vectors_is_encoded_and_decoded(vector: dict[str, Any]) -> None:
    encoded = bytes.fromhex(vector["bytes"])
    assert frame_bytes(vector) == encoded
    for cut in range(len(encoded)):
        decoder = Decoder()
        assert list(decoder.feed(encoded[:cut])) == []
        assert list(decoder.feed(encoded[cut:])) == [
            Frame(vector["kind"], vector["stream"], bytes.fromhex(vector["payload"]))
        ]


@pytest.mark.parametrize("vector", VECTORS["broken"], ids=lambda vector: vector["name"])
def test_every_broken_frame_of_the_vectors_is_refused(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        list(Decoder(vector.get("limit", frames.MAX_PAYLOAD)).feed(bytes.fromhex(vector["bytes"])))


@pytest.mark.parametrize("vector", VECTORS["dialogues"], ids=lambda vector: vector["name"])
def test_every_dialogue_of_the_vectors(vector: dict[str, Any]) -> None:
    """A side does what is listed under "do", hears "hear", and sends exactly "say"."""
    streams = Streams(vector["first_id"])
    for step in vector["steps"]:
        for name, *arguments in step.get("do", []):
            if name == "send":
                streams.send(arguments[0], bytes.fromhex(arguments[1]))
            else:
                getattr(streams, name)(*arguments)
        for encoded in step.get("hear", []):
            for frame in Decoder().feed(bytes.fromhex(encoded)):
                streams.receive(frame)
        said = [frame.hex() for frame in iter(streams.next_frame, None)]
        assert said == step.get("say", [])
        if "table" in step:
            assert streams.table() == step["table"]


class Pair:
    """Two sides joined by a wire that can be cut at any frame."""

    def __init__(self) -> None:
        self.sides = (Streams(1), Streams(2))
        self.events: tuple[list[Any], list[Any]] = ([], [])
        self.consume = True

    def exchange(self, most: int | None = None) -> None:
        """Carry frames until both sides are silent, or this many, the rest being lost."""
        carried = 0
        while True:
            silent = True
            for here, there in ((0, 1), (1, 0)):
                encoded = self.sides[here].next_frame()
                if encoded is None:
                    continue
                silent = False
                if most is not None and carried >= most:
                    return
                carried += 1
                for frame in Decoder().feed(encoded):
                    self._hear(there, frame)
            if silent:
                return

    def _hear(self, side: int, frame: Frame) -> None:
        event = self.sides[side].receive(frame)
        if event is None:
            return
        self.events[side].append(event)
        if isinstance(event, Received) and self.consume:
            self.sides[side].consumed(event.stream, len(event.data))
        if isinstance(event, Closed):
            self.sides[side].consumed(event.stream, 1)
            self.sides[side].close(event.stream)

    def resume(self) -> None:
        first, second = (side.table() for side in self.sides)
        self.sides[0].resume(json.loads(json.dumps(second)))
        self.sides[1].resume(json.loads(json.dumps(first)))

    def received(self, side: int, stream: int) -> bytes:
        events = self.events[side]
        return b"".join(
            event.data for event in events if isinstance(event, Received) and event.stream == stream
        )


def test_a_stream_arrives_whole_in_order_and_is_forgotten_when_both_sides_closed() -> None:
    pair = Pair()
    stream = pair.sides[0].open("shell")
    pair.sides[0].send(stream, b"question")
    pair.exchange()
    assert Opened(stream, "shell") in pair.events[1]
    pair.sides[1].send(stream, b"answer")
    pair.sides[0].close(stream)
    pair.exchange()
    assert pair.received(1, stream) == b"question"
    assert pair.received(0, stream) == b"answer"
    assert stream not in pair.sides[0]
    assert stream not in pair.sides[1]


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_lost_doubled_or_reordered_by_cuts_at_random_frames(seed: int) -> None:
    chance = random.Random(seed)
    pair = Pair()
    sent: dict[tuple[int, int], bytes] = {}
    opened: list[tuple[int, int]] = []
    for _ in range(60):
        side = chance.randrange(2)
        action = chance.random()
        if action < 0.15 or not opened:
            opened.append((side, pair.sides[side].open("iopub")))
        elif action < 0.75:
            _, stream = chance.choice(opened)
            if stream in pair.sides[side]:
                data = chance.randbytes(chance.choice((1, 100, 70000)))
                if not pair.sides[side]._streams[stream].closing:
                    sent[1 - side, stream] = sent.get((1 - side, stream), b"") + data
                    pair.sides[side].send(stream, data)
        elif action < 0.85:
            _, stream = chance.choice(opened)
            pair.sides[side].close(stream)
        pair.exchange(most=chance.randrange(6))
        pair.resume()
    pair.exchange()
    for (side, stream), data in sent.items():
        # a stream closed by its other side in the meantime may lose what that side no longer wanted
        got = pair.received(side, stream)
        assert data.startswith(got)
        if stream in pair.sides[side]:
            assert got == data
    for _, stream in opened:
        for streams in pair.sides:
            streams.close(stream)
    pair.exchange()
    assert [set(side) for side in pair.sides] == [{CONTROL}, {CONTROL}]


def test_a_reader_that_stands_still_stops_its_sender_at_the_window_and_no_other_stream() -> None:
    pair = Pair()
    pair.consume = False
    full, free = pair.sides[0].open("iopub"), pair.sides[0].open("control")
    assert not pair.sides[0].send(full, bytes(WINDOW + 100000))
    pair.exchange()
    assert WINDOW - frames.MAX_PAYLOAD < len(pair.received(1, full)) <= WINDOW
    pair.sides[0].send(free, b"urgent")
    pair.sides[0].send(CONTROL, b"first")
    pair.exchange()
    assert pair.received(1, free) == b"urgent"
    assert pair.received(1, CONTROL) == b"first"
    pair.sides[1].consumed(full, len(pair.received(1, full)))
    pair.exchange()
    assert Room(full) in pair.events[0]
    assert len(pair.received(1, full)) == WINDOW + 100000


def test_control_goes_before_data_and_streams_take_turns() -> None:
    side = Streams(1)
    one, two = side.open("iopub"), side.open("shell")
    side.send(one, bytes(200000))
    side.send(two, b"x")
    side.send(CONTROL, b"c")
    order = [frame.stream for encoded in iter(side.next_frame, None) for frame in Decoder().feed(encoded)]
    assert order == [one, two, CONTROL, one, two, one, one, one]


@pytest.mark.parametrize(
    "frame",
    [
        Frame(frames.DATA, 5, b"x"),
        Frame(frames.OPEN, 3, b"shell"),
        Frame(frames.OPEN, 2, b"\xff"),
        Frame(frames.CLOSE, CONTROL, b""),
        Frame(frames.ACK, CONTROL, (1).to_bytes(8, "big")),
        Frame(frames.HELLO, 0, b"{}"),
    ],
)
def test_a_frame_out_of_place_breaks_the_protocol(frame: Frame) -> None:
    with pytest.raises(WireError):
        Streams(1).receive(frame)


@pytest.mark.parametrize(
    "table",
    [{}, {"highest": 0}, {"highest": 0, "streams": {}}, {"highest": 0, "streams": {"0": 9}}, {"streams": 1}],
)
def test_a_resume_table_that_cannot_be_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(WireError):
        Streams(1).resume(table)
