"""The launch spec refuses what can't be started, before anything is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sparkkernels.errors import ConfigurationError
from sparkkernels.spec import LaunchSpec, check_kernel_id

KERNEL_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
GOOD: dict[str, Any] = {
    "kernel_id": KERNEL_ID,
    "generation": 1,
    "master": "yarn",
    "argv": ("python", "-m", "ipykernel_launcher", "-f", "{connection_file}"),
    "python": "/usr/bin/python3",
    "env": {"GREETING": "good day", "_x1": "", "LINES": "a\nb"},
    "spark_conf": {"spark.executor.memory": "2g", "spark.app.note": "a = b; $(c)"},
    "queue": "root.users.alice_1-b",
    "jars": ("/opt/my env/größe-1.jar", "/opt/host.jar"),
    "scala_version": "2.12",
}


def test_a_good_spec_is_frozen() -> None:
    spec = LaunchSpec(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.queue = "other"  # type: ignore[misc]


@pytest.mark.parametrize("master", ["yarn", "local", "local[*]", "local[1]", "local[16]"])
def test_masters_that_are_known(master: str) -> None:
    assert LaunchSpec(**{**GOOD, "master": master}).is_yarn == (master == "yarn")


@pytest.mark.parametrize(
    ("bad", "first"),
    [
        ({"kernel_id": ""}, "The kernel id is not a UUID."),
        ({"kernel_id": "../../etc/passwd"}, "The kernel id is not a UUID."),
        ({"kernel_id": KERNEL_ID.upper()}, "The kernel id is not a UUID."),
        ({"kernel_id": KERNEL_ID.replace("-", "")}, "The kernel id is not a UUID."),
        ({"kernel_id": "{" + KERNEL_ID + "}"}, "The kernel id is not a UUID."),
        ({"kernel_id": KERNEL_ID + "\n"}, "The kernel id is not a UUID."),
        ({"master": "mesos://x"}, "The Spark master 'mesos://x' is not one of yarn, local[*] and local[N]."),
        ({"master": "local[0]"}, "The Spark master 'local[0]' is not one of yarn, local[*] and local[N]."),
        ({"master": "yarn\n"}, "The Spark master 'yarn\\n' is not one of yarn, local[*] and local[N]."),
        (
            {"master": "local[2,3]"},
            "The Spark master 'local[2,3]' is not one of yarn, local[*] and local[N].",
        ),
        ({"argv": ()}, "The kernelspec has an empty argv."),
        ({"argv": ("python", "a\0b")}, "The kernelspec's argv has an argument that is no text."),
        ({"argv": ("python", 7)}, "The kernelspec's argv has an argument that is no text."),
        ({"spark_context": "lazy"}, "spark_context is 'lazy'; it must be eager or none."),
        ({"spark_context": "none"}, "On YARN a kernel can't run with spark_context=none: "),
        ({"queue": ""}, "The queue name '' is not a YARN queue name."),
        ({"queue": "a b"}, "The queue name 'a b' is not a YARN queue name."),
        ({"queue": "--conf"}, "The queue name '--conf' is not a YARN queue name."),
        ({"queue": "a\n"}, "The queue name 'a\\n' is not a YARN queue name."),
        ({"env": {"A-B": "1"}}, "The kernelspec's env has a malformed variable name: 'A-B'."),
        ({"env": {"A=B": "1"}}, "The kernelspec's env has a malformed variable name: 'A=B'."),
        ({"env": {"A\n": "1"}}, "The kernelspec's env has a malformed variable name: 'A\\n'."),
        ({"env": {"A": "1\0"}}, "The kernelspec's env has a value for A that is no text."),
        ({"env": {"A": 1}}, "The kernelspec's env has a value for A that is no text."),
        ({"spark_conf": {"executor.memory": "1g"}}, "The Spark setting 'executor.memory' is malformed."),
        ({"spark_conf": {"spark.a=b": "1"}}, "The Spark setting 'spark.a=b' is malformed."),
        ({"spark_conf": {"spark.": "1"}}, "The Spark setting 'spark.' is malformed."),
        ({"spark_conf": {"spark.a": "1\nspark.b 2"}}, "The Spark setting 'spark.a' is malformed."),
        ({"jars": ("host.jar",)}, "The kernel's jar 'host.jar' is not the absolute path of a .jar file"),
        ({"jars": ("hdfs:///host.jar",)}, "The kernel's jar 'hdfs:///host.jar' is not the absolute path"),
        ({"jars": ("/a,/b.jar",)}, "The kernel's jar '/a,/b.jar' is not"),
        ({"jars": ("/lib/*.jar",)}, "The kernel's jar '/lib/*.jar' is not"),
        ({"jars": ("/a.jar#b.jar",)}, "The kernel's jar '/a.jar#b.jar' is not"),
        ({"jars": ("/etc/passwd",)}, "The kernel's jar '/etc/passwd' is not"),
        ({"jars": ("/a\n.jar",)}, "The kernel's jar '/a\\n.jar' is not"),
        ({"jars": (7,)}, "The kernel's jar 7 is not"),
        ({"jars": ("/a/x.jar", "/b/x.jar")}, "Two of the kernel's jars have the same file name"),
        ({"master": "local[1]", "spark_context": "none"}, "A kernel with spark_context=none has no JVM"),
        ({"scala_version": "2.12.18"}, "scala_version is '2.12.18'; it must be a version like 2.12"),
        ({"launch_timeout_s": 0}, "launch_timeout_s must be a number of seconds and more than 0."),
        ({"orphan_timeout_s": -1}, "orphan_timeout_s must be a number of seconds and more than 0."),
        ({"orphan_timeout_s": float("inf")}, "orphan_timeout_s must be a number of seconds and more than 0."),
        (
            {"registration_timeout_s": float("nan")},
            "registration_timeout_s must be a number of seconds and more than 0.",
        ),
    ],
)
def test_what_cannot_be_started_is_refused_in_a_sentence(bad: dict[str, Any], first: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LaunchSpec(**{**GOOD, **bad})
    assert str(caught.value).startswith(first)
    assert str(caught.value).partition("\n")[0].endswith(".")


def test_a_uuid_of_any_version_is_a_kernel_id() -> None:
    for kernel_id in (KERNEL_ID, "00000000-0000-0000-0000-000000000000", KERNEL_ID.replace("4", "1")):
        check_kernel_id(kernel_id)
