"""The queue of submits: a limit, fairness between people, and no place lost by who gives up."""

from __future__ import annotations

import asyncio
import random

import pytest

from sparkkernels.turns import Turn, Turns, first_steps


def nobody_waits(place: int) -> None:
    raise AssertionError(f"place {place}")


async def begun(waiting: list[asyncio.Task[Turn]]) -> list[Turn]:
    """The turns that have come by now."""
    for _ in range(5):
        await asyncio.sleep(0)
    return [task.result() for task in waiting if task.done()]


async def test_no_more_run_than_the_limit_says_and_the_others_are_told_their_place() -> None:
    turns, places = Turns(), list[int]()
    waiting = [asyncio.create_task(turns.take("alice", 2, places.append)) for _ in range(5)]
    first = await begun(waiting)
    assert len(first) == 2 and places == [1, 2, 3]
    turns.end(first[0])
    turns.end(first[0])  # once is enough
    assert len(await begun(waiting)) == 3
    for turn in await begun(waiting):
        turns.end(turn)
    assert len(await begun(waiting)) == 5
    for turn in await begun(waiting):
        turns.end(turn)
    turns.end(await turns.take("bob", 1, nobody_waits))


async def test_one_persons_many_do_not_keep_anothers_first_waiting() -> None:
    turns = Turns()
    alices = [asyncio.create_task(turns.take("alice", 2, lambda place: None)) for _ in range(10)]
    running = await begun(alices)
    bobs = [asyncio.create_task(turns.take("bob", 2, lambda place: None))]
    await begun(bobs)
    turns.end(running[0])
    assert len(await begun(bobs)) == 1 and len(await begun(alices)) == 2
    for waiting in alices[2:]:
        waiting.cancel()


async def test_one_at_a_time_two_people_take_turns_in_the_order_that_they_were_told() -> None:
    turns, told, order = Turns(), dict[str, int](), list[str]()
    running = await turns.take("alice", 1, nobody_waits)

    async def one(whose: str, number: int) -> None:
        turn = await turns.take(whose, 1, lambda place: told.update({f"{whose}{number}": place}))
        order.append(f"{whose}{number}")
        await asyncio.sleep(0)
        turns.end(turn)

    alices = [asyncio.create_task(one("alice", number)) for number in range(3)]
    await begun([])
    bobs = [asyncio.create_task(one("bob", number)) for number in range(3)]
    await begun([])
    assert told == {"alice0": 1, "alice1": 2, "alice2": 3, "bob0": 1, "bob1": 3, "bob2": 5}
    turns.end(running)
    await asyncio.wait_for(asyncio.gather(*alices, *bobs), 20)
    assert order == ["bob0", "alice0", "bob1", "alice1", "bob2", "alice2"]
    assert not turns._served and not turns._running, "nobody is remembered for ever"


async def test_first_steps_are_taken_one_at_a_time_even_where_one_fails() -> None:
    inside = most = 0

    async def one(number: int) -> None:
        nonlocal inside, most
        async with first_steps():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            if number % 3 == 0:
                raise ValueError("boom")

    tasks = [asyncio.create_task(one(number)) for number in range(30)]
    await asyncio.sleep(0)
    tasks[20].cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert most == 1 and inside == 0


async def test_who_gives_up_leaves_no_gap() -> None:
    turns = Turns()
    running = await turns.take("alice", 1, nobody_waits)
    gone, next_one = (asyncio.create_task(turns.take("alice", 1, lambda place: None)) for _ in range(2))
    await begun([])
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    turns.end(running)
    turns.end(await next_one)
    turns.end(await turns.take("alice", 1, nobody_waits))


async def test_who_gives_up_in_the_moment_that_the_turn_comes_leaves_no_gap() -> None:
    turns = Turns()
    running = await turns.take("alice", 1, nobody_waits)
    late = asyncio.create_task(turns.take("alice", 1, lambda place: None))
    await begun([])
    turns.end(running)
    late.cancel()
    with pytest.raises(asyncio.CancelledError):
        await late
    turns.end(await turns.take("alice", 1, nobody_waits))


async def test_in_any_order_all_come_and_never_too_many() -> None:
    turns, chance, most = Turns(), random.Random(7), 0
    running = 0

    async def one(number: int) -> None:
        nonlocal running, most
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        turn = await turns.take(f"user-{number % 3}", 3, lambda place: None)
        running += 1
        most = max(most, running)
        try:
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
        finally:
            running -= 1
            turns.end(turn)

    tasks = [asyncio.create_task(one(number)) for number in range(200)]
    for task in tasks[::5]:
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert most == 3 and running == 0
    turns.end(await turns.take("alice", 1, nobody_waits))
