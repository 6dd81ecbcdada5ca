"""The states of an application and of a kernel, and what they mean to Jupyter."""

from __future__ import annotations

from enum import Enum


class ApplicationState(str, Enum):
    """YARN's application states (``org.apache.hadoop.yarn.api.records.YarnApplicationState``)."""

    NEW = "NEW"
    NEW_SAVING = "NEW_SAVING"
    SUBMITTED = "SUBMITTED"
    ACCEPTED = "ACCEPTED"
    RUNNING = "RUNNING"
    FINISHED = "FINISHED"
    FAILED = "FAILED"
    KILLED = "KILLED"


class FinalStatus(str, Enum):
    """How an application ended (``org.apache.hadoop.yarn.api.records.FinalApplicationStatus``)."""

    UNDEFINED = "UNDEFINED"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    KILLED = "KILLED"
    ENDED = "ENDED"


#: What ``poll()`` answers for an application in this state: None is alive, a number an exit code.
POLL: dict[ApplicationState, int | None] = {
    ApplicationState.NEW: None,
    ApplicationState.NEW_SAVING: None,
    ApplicationState.SUBMITTED: None,
    ApplicationState.ACCEPTED: None,
    ApplicationState.RUNNING: None,
    ApplicationState.FINISHED: 0,
    ApplicationState.FAILED: 1,
    ApplicationState.KILLED: -9,
}


class Phase(str, Enum):
    """Where one kernel is in its life."""

    NEW = "new"
    SUBMITTING = "submitting"
    QUEUED = "queued"
    REGISTERED = "registered"
    RUNNING = "running"
    STOPPED = "stopped"
    ENDED = "ended"


#: Allowed transitions; STOPPED is a live application without a kernel process, ENDED has no application.
TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.NEW: frozenset({Phase.SUBMITTING, Phase.ENDED}),
    Phase.SUBMITTING: frozenset({Phase.QUEUED, Phase.REGISTERED, Phase.ENDED}),
    Phase.QUEUED: frozenset({Phase.REGISTERED, Phase.ENDED}),
    Phase.REGISTERED: frozenset({Phase.RUNNING, Phase.STOPPED, Phase.ENDED}),
    Phase.RUNNING: frozenset({Phase.STOPPED, Phase.ENDED}),
    Phase.STOPPED: frozenset({Phase.REGISTERED, Phase.ENDED}),
    Phase.ENDED: frozenset({Phase.SUBMITTING}),
}
