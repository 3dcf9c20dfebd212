"""Losses: the scalars that one op on one line gave over the steps, and whether one of them runs away."""

from __future__ import annotations

import itertools

from graphdebug.diagnosis.words import place
from graphdebug.model.event import Node, Site

__all__ = ["LossWatch"]

_KEPT = 64
"""Last values kept of each line."""


_THROWN = 5
"""Times its first value that a loss must have been, to be worse also where it only came back to that."""
_REMEMBERED = 4096
_STORED = ("variable", "buffer", "parameter")
_STUCK = 5
"""Steps without any change after which a loss is said to be stuck."""


class LossWatch:
    """Collects scalar results by line and op. A loss runs away if it grows by half or more, step after step.

    Many nodes may stand on one line: a whole graph on that of ``model.fit``.
    """

    families = ("loss", "reduce", "elementwise", "fill")

    def __init__(self) -> None:
        self._series: dict[tuple[str, int, str], list[tuple[int, float]]] = {}
        self._sites: dict[tuple[str, int, str], Site] = {}
        self._peaks: dict[tuple[str, int, str], float] = {}
        self._made: dict[int, tuple[str, int, str]] = {}
        """The values of the running step, by their nodes."""
        self._began: set[tuple[str, int, str]] = set()
        """Lines at whose values backward began."""

    def see(self, node: Node) -> None:
        """Look at one forward node."""
        if node.phase != "forward" or node.site is None or not node.outputs:
            return
        fact = node.outputs[0]
        if node.family == "fill":
            if node.function == "ones_like" and node.inputs and node.inputs[0].producer in self._made:
                self._began.add(self._made[node.inputs[0].producer])
            return
        if fact.shape != () or fact.stats is None or fact.stats.mean is None or fact.finite is False:
            return
        if node.function == "add" and (node.mutates or any(one.origin in _STORED for one in node.inputs)):
            return  # a count or a total, which only ever grows
        key = (node.site.file, node.site.line, node.name or node.function)
        series = self._series.setdefault(key, [])
        self._sites[key] = node.site
        if series and series[-1][0] == node.step:
            series.pop()
        series.append((node.step, float(fact.stats.mean)))
        if len(self._made) > _REMEMBERED:
            self._made.clear()
        self._made[node.seq] = key
        self._peaks[key] = max(self._peaks.get(key, 0.0), abs(float(fact.stats.mean)))
        if len(series) > 2 * _KEPT:
            del series[1:-_KEPT]

    def runaway(self) -> tuple[Site, list[tuple[int, float]]] | None:
        """Return the op's line whose values grew a thousandfold, by half or more in each of the last steps."""
        for key, series in self._series.items():
            tail = [abs(value) for _, value in series[-5:]]
            first = abs(series[0][1])
            if len(series) < 4 or first == 0 or len(tail) < 4:
                continue
            if all(b >= 1.5 * a for a, b in itertools.pairwise(tail)) and tail[-1] >= 1000 * first:
                return self._sites[key], series
        return None

    def stuck(self) -> tuple[Site, list[tuple[int, float]]] | None:
        """Return the line whose values leapt a hundredfold over the first and then never changed again."""
        for key, series in self._series.items():
            values = [abs(value) for _, value in series]
            if len(values) < 2 * _STUCK or not 0 < 100 * values[0] <= max(values[:_STUCK]):
                continue
            if len(set(values[-_STUCK:])) == 1 and values[-1] > 0:
                return self._sites[key], series
        return None

    def thrown(self) -> tuple[Site, list[tuple[int, float]]] | None:
        """Return the line whose values leapt a millionfold over the first and did not come back."""
        for key, series in self._series.items():
            values = [abs(value) for _, value in series]
            if len(values) < 2 * _STUCK or not 0 < 1e6 * values[0] <= max(values[:_STUCK]):
                continue
            if min(values[-_STUCK:]) >= 1000 * values[0]:
                return self._sites[key], series
        return None

    def worse(self, back: float) -> tuple[Site, list[tuple[int, float]], float] | None:
        """Return the line of the loss that backward began at in each step, if it leapt to twice its first value
        or more and is above that in the last steps too, nearly always; and the most that it was. One that leapt
        far need only be back where it began: what it had learned by chance is all it knows.

        Args:
            back: the share of its first value to which a loss that leapt far may have come back.

        """
        for key in self._began:
            series = self._series[key]
            first, tail = series[0][1], [value for _, value in series[-max(_STUCK, len(series) // 4) :]]
            if len(series) < 2 * _STUCK or first <= 0 or self._peaks[key] < 2 * first:
                continue
            least = first if self._peaks[key] < _THROWN * first else back * first
            above = sum(value >= least for value in tail)
            middle = sorted(tail)[len(tail) // 2]
            if middle >= (1.1 * first if least == first else least) and above >= 0.8 * len(tail):
                return self._sites[key], series, self._peaks[key]
        return None

    def growing(self) -> bool:
        """Whether some loss grew tenfold, or by half in each of its last two steps."""
        return self._growing() is not None

    def story(self) -> str:
        """Return ``loss 2.3, 41, 5.2e+03 over steps 0 to 2 (train.py:12)``; empty if nothing grew."""
        found = self._growing()
        if found is None:
            return ""
        site, series = found
        shown = series if len(series) <= 5 else [series[0], *series[-4:]]
        words = [f"{value:.3g}" for _, value in shown]
        values = ", ".join(words if shown is series else [words[0], "...", *words[1:]])
        return f"the value at {place(site)} went {values} over steps {shown[0][0]} to {shown[-1][0]}"

    def _growing(self) -> tuple[Site, list[tuple[int, float]]] | None:
        best: tuple[float, Site, list[tuple[int, float]]] | None = None
        for key, series in self._series.items():
            if len(series) < 2 or series[0][1] == 0:
                continue
            growth = abs(series[-1][1] / series[0][1])
            last = [abs(value) for _, value in series[1:]][-3:]
            stays = min(last) >= 3 * abs(series[0][1])  # a small loss that goes up and down does not
            if growth >= 10 and stays and (best is None or growth > best[0]):
                best = growth, self._sites[key], series
        return best[1:] if best is not None else None
