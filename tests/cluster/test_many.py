"""Kernels one after another leave nothing, on the cluster (see the autouse fixture) and here."""

from __future__ import annotations

import pytest

from tests.leaks import Leaks

from .conftest import Kernels


@pytest.mark.timeout(600)
async def test_ten_kernels_in_a_row_leave_nothing(leaks: Leaks, kernels: Kernels) -> None:
    applications = set()
    for number in range(10):
        async with kernels() as notebook:
            assert (await notebook.ok(f"{number} * 2")).value == str(number * 2)
            applications.add(notebook.application_id)
    assert len(applications) == 10
