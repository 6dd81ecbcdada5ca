"""Fresh tokens: when they are sent, what is told when there are none, what a supervisor does with them."""

from __future__ import annotations

import asyncio
import base64
import io
import logging
import queue
import re
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sparkkernels import tokens
from sparkkernels.cluster.base import FreshTokens
from sparkkernels.errors import CredentialsError, SparkKernelError
from sparkkernels.relay.link import TokensAnswer
from sparkkernels.tokens import Life, TokenKeeper, clock, words
from sparkkernels_python.cells import Cells
from sparkkernels_python.notices import Notices
from sparkkernels_supervisor.tokens import Tokens

DAY = 86400.0
TICKET = CredentialsError("The Kerberos ticket of alice has run out.", hint="Get a new one: kinit alice")


# -- when --------------------------------------------------------------------------------------------------


def test_new_ones_are_due_about_half_way_and_not_for_all_kernels_together() -> None:
    life = Life(1000.0, 1000.0 + DAY)
    assert life.due_at(0.0) == 1000.0 + DAY / 2
    assert life.due_at(1.0) == pytest.approx(1000.0 + 0.4 * DAY)


def test_after_failures_it_is_tried_again_soon_then_every_ten_minutes() -> None:
    day, minute = Life(0.0, DAY), Life(0.0, 60.0)
    assert [day.retry_s(failures) for failures in (1, 2, 3, 50)] == [2.0, 4.0, 8.0, 600.0]
    assert [minute.retry_s(failures) for failures in (1, 2, 50)] == [2.0, 3.0, 3.0]
    assert Life(0.0, 1.0).retry_s(50) == 1.0


@pytest.mark.parametrize(("days", "before"), [(7.0, 4 * 3600.0), (1.0, 4 * 3600.0), (0.5, 3 * 3600.0)])
def test_the_user_is_told_hours_before(days: float, before: float) -> None:
    assert Life(0.0, days * DAY).tell_at() == days * DAY - before


def test_the_words_say_until_when_why_and_what_to_do() -> None:
    now = time.mktime((2026, 5, 4, 10, 0, 0, 0, 0, -1))
    life = Life(0.0, now + 4 * 3600 + 300)
    said = words(life, TICKET, now)
    assert re.fullmatch(
        r"HDFS access of this kernel ends at 14:05 \S+\. The Kerberos ticket of alice has run out\."
        r" Get a new one: kinit alice",
        said,
    )
    assert "has ended at 14:05" in words(life, TICKET, life.ends_at + 1)
    assert clock(now + DAY, now).startswith("2026-05-05 10:00 ")


# -- the thread --------------------------------------------------------------------------------------------


class Application:
    """Backend, supervisor and the administrator's log in one."""

    application_id = "application_1_0001"

    def __init__(self, life_s: float) -> None:
        self.life_s = life_s
        self.sent: queue.Queue[dict[str, Any]] = queue.Queue()
        self.log = logging.getLogger("sparkkernels.test")
        self.error: SparkKernelError | None = None
        self.needs_none = False
        self.refusal = ""
        self.connected = True
        self.on_tokens: Callable[[TokensAnswer], None] | None = None

    def fresh_tokens(self, application_id: str) -> FreshTokens | None:
        assert application_id == self.application_id
        if self.error:
            raise self.error
        return None if self.needs_none else FreshTokens(b"secret", self.life_s, 2 * self.life_s)

    def send(self, message: dict[str, Any]) -> None:
        self.sent.put(message)
        if "credentials" in message and self.on_tokens:
            self.on_tokens(TokensAnswer(1))  # an old one
            self.on_tokens(TokensAnswer(message["expires_at"], self.refusal))

    def keeper(self, begun_at: float | None = None) -> TokenKeeper:
        fake: Any = self
        return TokenKeeper(fake, self.application_id, fake, self.log, begun_at or time.time())

    def next(self) -> dict[str, Any]:
        return self.sent.get(timeout=10)


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setattr(tokens, "RETRY_MIN_S", 0.01)
    yield Application(0.2)
    for thread in threading.enumerate():
        if thread.name == "sparkkernels-tokens":
            while thread.ident is None:  # somebody else is starting it
                time.sleep(0.01)
            thread.join(10)
            assert not thread.is_alive(), "it outlives its application"


def test_they_are_sent_again_and_again_and_never_logged(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    begun_at = time.time()
    keeper = application.keeper(begun_at)
    first, second = application.next(), application.next()
    keeper.close()
    assert base64.b64decode(first["credentials"]) == b"secret"
    assert set(first) == {"type", "credentials", "expires_at"} and first["type"] == "tokens"
    assert second["expires_at"] >= first["expires_at"] >= int(begun_at)
    assert first["credentials"] not in caplog.text and "secret" not in caplog.text


def test_those_of_the_submit_are_left_for_as_long_as_the_resourcemanager_renews_them(
    application: Application,
) -> None:
    application.life_s = 1.0
    begun_at = time.time()
    keeper = application.keeper(begun_at)
    application.next()
    keeper.close()
    assert time.time() - begun_at >= 0.8, "half of twice the interval, less the jitter"


def test_an_application_that_needs_none_has_no_thread(application: Application) -> None:
    application.needs_none = True
    application.keeper()


def test_without_new_ones_the_log_says_so_at_once_and_the_notebook_before_the_end(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.life_s = 0.5
    keeper = application.keeper()
    application.next()
    application.error = TICKET
    told = application.next()
    assert told == {"type": "tokens", "text": told["text"], "expires_at": told["expires_at"]}
    assert told["text"].endswith("Get a new one: kinit alice")
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1, "not again and again"
    assert "application_1_0001 gets no fresh HDFS tokens" in warnings[0] and "has run out" in warnings[0]
    application.error = None
    while "credentials" not in application.next():
        pass
    keeper.close()


def test_where_they_were_never_to_be_had_seven_days_are_assumed(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.error = SparkKernelError("The file system s3a://b has no WebHDFS to get new tokens from.")
    long_ago = time.time() - 7 * DAY + 1800
    keeper = application.keeper(long_ago)
    assert "no WebHDFS" in application.next()["text"]
    keeper.close()


def test_tokens_that_the_application_did_not_take_are_a_failure(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.refusal = "Py4JError: no such method"
    keeper = application.keeper()
    while "text" not in (said := application.next()):
        pass
    keeper.close()
    assert "did not take" in said["text"] and "no such method" in caplog.text


def test_while_the_link_is_cut_nothing_is_sent_and_then_at_once(
    application: Application, caplog: pytest.LogCaptureFixture
) -> None:
    application.connected = False
    keeper = application.keeper(time.time() - 0.2)
    with pytest.raises(queue.Empty):
        application.sent.get(timeout=0.05)
    application.connected = True
    assert "credentials" in application.next()
    keeper.close()
    assert not caplog.records


# -- the supervisor ----------------------------------------------------------------------------------------


class Spark:
    """The application's Spark."""

    def __init__(self) -> None:
        self.status = {"state": "ready"}
        self.used: list[bytes] = []

    def merge_tokens(self, path: str, credentials: bytes) -> bytes:
        return Path(path).read_bytes() + credentials

    def use_tokens(self, credentials: bytes) -> None:
        if credentials == b"bad":
            raise RuntimeError("no such method\nat org.apache.spark")
        self.used.append(credentials)


class Container:
    """A supervisor's tokens, and what it says."""

    def __init__(self, directory: Path, spark: Spark | None) -> None:
        self.path = directory / "container_tokens"
        self.path.write_bytes(b"old+")
        self.path.chmod(0o644)
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: list[str] = []
        environ = {"HADOOP_TOKEN_FILE_LOCATION": str(self.path)}
        fake: Any = spark
        self.tokens = Tokens(fake, environ, self.answers.put_nowait, self.told.append)
        self.task = asyncio.get_running_loop().create_task(self.tokens.run())

    def take(self, credentials: bytes, expires_at: int) -> None:
        encoded = base64.b64encode(credentials).decode()
        self.tokens.take({"type": "tokens", "credentials": encoded, "expires_at": expires_at})

    async def answer(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.answers.get(), 10)


async def test_a_supervisor_hands_them_to_spark_and_puts_them_beside_others_in_the_file(
    tmp_path: Path,
) -> None:
    spark = Spark()
    container = Container(tmp_path, spark)
    (tmp_path / ".container_tokens.crc").write_bytes(b"of the old content")
    container.take(b"new", 7)
    assert await container.answer() == {"type": "tokens_applied", "expires_at": 7, "text": ""}
    assert spark.used == [b"new"]
    assert [file.name for file in tmp_path.iterdir()] == ["container_tokens"]
    assert container.path.read_bytes() == b"old+new"
    assert stat.S_IMODE(container.path.stat().st_mode) == 0o600
    assert container.told == [""], "an older notice holds no more"
    container.task.cancel()


async def test_while_the_context_starts_they_wait_and_the_newest_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sparkkernels_supervisor.tokens.LOOK_EVERY_S", 0.01)
    spark = Spark()
    spark.status = {"state": "starting"}
    container = Container(tmp_path, spark)
    container.take(b"first", 1)
    container.take(b"second", 2)
    while container.path.read_bytes() != b"old+firstsecond":
        await asyncio.sleep(0.01)
    assert not spark.used and container.answers.empty()
    spark.status = {"state": "ready"}
    assert (await container.answer())["expires_at"] == 2
    assert spark.used == [b"second"]
    container.task.cancel()


async def test_a_failure_is_answered_in_a_line_and_the_next_ones_are_taken(tmp_path: Path) -> None:
    container = Container(tmp_path, Spark())
    container.take(b"bad", 1)
    assert (await container.answer())["text"] == "RuntimeError: no such method"
    container.tokens.take({"type": "tokens", "credentials": "no base64", "expires_at": 2})
    assert "Error" in (await container.answer())["text"]
    container.take(b"good", 3)
    assert (await container.answer())["text"] == ""
    container.tokens.take({"type": "tokens", "text": "HDFS access ends at 14:05."})
    assert container.told == ["", "HDFS access ends at 14:05."]
    container.task.cancel()


async def test_without_spark_nobody_needs_them(tmp_path: Path) -> None:
    container = Container(tmp_path, None)
    container.take(b"new", 1)
    assert (await container.answer())["text"] == "There is no Spark in this application."
    container.task.cancel()


# -- the notebook ------------------------------------------------------------------------------------------


def test_a_notice_is_shown_once_by_the_cell_that_runs_or_the_next_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    channel: Any = SimpleNamespace(send=lambda **message: None)
    cells = Cells(channel)
    notices = Notices(cells)
    notices.hear("taken back")
    notices.hear("")
    notices.hear("one")
    assert shown.getvalue() == ""
    with cells.running():
        notices.show()
        notices.show()
        assert shown.getvalue() == "one\n"
        notices.hear("two")
    assert shown.getvalue() == "one\ntwo\n"
