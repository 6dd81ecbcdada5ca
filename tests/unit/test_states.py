"""The tables of states leave no member out."""

from __future__ import annotations

import pytest

from sparkkernels.states import POLL, TRANSITIONS, ApplicationState, Phase

RUNS = {"NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING"}


@pytest.mark.parametrize("state", ApplicationState)
def test_poll_answers_for_every_application_state(state: ApplicationState) -> None:
    assert (POLL[state] is None) == (state.name in RUNS)
    assert state.value == state.name


def test_what_ended_well_has_exit_code_0_and_nothing_else_has() -> None:
    assert [state for state, code in POLL.items() if code == 0] == [ApplicationState.FINISHED]


@pytest.mark.parametrize("phase", Phase)
def test_every_phase_can_be_left_and_can_always_end(phase: Phase) -> None:
    assert TRANSITIONS[phase]
    assert phase is Phase.ENDED or Phase.ENDED in TRANSITIONS[phase]
    assert phase not in TRANSITIONS[phase]


def test_every_phase_can_be_reached_from_the_first() -> None:
    reached = {Phase.NEW}
    while more := {after for phase in reached for after in TRANSITIONS[phase]} - reached:
        reached |= more
    assert reached == set(Phase)
