"""A launch spec refuses whatever it should not carry, before anything is started."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from sparkkernels.errors import ConfigurationError
from sparkkernels.spec import LaunchSpec, check_kernel_id

GOOD: dict[str, Any] = {
    "kernel_id": "6f9619ff-8b86-4011-b42d-00cf4fc964ff",
    "generation": 1,
    "master": "yarn",
    "argv": ("python", "-m", "kernel", "-f", "{connection_file}"),
    "python": "/usr/bin/python3",
}


@pytest.mark.parametrize("master", ["yarn", "local", "local[*]", "local[4]"])
def test_a_good_spec_is_taken(master: str) -> None:
    spec = LaunchSpec(**{**GOOD, "master": master})
    assert spec.is_yarn == (master == "yarn")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kernel_id": "../../etc/passwd"}, "kernel id"),
        ({"kernel_id": GOOD["kernel_id"].upper()}, "kernel id"),
        ({"kernel_id": GOOD["kernel_id"] + "\n"}, "kernel id"),
        ({"master": "local[0]"}, "master"),
        ({"master": "yarn\n"}, "master"),
        ({"master": "spark://host:7077"}, "master"),
        ({"argv": ()}, "argv"),
        ({"spark_context": "lazy"}, "spark_context"),
        ({"spark_context": "none"}, "spark.yarn.am.waitTime"),
        ({"queue": "a b"}, "queue"),
        ({"queue": "-x"}, "queue"),
        ({"queue": ""}, "queue"),
        ({"env": {"A=B": "c"}}, "env"),
        ({"env": {"A\n": "c"}}, "env"),
        ({"spark_conf": {"master": "x"}}, "Spark setting"),
        ({"spark_conf": {"spark.a b": "x"}}, "Spark setting"),
        ({"spark_conf": {"spark.a": "x\nspark.b=y"}}, "Spark setting"),
        ({"launch_timeout_s": 0.0}, "launch_timeout_s"),
        ({"orphan_timeout_s": float("nan")}, "orphan_timeout_s"),
    ],
)
def test_a_bad_one_is_refused_with_its_reason(change: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LaunchSpec(**{**GOOD, **change})
    assert word in caught.value.message
    assert caught.value.message.endswith(".") or "'" in caught.value.message


def test_any_uuid_is_a_kernel_id() -> None:
    check_kernel_id(str(uuid.uuid4()))
