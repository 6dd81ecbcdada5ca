"""Starts of kernels under way, and the moments at which something may happen to them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from jupyter_client.manager import AsyncKernelManager

from sparkkernels.errors import SparkKernelError

from .conftest import LIMIT_S, until
from .failed_start import check_words

MAKES_COMMAND = "org.apache.spark.launcher.Main"


class Start:
    """A kernel's start under way.

    Parameters
    ----------
    name : str
        Of the kernelspec.
    """

    def __init__(self, name: str) -> None:
        self.manager = AsyncKernelManager(kernel_name=name)
        self.task = asyncio.ensure_future(self.manager.start_kernel())
        self.application: Any = None

    async def reaches(self, moment: Callable[[Start], Any]) -> Any:
        """Wait for a moment of it, and return what there is then."""

        def there() -> Any:
            if self.task.done():
                self.task.result()
                raise AssertionError("the start was over before that moment")
            provisioner: Any = self.manager.provisioner
            self.application = self.application or (provisioner and provisioner._application)
            return self.application and moment(self)

        return await until(there, "the moment comes")

    async def error(self) -> SparkKernelError:
        """The error that it ends with."""
        with pytest.raises(SparkKernelError) as caught:
            await asyncio.wait_for(self.task, LIMIT_S)
        check_words(caught.value)
        return caught.value

    @property
    def submitting_jvm(self) -> psutil.Process | None:
        """The JVM of its spark-submit."""
        below = psutil.Process().children(recursive=True)
        return next((process for process in below if submitting(process, self.manager.kernel_id)), None)


def submitting(process: psutil.Process, kernel_id: str = "") -> bool:
    """Whether this is spark-submit's JVM; not the short-lived one that prints the command line for it."""
    try:
        command = process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return False
    main = "org.apache.spark.deploy.SparkSubmit"
    return (
        main in command
        and command[command.index(main) - 1] != MAKES_COMMAND
        and kernel_id in " ".join(command)
    )


def is_submitting(start: Start) -> psutil.Process | None:
    return start.submitting_jvm if start.application.application_id is None else None


def has_an_id(start: Start) -> psutil.Process | None:
    return start.submitting_jvm if start.application.application_id else None


def has_a_container(start: Start) -> bool:
    return bool(start.application.report and start.application.report.host)


def is_registered(start: Start) -> bool:
    return bool(start.application._link.registered)
