"""What connects this process with the application's Spark: waits for it, attaches, lets go."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, Callable, Dict, Optional, Tuple

from .background import BackgroundImport
from .cells import Cells
from .channel import Channel
from .errors import SparkContextFailed

if TYPE_CHECKING:
    from .attach import Attachment

#: Seconds that a new kernel has for itself before it imports pyspark, unless a cell wants Spark already.
IMPORT_AFTER_S = 1.0
#: Seconds after which a wait is worth a line in the notebook.
SILENCE_S = 0.5
#: Seconds for which the supervisor may take to end the work of a stopped session.
RELEASE_S = 30.0
AGAIN = "Restart the kernel to try again."


class SparkLink:
    """The way to the application's SparkContext.

    Parameters
    ----------
    channel : Channel
        To the supervisor.
    cells : Cells
        What runs.
    on_attached : callable
        Called with each new ``SparkSession``, on the thread that attached.
    """

    def __init__(self, channel: Channel, cells: Cells, on_attached: Callable[[Any], None]) -> None:
        self._channel = channel
        self._cells = cells
        self._on_attached = on_attached
        self._changed = threading.Condition()
        self._state = ""  # unknown until the supervisor's first message
        self._text = "the supervisor has not said anything yet"
        self._gateway: Optional[Tuple[int, str]] = None
        self._attachment: Optional[Attachment] = None
        self._attaching: Optional[threading.Thread] = None
        self._failure = ""
        self._wanted = threading.Event()
        self._pyspark = BackgroundImport("pyspark.sql")
        self._was_attached = False
        self._released = threading.Event()
        self.on_notice: Callable[[str, str], object] = lambda text, about: None
        self.on_restart_answer: Callable[[Dict[str, Any]], object] = lambda message: None
        self.on_relay: Callable[[Dict[str, Any]], object] = lambda message: None

    def start(self) -> None:
        """Listen to the supervisor; attach as soon as there is something to attach to."""
        self._pyspark.watch()
        threading.Thread(target=self._listen, name="spark-link", daemon=True).start()

    def exists(self) -> bool:
        """Whether this kernel has Spark at all; waits for the supervisor's first word."""
        self._wait(lambda: self._state != "")
        return self._state != "none"

    def is_attaching(self) -> bool:
        """Whether the calling thread is the one that attaches, which must not wait for itself."""
        return threading.current_thread() is self._attaching

    def session(self) -> Any:
        """The session; waits for it, and attaches anew when it was stopped.

        Raises
        ------
        SparkContextFailed
            There is none, and none will be.
        KeyboardInterrupt
            The user does not want to wait.
        """
        __tracebackhide__ = True
        attachment = self._attachment
        if attachment is None:
            began = time.monotonic()
            self._wanted.set()
            self._pyspark.now()
            with self._changed:
                if self._gateway is not None and self._attaching is None and not self._failure:
                    self._attach()
            self._wait(lambda: self._attachment is not None or self._failure, began)
            attachment = self._attachment
            if attachment is None:
                raise SparkContextFailed(self._failure)
        return attachment.session

    def settle(self) -> None:
        """Wait for the first session; nothing happens when that was stopped, or there is no Spark at all.

        Raises
        ------
        SparkContextFailed
            There is none, and none will be.
        KeyboardInterrupt
            The user does not want to wait.
        """
        __tracebackhide__ = True
        if self.exists() and not self._was_attached:
            self.session()

    def release(self, context: Any) -> bool:
        """Do what ``stop()`` means, for the ``SparkContext`` that it was called on; whether that is ours."""
        attachment = self._attachment
        if attachment is None or attachment.context is not context:
            return False
        self._released.clear()
        self._channel.send(type="release")
        try:
            self._released.wait(RELEASE_S)
        finally:
            self._attachment = None
            attachment.close()
        return True

    # -- the supervisor's word -------------------------------------------------------------------------------

    def _listen(self) -> None:
        for message in self._channel.messages():
            if message["type"] == "context":
                self._hear_state(str(message["state"]), str(message.get("text", "")))
            elif message["type"] == "gateway":
                self._hear_gateway(int(message["port"]), str(message["secret"]))
            elif message["type"] == "released":
                self._released.set()
            elif message["type"] == "notice":
                self.on_notice(str(message["text"]), str(message.get("about", "")))
            elif message["type"] == "restart_answer":
                self.on_restart_answer(message)
            elif message["type"] == "relay":
                self.on_relay(message)
        self._hear_state("stopped", "The supervisor of this kernel is gone.")

    def _hear_state(self, state: str, text: str) -> None:
        with self._changed:
            if self._state == "" and state == "starting":
                threading.Thread(target=self._import_early, name="spark-import", daemon=True).start()
            self._state = state
            self._text = text
            if state == "failed":
                self._failure = "The SparkContext could not be started.\n%s\n%s" % (text, AGAIN)
            elif state == "none":
                self._pyspark.end()
            elif state == "stopped":
                self._failure = "The SparkContext of this application has ended.\n%s\n%s" % (text, AGAIN)
                self.on_notice(self._failure if self._was_attached else "", "context")
            self._changed.notify_all()

    def _hear_gateway(self, port: int, secret: str) -> None:
        with self._changed:
            if self._gateway is None:
                self._gateway = (port, secret)
                self._text = "opening a session"
                self._attach()

    def _import_early(self) -> None:
        """Have pyspark imported when the context is ready."""
        self._wanted.wait(IMPORT_AFTER_S)
        with contextlib.suppress(ImportError):  # who needs it will say so
            self._pyspark.in_background()

    def _attach(self) -> None:
        """To be called with the lock held."""
        self._attaching = threading.Thread(target=self._attach_now, name="spark-attach", daemon=True)
        self._attaching.start()

    def _attach_now(self) -> None:
        assert self._gateway is not None
        attachment: Optional[Attachment] = None
        try:
            if not self._was_attached:
                self._wanted.wait(IMPORT_AFTER_S)
            self._pyspark.in_background()
            from .attach import Attachment

            attachment = Attachment(self._gateway[0], self._gateway[1], self._cells)
            self._on_attached(attachment.session)
        except Exception as error:  # noqa: BLE001 whatever it is, the notebook gets to hear of it
            traceback.print_exc(file=sys.__stderr__)
            cause = "".join(traceback.format_exception_only(type(error), error)).strip()
            with self._changed:
                self._failure = "This kernel could not attach to its SparkContext.\n%s\n%s" % (cause, AGAIN)
        finally:
            with self._changed:
                self._attachment = attachment
                self._attaching = None
                self._was_attached = self._was_attached or attachment is not None
                self._changed.notify_all()

    def _wait(self, over: Callable[[], object], began: Optional[float] = None) -> None:
        """Wait, interruptibly, and say what for when it takes long; it may have begun before."""
        __tracebackhide__ = True
        speak_at: Optional[float] = (time.monotonic() if began is None else began) + SILENCE_S
        with self._changed:
            while not over():
                if speak_at is None:
                    self._changed.wait()
                elif time.monotonic() < speak_at:
                    self._changed.wait(speak_at - time.monotonic())
                else:
                    speak_at = None
                    print("Waiting for Spark: %s …" % self._text.rstrip("."), file=sys.stderr, flush=True)
