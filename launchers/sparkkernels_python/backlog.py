"""What this kernel says while no server listens is kept, within bounds, and said again to the next one."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

import zmq

#: Bytes and messages that are kept while nobody listens: what a Jupyter server lets through at once, and
#: fewer messages than ZeroMQ keeps for a reader that is not there yet.
MOST_BYTES, MOST_MESSAGES = 2097152, 800
#: Seconds for which everything is kept, since a relay that is gone is noticed late; bytes of that.
RECENT_S, RECENT_BYTES = 60.0, 524288
#: Seconds for which a cell waits in its output when all buffers are full and nobody is connected: a network
#: comes back, a server may not, and what runs overnight shall go on.
PATIENCE_S = 120.0
#: Replies to cells that are kept.
MOST_REPLIES = 100
#: Seconds after which all clients of a new server have subscribed. The first subscription that comes is that
#: of the server itself, which watches what its kernels do; of further ones ZeroMQ says nothing.
SUBSCRIBED_S = 2.0
DELIMITER = b"<IDS|MSG>"
LOST = "sparkkernels: the first of what was printed while no server was connected was not kept.\n"


class Said:
    """One message as it was published; pieces of one stream are put together.

    Parameters
    ----------
    at : float
        On the monotonic clock, in seconds.
    parts : list of bytes
        Topic, delimiter, signature, header, parent, metadata, content, buffers.
    sent : bool
        Whether those who were connected, or are again, have got it or will.
    """

    def __init__(self, at: float, parts: List[bytes], sent: bool) -> None:
        self.at = at
        self.parts = parts
        self.sent = sent
        self.size = sum(map(len, parts))
        self.texts: Deque[str] = deque()
        self.name = ""
        if json.loads(parts[3]).get("msg_type") == "stream":
            content = json.loads(parts[6])
            self.name = str(content["name"])
            self.texts.append(str(content["text"]))

    def takes(self, later: Said) -> bool:
        """Whether a later message is more of the same stream, and is now a part of this one."""
        if (self.name, self.sent, self.parts[4]) != (later.name, later.sent, later.parts[4]) or not self.name:
            return False
        self.texts.extend(later.texts)
        self.size += sum(map(len, later.texts))
        return True

    def shorten(self) -> int:
        """Forget its oldest piece; how many bytes that was, 0 when it is the only one."""
        if len(self.texts) < 2:
            return 0
        lost = len(self.texts.popleft())
        self.size -= lost
        return lost


class Backlog:
    """Keeps messages, from the IOPub thread, and replies.

    Parameters
    ----------
    session : jupyter_client.session.Session
        The kernel's.
    iopub : ipykernel.iostream.IOPubThread
        Its thread for output.
    """

    def __init__(self, session: Any, iopub: Any) -> None:
        self._session = session
        self._iopub = iopub
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._said: Deque[Said] = deque()
        self._size = 0
        self._lost = False
        self._since: Optional[float] = None  # since when nobody listens
        self._due = False
        self._timer = threading.Timer(0, self._say_again)
        self._unsent = 0
        self._replies: Deque[Tuple[float, Tuple[bytes, ...], Dict[str, Any]]] = deque(maxlen=MOST_REPLIES)
        self._unanswered: Dict[Tuple[bytes, ...], List[Dict[str, Any]]] = {}
        self._publish: Callable[..., Any] = iopub._really_send
        self._send: Callable[..., Any] = session.send
        iopub._really_send = self._published
        session.send = self._sent
        subscriptions = getattr(iopub, "_xpub_stream", None)  # ipykernel 7 and later
        if subscriptions is not None:
            subscriptions.on_recv(self._subscribed)

    # -- what the supervisor says --------------------------------------------------------------------------

    def away(self, silent_s: float) -> None:
        """Nobody listens, and nobody was heard for so many seconds."""
        with self._lock:
            if self._since is None:
                self._since = time.monotonic() - silent_s

    def back(self) -> None:
        """The same server is there again; it has got everything, unless that took too long."""
        with self._lock:
            if not self._unsent:
                self._since = None
                self._trim()
                self._replies.clear()
                return
            for said in [said for said in self._said if said.sent]:
                self._said.remove(said)
                self._size -= said.size
        self.replay()

    def replay(self) -> None:
        """Another server is there, and clients of it: say it again as soon as they can hear it."""
        with self._lock:
            if self._since is None:
                return
            for at, identities, reply in self._replies:
                if at >= self._since:
                    self._unanswered.setdefault(identities, []).append(reply)
            self._replies.clear()
            self._due = True
        self._say_again_soon()

    def _say_again_soon(self) -> None:
        """When all clients can hear it; who is called again meanwhile begins to wait anew."""
        self._timer.cancel()
        self._timer = threading.Timer(SUBSCRIBED_S, lambda: self._iopub.schedule(self._say_again))
        self._timer.daemon = True
        self._timer.start()

    def answer(self, stream: Any, identities: List[Any]) -> None:
        """Send a client that is there again the replies that it has missed; on its requests' thread."""
        if self._unanswered:
            for reply in self._unanswered.pop(tuple(map(bytes, identities)), ()):
                header = self._session.msg_header(reply["msg_type"])  # or who has it would refuse the copy
                again = dict(reply, header=header, msg_id=header["msg_id"])
                self._send(stream, again, ident=identities)

    # -- what the kernel says ------------------------------------------------------------------------------

    def _published(self, message: List[Any], *args: Any, **kwargs: Any) -> None:
        if os.getpid() != self._pid:  # what a forked child says comes through its parent
            self._publish(message, *args, **kwargs)
            return
        at = time.monotonic()
        # while a replay is due a cell's end must not come before what it said
        sent = not self._due and self._push(message)
        parts = [part if isinstance(part, bytes) else bytes(part) for part in message]
        if len(parts) > 6 and parts[1] == DELIMITER:
            self._keep(Said(at, parts, sent))

    def _keep(self, said: Said) -> None:
        with self._lock:
            self._unsent += not said.sent
            last = self._said[-1] if self._said else None
            if self._since is not None and last and last.at >= self._since and last.takes(said):
                self._size += sum(map(len, said.texts))
            else:
                self._said.append(said)
                self._size += said.size
            self._trim()

    def _push(self, message: List[Any]) -> bool:
        """Send, as soon as everybody can take it; whether that was so before patience ended."""
        while True:
            try:
                self._publish(message, zmq.NOBLOCK if self._unsent else 0)
                return True
            except zmq.Again:
                if self._since is not None and time.monotonic() - self._since > PATIENCE_S:
                    return False

    def _trim(self) -> None:
        if self._since is None:
            oldest = time.monotonic() - RECENT_S
            while self._said and (self._said[0].at < oldest or self._size > RECENT_BYTES):
                self._size -= self._said.popleft().size
            return
        while self._said and (self._size > MOST_BYTES or len(self._said) > MOST_MESSAGES):
            self._lost = self._lost or self._said[0].at >= self._since
            shortened = self._said[0].shorten()
            self._size -= shortened or self._said.popleft().size

    def _sent(self, stream: Any, what: Any, *args: Any, **kwargs: Any) -> Any:
        sent = self._send(stream, what, *args, **kwargs)
        identities = kwargs.get("ident") or (args[2] if len(args) > 2 else None)
        if sent and isinstance(identities, list) and sent["msg_type"] == "execute_reply":
            with self._lock:
                self._replies.append((time.monotonic(), tuple(map(bytes, identities)), sent))
        return sent

    # -- on the IOPub thread -------------------------------------------------------------------------------

    def _subscribed(self, frames: List[bytes]) -> None:
        with contextlib.suppress(zmq.Again):  # its welcome; somebody else's buffer is full
            self._iopub._handle_subscription(frames)
        if self._due and any(frame[:1] == b"\x01" for frame in frames):
            self._say_again_soon()

    def _say_again(self) -> None:
        with self._lock:
            if not self._due or self._since is None:
                return
            missed = [said for said in self._said if said.at >= self._since]
            lost, self._due, self._since, self._lost = self._lost, False, None, False
            self._unsent = 0
            self._said.clear()
            self._size = 0
        # Whoever finds out whether it can hear us takes the first message for that (jupyter_server's nudge).
        self._push(self._session.serialize(self._session.msg("iopub_welcome", {"subscription": ""})))
        if lost and missed:
            self._push(self._again(missed[0], "stream", {"name": "stderr", "text": LOST}))
        for said in missed:
            kind = json.loads(said.parts[3])["msg_type"]
            content = {"name": said.name, "text": "".join(said.texts)} if said.name else None
            self._push(self._again(said, kind, content))

    def _again(self, said: Said, kind: str, content: Optional[Dict[str, str]]) -> List[bytes]:
        """A message for the same cell under a new id: who has heard the first would refuse a copy."""
        topic, (parent, metadata, first), buffers = said.parts[0], said.parts[4:7], said.parts[7:]
        header = self._session.pack(self._session.msg_header(kind))
        signed = [header, parent, metadata, first if content is None else self._session.pack(content)]
        return [topic, DELIMITER, self._session.sign(signed), *signed, *(() if content else buffers)]
