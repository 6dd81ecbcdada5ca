"""A kernel of no language: it answers every cell with the cell. Run as a script with ``-f FILE``."""

from typing import Any

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class EchoKernel(Kernel):
    """Answers each cell with its own text; ``big N`` with N bytes."""

    implementation = "echo"
    implementation_version = "1"
    language = "text"
    language_version = "1"
    language_info = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}  # noqa: RUF012
    banner = "echo"

    async def do_execute(self, code: str, silent: bool, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Echo."""
        text = "x" * int(code.split()[1]) if code.startswith("big ") else code
        if not silent:
            content = {"name": "stdout", "text": text}
            self.send_response(self.iopub_socket, "stream", content)  # type: ignore[no-untyped-call]
        return {"status": "ok", "execution_count": self.execution_count, "user_expressions": {}}


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=EchoKernel)
