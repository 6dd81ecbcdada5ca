"""``%spark``: what a notebook can ask about its application that pyspark has no words for."""

from __future__ import annotations

import argparse
import shlex
import sys
import threading
import time
from typing import Any, Dict, List, NoReturn, Optional

from IPython.core.error import UsageError
from IPython.core.prefilter import PrefilterChecker

from .channel import Channel

USAGE = """\
%spark restart [--conf NAME=VALUE …] [--queue QUEUE]

Restarts this kernel in a new Spark application, with these Spark settings in addition to the kernelspec's;
without options, with the kernelspec's alone. They are kept until the next %spark restart. All variables and
cached data go with the old application.

    %spark restart --conf spark.executor.memory=4g --conf spark.executor.cores=2"""
#: Seconds after which a wait for the server is worth a line.
SILENCE_S = 3.0
#: Seconds for what was printed to leave this process, which is killed then.
LAST_WORDS_S = 0.3


class Arguments(argparse.ArgumentParser):
    """Raises where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("%%spark: %s. See %%spark --help." % message)


def parse(line: str) -> Optional[Dict[str, Any]]:
    """What a line asks for: a ``restart`` message (PROTOCOL.md, section 6), or None for help.

    Raises
    ------
    IPython.core.error.UsageError
        It makes no sense.
    """
    parser = Arguments(prog="%spark", add_help=False, allow_abbrev=False)
    parser.add_argument("command", nargs="?", choices=["restart"])
    parser.add_argument("--conf", action="append", default=[])
    parser.add_argument("--queue")
    parser.add_argument("-h", "--help", action="store_true")
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError("%%spark: %s. See %%spark --help." % error) from error
    given = parser.parse_args(words)
    if given.help or given.command is None:
        if given.conf or given.queue:
            parser.error("settings come with a restart: %%spark restart %s" % line.strip())
        return None
    settings = {}
    for pair in given.conf:
        name, equals, value = pair.partition("=")
        if not name.strip() or not equals:
            parser.error("%r is not NAME=VALUE" % pair)
        settings[name.strip()] = value.strip()
    return {"type": "restart", "spark_conf": settings, "queue": given.queue}


class SparkMagic:
    """The line magic of one notebook.

    Parameters
    ----------
    shell : IPython.core.interactiveshell.InteractiveShell
        Gets it.
    channel : Channel
        To the supervisor.
    """

    def __init__(self, shell: Any, channel: Channel) -> None:
        self._channel = channel
        self._changed = threading.Condition()
        self._answers: List[Dict[str, Any]] = []
        shell.register_magic_function(self.spark, "line", "spark")
        manager = shell.prefilter_manager
        checker: Any = NoAutomagic
        manager.register_checker(checker(shell=shell, prefilter_manager=manager, parent=manager))

    def hear(self, message: Dict[str, Any]) -> None:
        """Take a ``restart_answer``."""
        with self._changed:
            self._answers.append(message)
            self._changed.notify_all()

    def spark(self, line: str) -> None:
        """Ask for a new application with other settings; %spark --help says more."""
        request = parse(line)
        if request is None:
            print(USAGE)
            return
        with self._changed:
            self._answers.clear()
        self._channel.send(**request)
        answer = self._answer()
        if not answer.get("accepted"):
            raise UsageError(str(answer.get("text", "")))
        print(answer.get("text", ""), file=sys.stderr, flush=True)
        if answer.get("restarts"):
            time.sleep(LAST_WORDS_S)
            self._channel.send(type="end")
            threading.Event().wait()  # no later cell may run in the old application

    def _answer(self) -> Dict[str, Any]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._answers, SILENCE_S):
                print("Waiting for the Jupyter server's answer …", file=sys.stderr, flush=True)
                self._changed.wait_for(lambda: self._answers)
            return self._answers.pop()


class NoAutomagic(PrefilterChecker):
    """Has a line that begins with ``spark`` be Python: the variable may come into being with that line."""

    priority = 650  # before IPython's AutoMagicChecker

    def check(self, line_info: Any) -> Any:
        """Called by IPython with each line; a handler, or None when it is no business of ours."""
        if line_info.ifun == "spark" and not line_info.esc:
            manager: Any = self.prefilter_manager
            return manager.get_handler_by_name("normal")
        return None
