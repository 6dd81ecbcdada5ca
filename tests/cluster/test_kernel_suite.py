"""Jupyter's own test suite for kernels, on kernels of the cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import jupyter_kernel_test
import pytest
from jupyter_client.manager import start_new_kernel

from .conftest import LIMIT_S, install

#: Seconds that the suite gives a reply; its own 15 are meant for a machine that has nothing else to do.
jupyter_kernel_test.TIMEOUT = 60
LEAST_S = 0.7


class OnTheCluster:
    """A kernel of the cluster for the suite."""

    language: ClassVar[str]
    first_cell: ClassVar[str]
    km: ClassVar[Any]
    kc: ClassVar[Any]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def kernel(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[None]:
        """The kernel of all tests of this class: whether it leaves anything is looked at after the last."""
        request.getfixturevalue("staged")
        name = install(tmp_path_factory.mktemp("suite"), None, {}, cls.language)
        cls.km, cls.kc = start_new_kernel(kernel_name=name, startup_timeout=LIMIT_S)
        reply = cls.kc.execute_interactive(cls.first_cell, timeout=LIMIT_S)
        assert reply["content"]["status"] == "ok"
        heard = cls.kc.iopub_channel.get_msg
        # The suite gives each output 0.1 s, which is little for a machine that runs a cluster as well.
        cls.kc.iopub_channel.get_msg = lambda timeout: heard(timeout=max(timeout, LEAST_S))
        try:
            yield
        finally:
            cls.kc.stop_channels()
            cls.km.shutdown_kernel()

    @pytest.fixture
    def nothing_left(self) -> None:
        """Between the tests of this class the kernel is there."""

    @classmethod
    def setUpClass(cls) -> None:
        """The fixture starts the kernel."""

    @classmethod
    def tearDownClass(cls) -> None:
        """The fixture ends it."""


class TestPythonKernel(OnTheCluster, jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """What a front end may ask of a kernel, each answer checked against the messaging specification."""

    language = "python"
    first_cell = "spark.range(3).count()"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('oops', file=sys.stderr)"
    completion_samples: ClassVar = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples: ClassVar = ["1", "print('hello, world')", "def f(x):\n  return x*2\n\n\n"]
    incomplete_code_samples: ClassVar = ["print('''hello", "def f(x):\n  x*2"]
    invalid_code_samples: ClassVar = ["import = 7q"]
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('of the cell')"
    code_execute_result: ClassVar = [
        {"code": "1+2+3", "result": "6"},
        {"code": "spark.range(10).count()", "result": "10"},
    ]
    code_display_data: ClassVar = [
        {"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "mime": "text/html"}
    ]
    code_history_pattern = "1?2*"
    # Not "range": the suite names the running session by its number, as ipykernel names old ones only.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class TestRKernel(OnTheCluster, jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """The same of an R kernel. IRkernel shows results as display data, and keeps no history."""

    language = "r"
    first_cell = "1 + 1"
    language_name = "R"
    file_extension = ".r"
    code_hello_world = 'cat("hello, world\\n")'
    code_stderr = "message('oops')"
    completion_samples: ClassVar = [{"text": "zi", "matches": {"zip"}}]
    complete_code_samples: ClassVar = ["1", "cat('hello, world')", "f <- function(x) {\n  x * 2\n}"]
    incomplete_code_samples: ClassVar = ["cat('hello", "f <- function(x) {"]
    invalid_code_samples: ClassVar = ["import = 7q", "f <- function(x))"]
    code_page_something = "?zip"
    code_generate_error = "stop('of the cell')"
    code_display_data: ClassVar = [
        {"code": "1 + 2 + 3", "mime": "text/plain"},
        {"code": "plot(1:3)", "mime": "image/png"},
        {"code": "IRdisplay::display_html('<b>x</b>')", "mime": "text/html"},
    ]
    code_inspect_sample = "zip"
    code_clear_output = "IRdisplay::clear_output()"
    test_execute_result = None
    test_history = None


@pytest.mark.timeout(300)
class TestScalaKernel(OnTheCluster, jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """The same of a Scala kernel. Toree has no help, no pages and no history."""

    language = "scala"
    first_cell = "spark.range(3).count()"
    language_name = "scala"
    file_extension = ".scala"
    code_hello_world = 'println("hello, world")'
    code_stderr = 'System.err.println("oops")'
    completion_samples: ClassVar = [{"text": "spark.ra", "matches": {"range"}}]
    complete_code_samples: ClassVar = ["1", 'println("hello, world")', "def f(x: Int) = {\n  x * 2\n}\n\n"]
    incomplete_code_samples: ClassVar = ["def f(x: Int) = {", 'println("""hello']
    invalid_code_samples: ClassVar = ["import = 7q", "val = 1)"]
    code_generate_error = 'throw new IllegalArgumentException("of the cell")'
    code_execute_result: ClassVar = [
        {"code": "1+2+3", "result": "6"},
        {"code": "spark.range(10).count()", "result": "10"},
    ]
    code_display_data: ClassVar = [
        {"code": 'kernel.display.html("<b>x</b>")', "mime": "text/html"},
        {"code": "case class P(a: Int)", "mime": "text/plain"},
    ]
    code_clear_output = "kernel.display.clear()"
    test_history = None
    test_inspect = None
    test_pager = None
