"""Figures and the table they make: ratios first."""

from __future__ import annotations

import statistics

#: The relay and the local kernel are compared with the same encryption of ZeroMQ, ours by default first.
ENCRYPTIONS = ("CURVE", "plain")
#: (what, ours, what it is compared with, most that it should be)
RATIOS = [
    (
        "start to first result / bare spark-submit",
        "start to first result of 1+1",
        "bare spark-submit to its first line",
        "1.3",
    ),
    *(
        (
            f"warm restart / cold restart, to first {result}",
            f"warm restart to first {figure}",
            f"cold restart to first {figure}",
            most,
        )
        for result, figure, most in (
            ("result", "result of 1+1", "0.125"),
            ("Spark result", "Spark result", "-"),
        )
    ),
    *(
        (
            f"100 MB of output, relay / local kernel, {encryption}",
            f"100 MB of output, through the relay, {encryption}",
            f"100 MB of output, local kernel, {encryption}",
            "1.5",
        )
        for encryption in ENCRYPTIONS
    ),
]
#: (what, ours, what is taken off, most that it should be)
DIFFERENCES = [
    (
        f"{what}, relay - local kernel, ms, {encryption}",
        f"{figure}, ms, through the relay, {encryption}",
        f"{figure}, ms, local kernel, {encryption}",
        most,
    )
    for what, figure, most in (
        ("empty cell", "empty cell", "1"),
        ("round trip", "heartbeat round trip", "0.5"),
    )
    for encryption in ENCRYPTIONS
]


class Figures:
    """Figures by name, in the order in which they came."""

    def __init__(self) -> None:
        self._figures: dict[str, list[float]] = {}

    def add(self, name: str, figure: float) -> None:
        """Keep one, and show it as it comes."""
        self._figures.setdefault(name, []).append(figure)
        print(f"{figure:10.3f}  {name}", flush=True)

    def median(self, name: str) -> float:
        """The median of what was added under this name."""
        return statistics.median(self._figures[name])

    def table(self) -> str:
        """A Markdown table: ratios and differences, then medians, least and most of all figures."""
        rows = ["| compared in one run | median | reach for at most |", "| --- | ---: | ---: |"]
        for what, ours, other, most in RATIOS:
            rows.append(f"| {what} | {self.median(ours) / self.median(other):.3f} | {most} |")
        for what, ours, other, most in DIFFERENCES:
            rows.append(f"| {what} | {self.median(ours) - self.median(other):.2f} | {most} |")
        rows += ["", "| figure (s, unless said) | median | least | most | n |"]
        rows += ["| --- | ---: | ---: | ---: | ---: |"]
        for name, figures in self._figures.items():
            spread = f"{min(figures):.3f} | {max(figures):.3f} | {len(figures)}"
            rows.append(f"| {name} | {statistics.median(figures):.3f} | {spread} |")
        return "\n".join(rows)
