"""Python's garbage collector, in a server with many kernels."""

from __future__ import annotations

import functools
import gc


@functools.cache
def leave_out_what_is_there() -> None:
    """Have collections leave out every object that this process has by now; done once.

    After its imports a server has some hundred thousand objects, which live as long as it does. The objects
    of more kernels make Python look through all of them, for a tenth of a second or two in which no loop
    runs. What happens to be garbage at this moment is kept for good.
    """
    gc.freeze()
