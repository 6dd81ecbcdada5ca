"""A conversation with the privileged helper over real pipes: a service and submits that are fakes."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import pytest

from sparkkernels.cluster.base import Submission
from sparkkernels.errors import NotAllowed, SubmitError
from sparkkernels.submit_helper.service import Service
from sparkkernels.submit_helper.session import MOST_WAITING, Session

KERNEL_ID = str(uuid.UUID(int=1))
ID = "application_1_0001"
LIMIT_S = 10.0


class FakeSubmission(Submission):
    """Ends when it is released or cancelled."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.cancelled = False

    @property
    def application_id(self) -> str:
        return ID

    def wait(self) -> str:
        assert self.released.wait(LIMIT_S)
        if self.cancelled:
            raise SubmitError("The submit was cancelled.", application_id=ID)
        return ID

    def cancel(self) -> None:
        self.cancelled = True
        self.released.set()


class FakeService:
    """Answers what it was asked."""

    def __init__(self) -> None:
        self.submissions: list[FakeSubmission] = []
        self.calls: list[tuple[str, Mapping[str, Any]]] = []
        self.killed: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def submit(self, spec: Any, registration: Any, tell: Callable[[str], None]) -> FakeSubmission:
        assert self.gate.wait(LIMIT_S)
        submission = FakeSubmission()
        self.submissions.append(submission)
        tell(ID)
        return submission

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        self.calls.append((operation, arguments))
        assert self.gate.wait(LIMIT_S)
        if operation == "kill":
            raise NotAllowed("It is not yours.", hint="Ask bob.")
        if operation == "logs":
            raise ZeroDivisionError("secret")
        return ["host"]

    def kill(self, application_id: str) -> None:
        self.killed.append(application_id)


class Conversation:
    """The server's end."""

    def __init__(self) -> None:
        self.service = FakeService()
        source, self._input = os.pipe()
        output, target = os.pipe()
        self._output = os.fdopen(output, "rb")
        self._session = Session(cast(Service, self.service), source, target)
        self._open = [source, target]
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("signal.signal", lambda *_: None)  # only the main thread may
            self.code = self._session.run()
        for descriptor in self._open:
            os.close(descriptor)

    def say(self, operation: str, arguments: Any, number: int = 1) -> None:
        self.write(
            json.dumps({"id": number, "operation": operation, "arguments": arguments}).encode() + b"\n"
        )

    def write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._input, data) :]

    def hear(self) -> dict[str, Any]:
        return dict(json.loads(self._output.readline()))

    def hear_all(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._output]

    def close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def close_output(self) -> None:
        self._output.close()

    def end(self) -> int:
        self.close_input()
        self.service.gate.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()
        self._output.close()
        return self.code


@pytest.fixture
def conversation() -> Iterator[Conversation]:
    conversation = Conversation()
    yield conversation
    conversation.end()


def submit() -> dict[str, Any]:
    spec = {
        "kernel_id": KERNEL_ID, "python": "/p", "name": "n", "generation": 1, "queue": None, "spark_conf": {},
        "jars": [], "scala_version": "",
        "server_tag": None, "launch_timeout_s": 1, "registration_timeout_s": 1, "orphan_timeout_s": 1,
    }  # fmt: skip
    registration = {
        "protocol": 1, "kernel_id": KERNEL_ID, "generation": 1, "addresses": [], "fingerprint": "0" * 64,
        "token": "0" * 64, "registration_timeout_s": 1,
    }  # fmt: skip
    return {"spec": spec, "registration": registration}


def test_requests_are_answered_by_number_and_in_any_order(conversation: Conversation) -> None:
    conversation.say("submit", submit(), 5)
    assert conversation.hear() == {"id": 5, "application_id": ID}
    conversation.say("hosts", {}, 6)
    assert conversation.hear() == {"id": 6, "done": ["host"]}
    conversation.service.submissions[0].released.set()
    assert conversation.hear() == {"id": 5, "done": ID}
    assert conversation.end() == 0
    assert conversation.service.killed == []


def test_errors_are_answers_and_unexpected_ones_tell_nothing(conversation: Conversation) -> None:
    conversation.say("kill", {"application_id": ID}, 1)
    error = conversation.hear()["error"]
    assert (error["kind"], error["message"], error["hint"]) == ("NotAllowed", "It is not yours.", "Ask bob.")
    conversation.say("logs", {"application_id": ID, "tail_bytes": 1}, 2)
    error = conversation.hear()["error"]
    assert "ZeroDivisionError" in error["message"] and "secret" not in json.dumps(error)
    conversation.say("logs", {}, 3)
    assert conversation.hear()["error"]["kind"] == "ConfigurationError"
    conversation.say("hosts", {}, 4)
    assert conversation.hear()["done"] == ["host"]


def test_a_request_may_come_in_pieces_and_several_at_once(conversation: Conversation) -> None:
    line = json.dumps({"id": 1, "operation": "hosts", "arguments": {}}).encode() + b"\n"
    for byte in line:
        conversation.write(bytes([byte]))
    assert conversation.hear()["id"] == 1
    conversation.write(line * 3)
    assert [conversation.hear()["id"] for _ in range(3)] == [1, 1, 1]


def test_a_cancelled_submit_is_answered_after_it_has_gone(conversation: Conversation) -> None:
    conversation.say("submit", submit(), 1)
    conversation.hear()
    conversation.say("cancel", {"submit": 1}, 2)
    answers = {answer["id"]: answer for answer in (conversation.hear(), conversation.hear())}
    assert answers[2]["done"] is None
    assert answers[1]["error"]["kind"] == "SubmitError" and answers[1]["error"]["application_id"] == ID
    conversation.say("cancel", {"submit": 99}, 3)
    assert conversation.hear() == {"id": 3, "done": None}


def test_a_submit_that_is_cancelled_before_it_has_a_process_gets_none_or_loses_it(
    conversation: Conversation,
) -> None:
    conversation.service.gate.clear()
    conversation.say("submit", submit(), 1)
    conversation.say("cancel", {"submit": 1}, 2)
    time.sleep(0.05)
    conversation.service.gate.set()
    answers = [conversation.hear() for _ in range(2)]
    if "application_id" in answers[0]:
        answers = [answers[1], conversation.hear()]
    assert {answer["id"] for answer in answers} == {1, 2}
    assert all(submission.cancelled for submission in conversation.service.submissions)


@pytest.mark.parametrize("close", ["close_input", "close_output"])
def test_the_end_of_either_pipe_ends_submits_and_their_applications(
    conversation: Conversation, close: str
) -> None:
    conversation.say("submit", submit(), 1)
    conversation.hear()
    getattr(conversation, close)()
    conversation._thread.join(LIMIT_S)
    assert not conversation._thread.is_alive()
    assert conversation.service.submissions[0].cancelled
    assert conversation.service.killed == [ID]


def test_an_accepted_application_is_its_servers_and_lives_on(conversation: Conversation) -> None:
    conversation.say("submit", submit(), 1)
    conversation.hear()
    conversation.service.submissions[0].released.set()
    assert conversation.hear()["done"] == ID
    assert conversation.end() == 0
    assert conversation.service.killed == []


@pytest.mark.parametrize("data", [b"x" * 2**20 + b"\n", b"x" * 2**21, b"nonsense\n", b"\n"])
def test_what_can_not_be_read_ends_it(conversation: Conversation, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError):  # it does not wait for the rest
        conversation.write(data)
    assert conversation.hear()["error"]["kind"] == "ConfigurationError"
    assert conversation.end() == 1


def test_too_many_requests_at_once_are_refused(conversation: Conversation) -> None:
    conversation.service.gate.clear()
    for number in range(MOST_WAITING + 1):
        conversation.say("hosts", {}, number)
    refused = conversation.hear()
    assert refused["id"] == MOST_WAITING and "too much to do" in refused["error"]["message"]
    conversation.service.gate.set()
    assert {conversation.hear()["id"] for _ in range(MOST_WAITING)} == set(range(MOST_WAITING))


def test_one_id_is_one_submit(conversation: Conversation) -> None:
    conversation.say("submit", submit(), 1)
    conversation.hear()
    conversation.say("submit", submit(), 1)
    assert "same id twice" in conversation.hear()["error"]["message"]
