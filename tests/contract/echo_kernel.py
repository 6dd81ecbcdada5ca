"""A kernel that is nobody's language: it answers every cell with the cell. Run as a script with ``-f FILE``."""

from ipykernel.kernelapp import IPKernelApp
from ipykernel.kernelbase import Kernel


class EchoKernel(Kernel):
    """Answers each cell with its own text; ``big N`` with N bytes."""

    implementation = "echo"
    implementation_version = "1"
    language = "text"
    language_version = "1"
    language_info = {"name": "echo", "mimetype": "text/plain", "file_extension": ".txt"}
    banner = "echo"

    def do_execute(self, code, silent, store_history=True, user_expressions=None, allow_stdin=False):
        """Echo."""
        text = "x" * int(code.split()[1]) if code.startswith("big ") else code
        if not silent:
            self.send_response(self.iopub_socket, "stream", {"name": "stdout", "text": text})
        return {
            "status": "ok",
            "execution_count": self.execution_count,
            "payload": [],
            "user_expressions": {},
        }


if __name__ == "__main__":
    IPKernelApp.launch_instance(kernel_class=EchoKernel)
