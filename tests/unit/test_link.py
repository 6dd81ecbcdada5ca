"""A kernel's link: waiting for a change of it."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from sparkkernels.relay.link import Link


@pytest.mark.parametrize("rounds", range(5))
async def test_a_wait_that_is_cancelled_as_the_change_comes_is_cancelled(rounds: int) -> None:
    link = Link(str(uuid.uuid4()), asyncio.get_running_loop())
    try:
        waiting = asyncio.ensure_future(link.changed(60))
        await asyncio.sleep(0)
        link.notify()
        for _ in range(rounds):
            await asyncio.sleep(0)
        if waiting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await waiting
    finally:
        link.close()
