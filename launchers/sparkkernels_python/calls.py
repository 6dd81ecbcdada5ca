"""The py4j calls of this process: each cell's get a job tag, abandoned ones are followed to their end.

A Spark job has the tags of the Java thread that submits it, and py4j serves each of its connections with a
Java thread of its own. So it is connections that are tagged, when a call is about to use one: a cell that
never calls Spark costs nothing.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import Any, Optional

from py4j import java_gateway, protocol

from .cells import Cell, Cells

#: Attribute of a py4j connection that has been prepared.
MARK = "_sparkkernels"
#: Seconds for which the jobs of an abandoned call are cancelled if it does not end, and between two times.
FOLLOW_S, FOLLOW_EVERY_S, FOLLOW_EVERY_MAX_S = 600.0, 0.1, 2.0
STOPPED = (
    "This object belongs to a Spark session that was stopped; "
    "SparkSession.builder.getOrCreate() gives the next one."
)


class _Mark:
    """What is known of a connection: the cell its Java thread works for, that cell's tag, and the thread."""

    def __init__(self) -> None:
        self.cell: Optional[Cell] = None
        self.tag = ""
        self.thread = ""


class Calls:
    """Stands between py4j's client and its connections.

    Parameters
    ----------
    gateway : py4j.java_gateway.JavaGateway
        This process's gateway, as pyspark made it.
    secret : str
        The gateway's; the tag that all of this process's jobs have follows from it.
    cells : Cells
        What runs.
    """

    def __init__(self, gateway: Any, secret: str, cells: Cells) -> None:
        self._cells = cells
        self.kernel_tag = "sparkkernels-kernel-" + hashlib.sha256(secret.encode()).hexdigest()[:16]
        self._context = ""
        self._session = ""
        self._keep: Any = None
        self._here = threading.local()
        self.stopped = False
        client = gateway._gateway_client
        self._get_connection = client._get_connection
        self._send_command = client.send_command
        client._get_connection = self._connection
        client.send_command = self._send
        # py4j reports an interrupted call as an error, with a stack, through the root logger, which that
        # configures on the way (logging.exception); the notebook shows KeyboardInterrupt anyway.
        java_gateway.logging = logging.getLogger("py4j.java_gateway")

    def tag_jobs(self, context: Any, session: Any, jobs_have_tags: bool) -> None:
        """Begin to tag jobs, and to make the session the active one of each thread that runs cells.

        Parameters
        ----------
        context, session : py4j.java_gateway.JavaObject
            The JVM's SparkContext and this process's SparkSession.
        jobs_have_tags : bool
            Whether this Spark knows job tags (>= 3.5).
        """
        self._keep = (context, session)
        self._session = session._target_id
        self._context = context._target_id if jobs_have_tags else ""

    def _connection(self) -> Any:
        connection = self._get_connection()
        cell = self._cells.current()
        mark = connection.__dict__.get(MARK)
        if self._session and (mark is None or (cell is not None and mark.cell is not cell)):
            mark = self._prepare(connection, mark, cell)
        self._here.mark = mark
        return connection

    def _prepare(self, connection: Any, mark: Optional[_Mark], cell: Optional[Cell]) -> _Mark:
        try:
            if mark is None:
                mark = _Mark()
                if self._context:
                    self._call(connection, self._context, "addJobTag", self.kernel_tag)
            if cell is not None:
                if not mark.thread:
                    mark.thread = self._call(connection, "z:java.lang.Thread", "currentThread")
                    session = "z:org.apache.spark.sql.SparkSession"
                    self._call(connection, session, "setActiveSession", reference=self._session)
                if self._context:
                    if mark.tag:
                        self._call(connection, self._context, "removeJobTag", mark.tag)
                    mark.tag = self._cells.tag(cell)
                    if mark.tag:
                        self._call(connection, self._context, "addJobTag", mark.tag)
                mark.cell = cell
        except BaseException:  # an interrupt between question and answer: the next answer would be this one
            connection.close()
            raise
        connection.__dict__[MARK] = mark
        return mark

    def _call(self, connection: Any, target: str, method: str, text: str = "", reference: str = "") -> str:
        """Call a method on this very connection; returns the id of the object it returns."""
        argument = ""
        if text:
            argument = protocol.STRING_TYPE + protocol.escape_new_line(text) + "\n"
        elif reference:
            argument = protocol.REFERENCE_TYPE + reference + "\n"
        command = protocol.CALL_COMMAND_NAME + target + "\n" + method + "\n" + argument + "e\n"
        answer: str = connection.send_command(command)
        if protocol.is_error(answer)[0]:
            raise protocol.Py4JError("%s.%s failed: %s" % (target, method, answer))
        return answer[2:]

    def _send(self, command: str, retry: bool = True, binary: bool = False) -> Any:
        if self.stopped and not command.startswith(protocol.MEMORY_COMMAND_NAME):
            raise protocol.Py4JError(STOPPED)
        try:
            return self._send_command(command, retry, binary)
        except KeyboardInterrupt:
            mark = getattr(self._here, "mark", None)
            if mark is not None and mark.tag and mark.thread:
                threading.Thread(target=self._follow, args=(mark,), name="spark-follow", daemon=True).start()
            raise

    def _follow(self, mark: _Mark) -> None:
        """Cancel the jobs of an abandoned call until its Java thread has ended: it may be planning more."""
        context = self._keep[0]
        thread = java_gateway.JavaObject(mark.thread, context._gateway_client)
        end = time.monotonic() + FOLLOW_S
        pause = FOLLOW_EVERY_S
        try:
            while thread.isAlive() and time.monotonic() < end:
                context.cancelJobsWithTag(mark.tag)
                time.sleep(pause)
                pause = min(pause * 1.5, FOLLOW_EVERY_MAX_S)
        except protocol.Py4JError:
            return  # stopped meanwhile, and all jobs with it
