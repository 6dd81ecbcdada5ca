"""How the tests are shared out when several processes run them (pytest-xdist's ``--dist loadgroup``)."""

from __future__ import annotations

from pathlib import Path

import pytest

_CLUSTER = Path(__file__).parent / "cluster"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The cluster that most tests share has one process, and all others have one, in which they take turns.

    Of the rest each module stays together.
    """
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            group = "the shared cluster"
        elif item.path.is_relative_to(_CLUSTER):
            group = "other clusters"
        else:
            group = str(item.path)
        item.add_marker(pytest.mark.xdist_group(group))
