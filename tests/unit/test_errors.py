"""Errors as people read them: a whole sentence, the cause, where, the next step."""

from __future__ import annotations

import builtins
import pickle

import pytest

import sparkkernels
from sparkkernels import errors
from sparkkernels.errors import ApplicationFailed, SparkKernelError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
BUILTIN = {
    "ConfigurationError": ValueError,
    "NotAllowed": PermissionError,
    "LaunchTimeout": TimeoutError,
    "ResourceManagerUnavailable": ConnectionError,
}


def test_the_parts_come_in_the_order_in_which_one_reads() -> None:
    error = ApplicationFailed(
        "The application failed.",
        application_id="application_1_1",
        diagnostics="\nline one\nline two\n\n",
        hint="Do this.",
        tracking_url="http://rm/app",
    )
    assert str(error) == (
        "The application failed.\n\nline one\nline two"
        "\n\nApplication: application_1_1 (http://rm/app)\n\nDo this."
    )


def test_parts_that_are_not_known_leave_no_gap() -> None:
    assert str(SparkKernelError("It failed.")) == "It failed."
    assert str(SparkKernelError("It failed.", hint="Do this.")) == "It failed.\n\nDo this."
    assert str(SparkKernelError("It failed.", diagnostics="  \n")) == "It failed."
    assert str(SparkKernelError("It failed.", application_id="a_1")) == "It failed.\n\nApplication: a_1"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_public_documented_and_caught_as_one_expects(kind: type[SparkKernelError]) -> None:
    error = kind("It failed.", application_id="a_1", diagnostics="why", hint="do")
    assert (error.message, error.application_id, error.diagnostics, error.hint) == (
        "It failed.",
        "a_1",
        "why",
        "do",
    )
    assert isinstance(error, SparkKernelError)
    assert isinstance(error, BUILTIN.get(kind.__name__, builtins.Exception))
    assert kind.__name__ in sparkkernels.__all__ and getattr(sparkkernels, kind.__name__) is kind
    assert kind.__name__ in (errors.__doc__ or "")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
