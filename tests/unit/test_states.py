"""The tables of states are total, and mean what Jupyter needs."""

from __future__ import annotations

from sparkkernels.states import POLL, TRANSITIONS, ApplicationState, Phase


def test_every_yarn_state_has_an_answer_to_poll_and_only_ended_ones_are_dead() -> None:
    assert set(POLL) == set(ApplicationState)
    ended = {ApplicationState.FINISHED, ApplicationState.FAILED, ApplicationState.KILLED}
    assert {state for state, answer in POLL.items() if answer is not None} == ended
    assert POLL[ApplicationState.FINISHED] == 0
    assert POLL[ApplicationState.FAILED] not in (None, 0)
    assert POLL[ApplicationState.KILLED] not in (None, 0)


def test_every_phase_has_its_transitions_and_every_one_can_end() -> None:
    assert set(TRANSITIONS) == set(Phase)
    assert all(Phase.ENDED in after for phase, after in TRANSITIONS.items() if phase is not Phase.ENDED)
    reached = {Phase.NEW}
    while more := {after for phase in reached for after in TRANSITIONS[phase]} - reached:
        reached |= more
    assert reached == set(Phase)
