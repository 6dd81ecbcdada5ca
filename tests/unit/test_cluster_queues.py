"""Queues and sizes: what is refused before anything is submitted."""

from __future__ import annotations

from typing import Any

import pytest

from sparkkernels.cluster.memory import driver_container_mib, executor_container_mib, parse_mib
from sparkkernels.cluster.queues import check_memory, check_queue, queues
from sparkkernels.errors import ConfigurationError


def leaf(path: str, state: str = "RUNNING", **more: Any) -> dict[str, Any]:
    return {
        "type": "capacitySchedulerLeafQueueInfo",
        "queueName": path.rpartition(".")[2],
        "queuePath": path,
        "state": state,
        "maximumAllocation": {"memory": 8192, "vCores": 4},
        "autoCreateChildQueueEnabled": False,
        "queueType": "leaf",
        "autoCreationEligibility": "off",
        **more,
    }


#: As a ResourceManager 3.5.0 answers, without what is not looked at.
CAPACITY: dict[str, Any] = {
    "type": "capacityScheduler",
    "queueName": "root",
    "queuePath": "root",
    "queues": {
        "queue": [
            leaf("root.default"),
            leaf("root.stopped", "STOPPED"),
            {
                "queueName": "etl",
                "queuePath": "root.etl",
                "state": "RUNNING",
                "queueType": "parent",
                "queues": {"queue": [leaf("root.etl.night")]},
            },
            {
                "queueName": "users",
                "queuePath": "root.users",
                "queueType": "parent",
                "autoCreationEligibility": "flexible",
            },
        ]
    },
}
FAIR: dict[str, Any] = {
    "type": "fairScheduler",
    "rootQueue": {
        "queueName": "root",
        "childQueues": {
            "queue": [{"queueName": "root.default", "maxContainerAllocation": {"memory": 4096, "vCores": 2}}]
        },
    },
}


@pytest.mark.parametrize("wanted", [None, "default", "root.default"])
def test_the_default_queue(wanted: str | None) -> None:
    found = check_queue(queues(CAPACITY), wanted)
    assert found is not None
    assert (found.path, found.largest_mib) == ("root.default", 8192)


def test_a_leaf_is_found_by_its_name_alone() -> None:
    found = check_queue(queues(CAPACITY), "night")
    assert found is not None
    assert found.path == "root.etl.night"


def test_an_unknown_queue_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match="YARN has no queue nosuch") as raised:
        check_queue(queues(CAPACITY), "nosuch")
    assert "root.default, root.stopped, root.etl.night" in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [("stopped", "it is STOPPED"), ("root.etl", "queues below it"), ("root", "queues below it")],
)
def test_queues_that_take_no_applications(wanted: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        check_queue(queues(CAPACITY), wanted)


@pytest.mark.parametrize(
    ("scheduler", "wanted"),
    [
        (CAPACITY, "root.users.alice"),
        (FAIR, "root.alice"),
        ({"type": "fifoScheduler"}, "anything"),
        ({"type": "capacityScheduler", "queueName": "root", "queues": {"queue": [leaf("root.a")]}}, None),
    ],
)
def test_what_cant_be_told_is_left_to_yarn(scheduler: dict[str, Any], wanted: str | None) -> None:
    assert check_queue(queues(scheduler), wanted) is None


def test_the_fair_scheduler_has_a_largest_container_too() -> None:
    found = check_queue(queues(FAIR), "root.default")
    assert found is not None
    assert found.largest_mib == 4096


@pytest.mark.parametrize(
    ("text", "mib"),
    [("1g", 1024), ("512m", 512), ("2048", 2048), ("1t", 1048576), ("2048k", 2), ("1gb", 1024)],
)
def test_sizes(text: str, mib: int) -> None:
    assert parse_mib("spark.driver.memory", text) == mib


@pytest.mark.parametrize("text", ["", "1.5g", "g", "-1g", "1x"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"spark\.driver\.memory"):
        parse_mib("spark.driver.memory", text)


@pytest.mark.parametrize(
    ("conf", "mib"),
    [
        ({}, 1024 + 384),
        ({"spark.driver.memory": "8g"}, 8192 + 819),
        ({"spark.driver.memory": "20g", "spark.driver.memoryOverhead": "1g"}, 20480 + 1024),
        ({"spark.driver.memory": "8g", "spark.driver.memoryOverheadFactor": "0.4"}, 8192 + 3276),
    ],
)
def test_the_kernels_container(conf: dict[str, str], mib: int) -> None:
    assert driver_container_mib(conf) == mib


def test_an_executors_container() -> None:
    conf = {
        "spark.executor.memory": "20g",
        "spark.memory.offHeap.enabled": "true",
        "spark.memory.offHeap.size": "1073741824",
        "spark.executor.pyspark.memory": "512m",
    }
    assert executor_container_mib(conf) == 20480 + 2048 + 1024 + 512


def test_too_large_requests_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"kernel's container would need 9000 MiB.*8192 MiB"):
        check_memory(8192, 9000, 1)
    with pytest.raises(ConfigurationError, match="An executor's container would need 9000 MiB"):
        check_memory(8192, 1, 9000)
    check_memory(8192, 8192, 8192)
    check_memory(None, 10**9, 10**9)
