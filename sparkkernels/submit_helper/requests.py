"""Requests as they come from a person's process: read strictly, since anybody may have written them."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from ..errors import ConfigurationError
from ..limits import quoted
from ..spec import SCALA_VERSION, LaunchSpec
from .messages import SPEC_SECONDS, SPEC_TEXTS

APPLICATION_ID = re.compile(r"application_[0-9]{1,20}_[0-9]{1,10}\Z")
SERVER_TAG = re.compile(r"sparkkernels-server-[0-9a-f]{32}\Z")
HEX = re.compile(r"[0-9a-f]{64}\Z")
#: What every application of ours is tagged with.
OUR_TAG = "sparkkernels"
LONGEST_TEXT, LONGEST_TAIL, MOST_IDS, MOST_ADDRESSES = 256, 1048576, 1000, 64
LONGEST_PATH, MOST_JARS = 4096, 64
LARGEST_ID = 2**53

Checker = Callable[[str, Any], Any]


@dataclass(frozen=True)
class Request:
    """One request.

    Attributes
    ----------
    number : int
        The caller's own, repeated in the answer.
    operation : str
        A name of :data:`OPERATIONS`.
    arguments : mapping of str to Any
        Checked, as the operation's table says.
    """

    number: int
    operation: str
    arguments: Mapping[str, Any]


def parse_request(line: bytes) -> Request:
    """Read a request.

    Raises
    ------
    Malformed
        With the request's number where that could be read.
    """
    content = _json(line)
    _keys("The request", content, {"id", "operation", "arguments"})
    number = content["id"]
    if not _is_integer(number) or not 0 <= number <= LARGEST_ID:
        raise Malformed(None, "The request's id is no number.")
    try:
        return Request(number, *_operation(content["operation"], content["arguments"]))
    except ConfigurationError as error:
        raise Malformed(number, error.message, error.hint) from error


class Malformed(ConfigurationError):
    """A request that can't be read.

    Parameters
    ----------
    number : int or None
        The request's, where that could be read; the conversation is over where not.
    message, hint : str
    """

    def __init__(self, number: int | None, message: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number


def launch_spec(content: Mapping[str, Any], proxy_user: str, spark_home: str) -> LaunchSpec:
    """The launch spec of a request that was read, for the person who called.

    Raises
    ------
    ConfigurationError
    """
    own_tag = [content["server_tag"]] if content["server_tag"] else []
    return LaunchSpec(
        master="yarn",
        argv=("kernel",),  # the real one goes over the wire, from the person's server to the container
        spark_home=spark_home,
        spark_conf=content["spark_conf"],
        jars=tuple(content["jars"]),
        scala_version=content["scala_version"],
        generation=content["generation"],
        queue=content["queue"],
        proxy_user=proxy_user,
        tags=(OUR_TAG, content["kernel_id"], *own_tag),
        **{name: content[name] for name in (*SPEC_TEXTS, *SPEC_SECONDS)},
    )


def _operation(operation: Any, arguments: Any) -> tuple[str, dict[str, Any]]:
    if not isinstance(operation, str) or operation not in OPERATIONS:
        raise ConfigurationError(f"The submit helper knows no operation {quoted(operation)}.")
    return operation, _object(f"{operation}'s arguments", arguments, OPERATIONS[operation])


def _json(line: bytes) -> dict[str, Any]:
    def refuse(text: str) -> NoReturn:
        raise ValueError(text)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        return found if len(found) == len(pairs) else refuse("the same key twice")

    try:
        content = json.loads(line.decode(), parse_constant=refuse, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        raise Malformed(None, "The request is not JSON.") from None
    if not isinstance(content, dict):
        raise Malformed(None, "The request is no JSON object.")
    return content


def _keys(what: str, content: Mapping[str, Any], wanted: set[str]) -> None:
    unknown, missing = content.keys() - wanted, wanted - content.keys()
    if unknown:
        raise Malformed(None, f"{what} must not have {quoted(min(unknown))}.")
    if missing:
        raise Malformed(None, f"{what} must have {min(missing)}.")


def _object(what: str, value: Any, checkers: Mapping[str, Checker]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{what} must be an object.")
    _keys(what, value, set(checkers))
    return {name: check(f"{what}: {name}", value[name]) for name, check in checkers.items()}


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(what: str, value: Any, wanted: str) -> NoReturn:
    raise ConfigurationError(f"{what} must be {wanted}, not {quoted(value)}.")


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_TEXT or not value.isprintable():
        _wrong(what, value, f"one line of up to {LONGEST_TEXT} characters")
    return value


def _path(what: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_PATH or not value.isprintable():
        _wrong(what, value, "a path")
    return value  # which ones is the administrator's business


def _integer(least: int, most: int) -> Checker:
    def check(what: str, value: Any) -> int:
        if not _is_integer(value) or not least <= value <= most:
            _wrong(what, value, f"a whole number from {least} to {most}")
        return int(value)

    return check


def _seconds(what: str, value: Any) -> float:
    number = _is_integer(value) or isinstance(value, float)
    if not number or not 0 < value <= 1e9 or not math.isfinite(value):
        _wrong(what, value, "a number of seconds")
    return float(value)


def _optional(check: Checker) -> Checker:
    return lambda what, value: None if value is None else check(what, value)


def _matching(pattern: re.Pattern[str], wanted: str) -> Checker:
    def check(what: str, value: Any) -> str:
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not pattern.match(value):
            _wrong(what, value, wanted)
        return value

    return check


def _list(check: Checker, most: int) -> Checker:
    def check_all(what: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            _wrong(what, value, f"a list of up to {most}")
        return [check(what, item) for item in value]

    return check_all


def _address(what: str, value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) != 2:
        _wrong(what, value, "a host and a port")
    return [_text(what, value[0]), _integer(1, 65535)(what, value[1])]


def _texts_by_name(what: str, value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        _wrong(what, value, "an object of texts")
    return value  # names and values are the limits' business


def _of(checkers: Mapping[str, Checker]) -> Checker:
    return lambda what, value: _object(what, value, checkers)


_APPLICATION = _matching(APPLICATION_ID, "an application's id")

#: As ``messages.spec_to_json`` makes it.
SPEC: dict[str, Checker] = {
    **dict.fromkeys(SPEC_TEXTS, _text),
    **dict.fromkeys(SPEC_SECONDS, _seconds),
    "generation": _integer(1, 2**31),
    "queue": _optional(_text),
    "spark_conf": _texts_by_name,
    "jars": _list(_path, MOST_JARS),
    "scala_version": _matching(SCALA_VERSION, "a Scala version"),
    "server_tag": _optional(_matching(SERVER_TAG, "a server's tag")),
}

#: launchers/PROTOCOL.md, section 1.
REGISTRATION: dict[str, Checker] = {
    "protocol": _integer(1, 1000),
    "kernel_id": _text,
    "generation": _integer(1, 2**31),
    "addresses": _list(_address, MOST_ADDRESSES),
    "fingerprint": _matching(HEX, "64 hex digits"),
    "token": _matching(HEX, "64 hex digits"),
    "registration_timeout_s": _seconds,
}

#: All that can be asked, with the arguments' checks.
OPERATIONS: dict[str, dict[str, Checker]] = {
    "prepare": {"spec": _of(SPEC)},
    "submit": {"spec": _of(SPEC), "registration": _of(REGISTRATION)},
    "cancel": {"submit": _integer(0, LARGEST_ID)},
    "report": {"application_ids": _list(_APPLICATION, MOST_IDS)},
    "kill": {"application_id": _APPLICATION},
    "logs": {"application_id": _APPLICATION, "tail_bytes": _integer(1, LONGEST_TAIL)},
    "hosts": {},
    "fresh_tokens": {"application_id": _APPLICATION},
}
