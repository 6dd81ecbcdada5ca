"""What a person reads: the sentence, then the cause, then the step to take."""

from __future__ import annotations

import pytest

from sparkkernels import errors
from sparkkernels.errors import ApplicationFailed, SparkKernelError


def test_the_parts_come_in_their_order_and_empty_ones_not_at_all() -> None:
    error = ApplicationFailed(
        "It ended.",
        application_id="application_1_2",
        diagnostics=" why \n",
        hint="Do this.",
        tracking_url="u",
    )
    assert str(error).split("\n\n") == ["It ended.", "why", "Application: application_1_2 (u)", "Do this."]
    assert str(SparkKernelError("It ended.")) == "It ended."


@pytest.mark.parametrize(
    ("name", "also"),
    [
        ("ConfigurationError", ValueError),
        ("CredentialsError", SparkKernelError),
        ("NotAllowed", PermissionError),
        ("SubmitError", SparkKernelError),
        ("LaunchTimeout", TimeoutError),
        ("ApplicationFailed", SparkKernelError),
        ("ResourceManagerUnavailable", ConnectionError),
        ("ProtocolError", SparkKernelError),
    ],
)
def test_each_kind_is_also_what_python_calls_it(name: str, also: type[BaseException]) -> None:
    error = getattr(errors, name)("A sentence.", hint="Do this.")
    assert isinstance(error, SparkKernelError)
    assert isinstance(error, also)
    assert str(error) == "A sentence.\n\nDo this."
