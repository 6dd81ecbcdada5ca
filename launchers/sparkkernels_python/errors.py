"""What a notebook gets to see when there is no Spark."""

from __future__ import annotations


class SparkContextFailed(RuntimeError):
    """The application has no SparkContext that works, and gets none without a restart of the kernel."""
