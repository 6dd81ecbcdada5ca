"""What a kernel's user may wish for its next application."""

from __future__ import annotations

from typing import Any

import pytest

from sparkkernels.errors import ConfigurationError, NotAllowed
from sparkkernels.spec import LaunchSpec
from sparkkernels.wishes import Wish, Wishes

SPEC = LaunchSpec(
    kernel_id="5b2c0e4e-9a3a-4a55-9b16-3a7f0a1f9f10",
    generation=1,
    master="yarn",
    argv=("python3",),
    python="python3",
    spark_conf={"spark.a": "kernelspec", "spark.b": "kernelspec"},
    queue="day",
)
MEMORY = {"spark.executor.memory": "4g"}


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"spark_conf": "spark.a=b"},
        {"spark_conf": {"spark.a": 1}},
        {"spark_conf": {"spark.a": None}},
        {"spark_conf": {}, "queue": 7},
        {"spark_conf": [["spark.a", "b"]]},
    ],
)
def test_a_malformed_wish_is_refused(message: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="malformed"):
        Wish.read(message)


def test_a_wish_is_added_to_the_kernelspec_s_settings_and_wins() -> None:
    wish = Wish.read({"spark_conf": {"spark.b": "wish"}, "queue": "night"})
    spec = wish.applied(SPEC)
    assert (spec.spark_conf, spec.queue) == ({"spark.a": "kernelspec", "spark.b": "wish"}, "night")
    assert str(wish) == "spark.b=wish, queue night"
    nothing = Wish.read({"spark_conf": {}, "queue": None})
    assert nothing.applied(SPEC) == SPEC and nothing == Wish()
    assert str(nothing) == "the kernelspec's settings"


def test_without_limits_the_owner_of_a_server_may_set_what_is_not_refused_to_all() -> None:
    Wish(MEMORY, "night").check({}, is_own=True)
    for name in ("spark.yarn.keytab", "spark.jars", "spark.driver.extraJavaOptions", "spark.master"):
        with pytest.raises(NotAllowed, match="by anybody"):
            Wish({name: "x"}).check({}, is_own=True)


def test_on_a_server_for_many_people_only_limits_allow_anything() -> None:
    Wish().check({}, is_own=False)
    for wish in (Wish(MEMORY), Wish(queue="night")):
        with pytest.raises(NotAllowed):
            wish.check({}, is_own=False)
    limits = {"spark.executor.memory": {"max": "4g"}, "queue": ["night"]}
    Wish(MEMORY, "night").check(limits, is_own=False)
    for is_own in (True, False):
        with pytest.raises(NotAllowed, match="at most 4g"):
            Wish({"spark.executor.memory": "5g"}).check(limits, is_own)
        with pytest.raises(NotAllowed, match="choose one of night"):
            Wish(queue="day").check(limits, is_own)


def test_a_wish_holds_until_there_is_another() -> None:
    wishes = Wishes()
    former = []
    for wish in (Wish(MEMORY), None, Wish(), None):
        wishes.next = wish
        former.append(wishes.begin())
        former.append(wishes.current)
    assert former == [Wish(), *[Wish(MEMORY)] * 4, *[Wish()] * 3]
