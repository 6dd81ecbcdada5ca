"""Which failures a restarter may try again after, and for how long."""

from __future__ import annotations

import logging

import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.restarter import KernelRestarter

from sparkkernels.errors import (
    ApplicationFailed,
    ConfigurationError,
    CredentialsError,
    LaunchTimeout,
    NotAllowed,
    ResourceManagerUnavailable,
    SubmitError,
)
from sparkkernels.restarts import EARLY_S, MOST_FAILURES, PATIENCE_S, Restarts

LIMIT = 5


class Restarter(KernelRestarter):
    """Counts how often it is started; its looks are the test's own."""

    started = 0

    def start(self) -> None:
        self.started += 1


class Kernel:
    """A kernel whose start was complete at time 1000."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.manager = KernelManager()
        self.restarter = self.manager._restarter = Restarter(kernel_manager=self.manager)
        self.given_up = 0
        self.restarts = Restarts(self.manager, logging.getLogger(__name__), lambda: self.now)
        self.restarts.look(self._on_given_up)
        self.restarts.started()

    def _on_given_up(self) -> None:
        self.given_up += 1

    def fails(self, error: BaseException) -> bool:
        again = self.restarts.failed(error)
        self.restarts.resume()
        return again

    def dies(self, after_s: float, application_ended: bool = True) -> bool:
        """Whether it may be restarted."""
        self.restarts.started()
        self.now += after_s
        self.restarts.died(application_ended, "It was ill.")
        return self.restarter.restart_limit == LIMIT


@pytest.mark.parametrize("error", [ConfigurationError, CredentialsError, NotAllowed, LaunchTimeout])
def test_what_needs_somebody_is_not_tried_again(error: type[Exception]) -> None:
    kernel = Kernel()
    assert not kernel.fails(error("It can't be."))
    assert kernel.restarter.restart_limit == 0, "at its next look it tells everybody that the kernel is dead"
    assert kernel.restarter.started == 1


@pytest.mark.parametrize("error", [ApplicationFailed, SubmitError])
def test_an_accident_is_tried_again_a_few_times(error: type[Exception]) -> None:
    kernel = Kernel()
    tried = [kernel.fails(error("It went wrong.")) for _ in range(MOST_FAILURES)]
    assert tried == [True] * (MOST_FAILURES - 1) + [False]
    assert kernel.restarter.started == MOST_FAILURES


def test_a_resource_manager_is_waited_for_and_not_for_ever() -> None:
    kernel = Kernel()
    for _ in range(10):
        assert kernel.fails(ResourceManagerUnavailable("It can't be reached."))
        kernel.now += PATIENCE_S / 10 - 1
    kernel.now += 20
    assert not kernel.fails(ResourceManagerUnavailable("It can't be reached."))


def test_early_ends_in_a_row_are_counted_and_a_long_life_forgives() -> None:
    kernel = Kernel()
    assert kernel.dies(1) and kernel.dies(1) and kernel.dies(EARLY_S + 1)
    assert [kernel.dies(1) for _ in range(MOST_FAILURES)] == [True] * (MOST_FAILURES - 1) + [False]


def test_crashes_of_the_kernel_process_are_left_to_the_restarter() -> None:
    kernel = Kernel()
    assert all(kernel.dies(1, application_ended=False) for _ in range(10))


def test_a_complete_start_gives_the_restarter_its_limit_back() -> None:
    kernel = Kernel()
    kernel.fails(NotAllowed("No."))
    kernel.restarts.started()
    assert kernel.restarter.restart_limit == LIMIT


def test_who_listens_to_the_restarter_is_told_once() -> None:
    kernel = Kernel()
    kernel.restarts.look(kernel._on_given_up)
    kernel.restarter._fire_callbacks("dead")
    assert kernel.given_up == 1


def test_a_first_start_and_a_cancelled_one_start_no_restarter() -> None:
    kernel = Kernel()
    kernel.fails(KeyboardInterrupt())
    assert kernel.restarter.started == 0
    manager = KernelManager()
    restarts = Restarts(manager, logging.getLogger(__name__))
    assert not restarts.failed(SubmitError("It went wrong."))
    restarts.resume()
