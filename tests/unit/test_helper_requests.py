"""What a person's process may say to the privileged helper, and what is made of everything else."""

from __future__ import annotations

import copy
import json
import time
import uuid
from typing import Any, cast

import pytest

from sparkkernels import errors
from sparkkernels.cluster.base import ApplicationReport
from sparkkernels.errors import ConfigurationError, NotAllowed, SparkKernelError
from sparkkernels.spec import LaunchSpec
from sparkkernels.states import ApplicationState, FinalStatus
from sparkkernels.submit_helper.configuration import parse_configuration
from sparkkernels.submit_helper.messages import (
    error_from_json,
    error_to_json,
    report_from_json,
    report_to_json,
    spec_to_json,
)
from sparkkernels.submit_helper.requests import OPERATIONS, Malformed, launch_spec, parse_request
from sparkkernels.submit_helper.service import OwnBackend, Service

KERNEL_ID = str(uuid.UUID(int=1))
TAG = f"sparkkernels-server-{'0' * 32}"
SPEC = LaunchSpec(
    kernel_id=KERNEL_ID,
    generation=2,
    master="yarn",
    argv=("python", "--secret"),
    env={"SECRET": "1"},
    python="/opt/python",
    spark_home="/home/alice/spark",
    spark_conf={"spark.sql.a": "1"},
    jars=("/opt/toree.jar",),
    scala_version="2.12",
    queue="default",
    name="Python (Spark) 0000",
    tags=("sparkkernels", KERNEL_ID, TAG, "forged"),
)
REGISTRATION: dict[str, Any] = {
    "protocol": 1,
    "kernel_id": KERNEL_ID,
    "generation": 2,
    "addresses": [["10.0.0.1", 4321], ["host.example.org", 4321]],
    "fingerprint": "0" * 64,
    "token": "f" * 64,
    "registration_timeout_s": 60.0,
}
ID = "application_1795249052740_0001"
GOOD: dict[str, dict[str, Any]] = {
    "prepare": {"spec": spec_to_json(SPEC)},
    "submit": {"spec": spec_to_json(SPEC), "registration": REGISTRATION},
    "cancel": {"submit": 3},
    "report": {"application_ids": [ID, ID]},
    "kill": {"application_id": ID},
    "logs": {"application_id": ID, "tail_bytes": 65536},
    "hosts": {},
    "fresh_tokens": {"application_id": ID},
}


#: What may be empty.
EMPTY: list[tuple[str, Any]] = [
    *[("spark_conf", {}), ("addresses", []), ("application_ids", [])],
    *[("jars", []), ("scala_version", "")],
]


def line(operation: Any = "hosts", arguments: Any = None, number: Any = 7, **more: Any) -> bytes:
    content = {"id": number, "operation": operation, "arguments": arguments, **more}
    return json.dumps(content).encode()


def refused(data: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        parse_request(data)
    message = caught.value.message
    assert message.isprintable() and len(message) < 300
    return caught.value


def test_every_operation_has_a_good_example_here() -> None:
    assert OPERATIONS.keys() <= GOOD.keys()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_what_the_servers_end_writes_is_read(operation: str) -> None:
    request = parse_request(line(operation, GOOD[operation]))
    assert (request.number, request.operation) == (7, operation)
    assert json.loads(json.dumps(request.arguments)) == json.loads(json.dumps(GOOD[operation]))


def test_identity_place_and_tags_of_a_launch_are_the_helpers_own() -> None:
    content = parse_request(line("prepare", GOOD["prepare"])).arguments["spec"]
    spec = launch_spec(content, "alice", "/opt/spark")
    assert (spec.proxy_user, spec.master, spec.spark_home) == ("alice", "yarn", "/opt/spark")
    assert spec.tags == ("sparkkernels", KERNEL_ID, TAG)
    assert "SECRET" not in json.dumps(content) and "--secret" not in json.dumps(content)
    assert (spec.queue, spec.generation, spec.name) == (SPEC.queue, 2, SPEC.name)
    assert (spec.jars, spec.scala_version) == (SPEC.jars, SPEC.scala_version)


@pytest.mark.parametrize("operation", [name for name in OPERATIONS if GOOD[name]])
def test_every_field_is_needed_and_none_may_be_added(operation: str) -> None:
    def places(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
        found = [path]
        if isinstance(value, dict) and path[-1:] != ("spark_conf",):
            for key, inner in value.items():
                found += places(inner, (*path, key))
        return found

    def at(path: tuple[str, ...], arguments: Any) -> Any:
        for key in path:
            arguments = arguments[key]
        return arguments

    for path in places(GOOD[operation]):
        holder = at(path, GOOD[operation])
        if isinstance(holder, dict) and path[-1:] != ("spark_conf",):
            changed = copy.deepcopy(GOOD[operation])
            at(path, changed)["proxy_user"] = "bob"
            assert refused(line(operation, changed)).number == 7
        if path:
            changed = copy.deepcopy(GOOD[operation])
            del at(path[:-1], changed)[path[-1]]
            assert refused(line(operation, changed)).number == 7
            for wrong in ([], {}, "", True, -1, 1.5e300, "x" * 1000, ["\n"], {"a": 1}, "a\u202eb", "\ud800"):
                if (path[-1], wrong) in EMPTY:
                    continue
                changed = copy.deepcopy(GOOD[operation])
                at(path[:-1], changed)[path[-1]] = wrong
                assert refused(line(operation, changed)).number == 7, (path, wrong)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" ", b"null", b"7", b'"x"', b"[]", b"{}", b"{", b"\xff\xfe", b"not json", b"[" * 200000,
        b'{"a":' * 200000, b"9" * 100000, b'{"id": NaN, "operation": "hosts", "arguments": {}}',
        b'{"id": 1, "operation": "hosts", "arguments": {}, "user": "alice"}',
        b'{"id": 1, "id": 2, "operation": "hosts", "arguments": {}}',
        b'{"id": 1, "operation": "kill", "operation": "hosts", "arguments": {}}',
        b'{"operation": "hosts", "arguments": {}}', b'{"id": 1, "arguments": {}}',
        b'{"id": 1, "operation": "hosts"}', b"\x00" * 100,
        b'{"id": 1e400, "operation": "hosts", "arguments": {}}',
        line(number=None), line(number="7"), line(number=-1), line(number=2**60), line(number=True),
        line(number=1.0), line(number=[1]),
    ],
)  # fmt: skip
def test_what_is_no_request_ends_the_conversation_soon(data: bytes) -> None:
    began = time.monotonic()
    assert refused(data).number is None
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "operation", ["", "submit ", "__class__", "tokens", None, 7, {}, [], "x" * 10000, "a\nb"]
)
def test_unknown_operations(operation: Any) -> None:
    assert refused(line(operation, {})).number == 7


@pytest.mark.parametrize(
    "application_id",
    ["", "application_1_1/../x", "application_1_1\n", " application_1_1", "application_1_1?user=x",
     "job_1_1", "application_\u0661_1", "application_" + "1" * 100 + "_1", "application_1_1%0a", None, 1,
     ["application_1_1"]],
)  # fmt: skip
def test_application_ids(application_id: Any) -> None:
    assert refused(line("kill", {"application_id": application_id})).number == 7
    assert refused(line("report", {"application_ids": [application_id]})).number == 7


def test_lists_have_an_end() -> None:
    assert refused(line("report", {"application_ids": [ID] * 1001})).number == 7
    registration = {**REGISTRATION, "addresses": [["h", 1]] * 65}
    assert refused(line("submit", {**GOOD["submit"], "registration": registration})).number == 7
    for address in (["h"], ["h", 0], ["h", 65536], ["h", "1"], ["h", 1, 2], "h:1", ["", 1], ["h\n", 1]):
        registration = {**REGISTRATION, "addresses": [address]}
        assert refused(line("submit", {**GOOD["submit"], "registration": registration})).number == 7


def test_a_kernel_id_must_be_a_uuid() -> None:
    content = {**spec_to_json(SPEC), "kernel_id": "../../etc"}
    with pytest.raises(ConfigurationError, match="UUID"):
        launch_spec(content, "alice", "/opt/spark")


def test_errors_arrive_as_what_they_were() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, SparkKernelError):
            sent = kind("It failed.", application_id=ID, diagnostics="d", hint="h", tracking_url="u")
            got = error_from_json(json.loads(json.dumps(error_to_json(sent))))
            assert type(got) is kind and str(got) == str(sent), name
    assert type(error_from_json(error_to_json(Malformed(1, "It is wrong.")))) is ConfigurationError
    assert type(error_from_json({"kind": "OSError", "message": None})) is SparkKernelError
    assert type(error_from_json({"kind": "NotAllowed"})) is NotAllowed


def test_reports_arrive_as_what_they_were() -> None:
    report = ApplicationReport(ID, ApplicationState.FAILED, FinalStatus.FAILED, "d\ne", "http://u", "q", "h")
    assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


class Prepared:
    """A backend that is told what to prepare."""

    def __init__(self) -> None:
        self.specs: list[LaunchSpec] = []

    def prepare(self, spec: LaunchSpec) -> None:
        self.specs.append(spec)


def test_only_jars_that_the_administrator_lists_are_looked_at() -> None:
    least = {
        "hadoop_conf_dir": "/c",
        "spark_home": "/s",
        "pythons": [SPEC.python],
        "jars": ["/opt/toree.jar"],
    }
    limits = {"queue": [SPEC.queue], "spark.sql.*": {}}
    backend = Prepared()
    configuration = parse_configuration(json.dumps({**least, "limits": limits}), "x")
    service = Service("alice", configuration, cast(OwnBackend, backend), None)
    service.call("prepare", GOOD["prepare"])
    assert backend.specs[0].jars == SPEC.jars
    for jar in ("/etc/keytabs/jupyter.keytab", "/opt/../etc/x.jar", "/home/alice/toree.jar", "toree.jar"):
        spec = {**GOOD["prepare"]["spec"], "jars": ["/opt/toree.jar", jar]}
        with pytest.raises(NotAllowed, match="not one that kernels may have here"):
            service.call("prepare", {"spec": spec})
        with pytest.raises(NotAllowed):
            service.submit(spec, REGISTRATION, lambda _: None)
    assert len(backend.specs) == 1
