"""Fresh delegation tokens for the running application, as the relay sends them (PROTOCOL.md, section 5)."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Mapping, Optional

if TYPE_CHECKING:
    from .context import SparkApplication

#: Seconds between two looks whether the SparkContext is there.
LOOK_EVERY_S = 0.5
#: Where Hadoop's clients in this container read their tokens when they start.
FILE_VARIABLE = "HADOOP_TOKEN_FILE_LOCATION"


class Tokens:
    """Gives fresh tokens to whoever uses Hadoop here, and answers the relay.

    Parameters
    ----------
    spark : SparkApplication or None
        The application's Spark, None without a JVM.
    environ : mapping of str to str
        The container's environment.
    answer : callable
        Sends a control message.
    tell : callable
        Tells the kernel's user something; "" takes back what was not shown yet.
    """

    def __init__(
        self,
        spark: Optional[SparkApplication],
        environ: Mapping[str, str],
        answer: Callable[[Dict[str, Any]], None],
        tell: Callable[[str], None],
    ) -> None:
        self._spark = spark
        self._path = environ.get(FILE_VARIABLE, "")
        self._answer = answer
        self._tell = tell
        self._messages: asyncio.Queue[Dict[str, Any]] = asyncio.Queue()

    def take(self, message: Dict[str, Any]) -> None:
        """Take a ``tokens`` message; only the newest one that is not applied yet matters."""
        if message.get("credentials"):
            self._messages.put_nowait(message)
        else:
            self._tell(str(message.get("text", "")))

    async def run(self) -> None:
        """Apply what comes, for ever."""
        while True:
            message = await self._messages.get()
            text = await self._apply(message)
            if text is None:
                continue
            self._answer({"type": "tokens_applied", "expires_at": message.get("expires_at"), "text": text})
            if not text:
                self._tell("")

    async def _apply(self, message: Dict[str, Any]) -> Optional[str]:
        """Why it failed, "" when it did not, None when there are newer ones by now."""
        spark = self._spark
        if spark is None:
            return "There is no Spark in this application."
        loop = asyncio.get_running_loop()
        try:
            credentials = base64.b64decode(message["credentials"], validate=True)
            if self._path:
                await loop.run_in_executor(None, update_file, spark, self._path, credentials)
            while spark.status["state"] == "starting":
                await asyncio.sleep(LOOK_EVERY_S)
                if not self._messages.empty():
                    return None
            await loop.run_in_executor(None, spark.use_tokens, credentials)
        except Exception as error:  # noqa: BLE001 py4j raises what the JVM did; the kernel must outlive it
            return "%s: %s" % (type(error).__name__, (str(error).strip().splitlines() or [""])[0])
        return ""


def update_file(spark: SparkApplication, path: str, credentials: bytes) -> None:
    """Put tokens into a token file, beside what else is in it; who reads it sees the old one or the new one.

    Parameters
    ----------
    spark : SparkApplication
        Merges them: Hadoop's file has two formats.
    path : str
        Of the file, which only its owner may read.
    credentials : bytes
        In Hadoop's format.
    """
    merged = spark.merge_tokens(path, credentials)
    temporary = "%s.%d" % (path, os.getpid())
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(merged)
        # The NodeManager wrote a checksum beside it, which some of Hadoop's readers compare
        # (``ChecksumFileSystem``); without one they take what is there.
        checksum = os.path.join(os.path.dirname(path), ".%s.crc" % os.path.basename(path))
        if os.path.exists(checksum):
            os.unlink(checksum)
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def merge(jvm: Any, path: str, credentials: bytes) -> bytes:
    """What is in a token file, with these tokens in place of older ones of the same service.

    Parameters
    ----------
    jvm : py4j.java_gateway.JVMView
    path : str
    credentials : bytes
        In Hadoop's format (``org.apache.hadoop.security.Credentials``).
    """
    io = jvm.java.io
    hadoop = jvm.org.apache.hadoop
    fresh = hadoop.security.Credentials()
    fresh.readTokenStorageStream(io.DataInputStream(io.ByteArrayInputStream(credentials)))
    merged = hadoop.security.Credentials.readTokenStorageFile(io.File(path), hadoop.conf.Configuration())
    merged.addAll(fresh)
    written = io.ByteArrayOutputStream()
    merged.writeTokenStorageToStream(io.DataOutputStream(written))
    return bytes(written.toByteArray())


def use(jvm: Any, sc: Any, credentials: bytes) -> None:
    """Have the driver, its executors and those that will come use these tokens.

    Parameters
    ----------
    jvm : py4j.java_gateway.JVMView
    sc : py4j.java_gateway.JavaObject
        The ``SparkContext``.
    credentials : bytes
        In Hadoop's format.

    Notes
    -----
    What Spark's own renewal sends itself (``HadoopDelegationTokenManager.updateTokensTask``); private to
    Spark but public in bytecode (seen in 3.5.9, tried there; the same in 4.3.0).
    """
    messages = jvm.org.apache.spark.scheduler.cluster
    update = getattr(messages, "CoarseGrainedClusterMessages$UpdateDelegationTokens")
    sc.schedulerBackend().driverEndpoint().send(update(credentials))
