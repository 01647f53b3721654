"""Faults found, missed and hidden, and alarms right and wrong, by class of fault."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from export.generator.fault import Fault


@dataclass(slots=True)
class Tally:
    """Counts by class of fault. What is hidden is neither among the found nor the missed."""

    found: Counter[Fault] = field(default_factory=Counter)
    missed: Counter[Fault] = field(default_factory=Counter)
    right: Counter[Fault] = field(default_factory=Counter)
    wrong: Counter[Fault] = field(default_factory=Counter)
    hidden_found: Counter[Fault] = field(default_factory=Counter)
    hidden_missed: Counter[Fault] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    """Why faults are hidden."""
    misses: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)

    def recall(self, kind: Fault | None = None) -> float:
        """Give the share found of the faults that can be seen, of one class or of all."""
        return _share(_of(self.found, kind), _of(self.missed, kind))

    def recall_with_hidden(self, kind: Fault | None = None) -> float:
        """Give the share found of all faults."""
        found = _of(self.found, kind) + _of(self.hidden_found, kind)
        return _share(found, _of(self.missed, kind) + _of(self.hidden_missed, kind))

    def hidden(self, kind: Fault | None = None) -> int:
        """Give how many faults are hidden."""
        return _of(self.hidden_found, kind) + _of(self.hidden_missed, kind)

    def faults(self, kind: Fault | None = None) -> int:
        """Give how many faults there are, hidden ones among them."""
        return _of(self.found, kind) + _of(self.missed, kind) + self.hidden(kind)

    def precision(self, kind: Fault | None = None) -> float:
        """Give the share of alarms that are right, of one class or of all."""
        return _share(_of(self.right, kind), _of(self.wrong, kind))

    def figures(self) -> dict[str, float]:
        """Give all of it by name."""
        named = [("", None), *((f"_{kind.text}", kind) for kind in Fault)]
        found: dict[str, float] = {}
        for name, kind in named:
            found[f"fault_precision{name}"] = self.precision(kind)
            found[f"fault_recall{name}"] = self.recall(kind)
            found[f"fault_recall_with_hidden{name}"] = self.recall_with_hidden(kind)
            found[f"fault_hidden{name}"] = float(self.hidden(kind))
        return found


def table(tally: Tally) -> str:
    """Give the figures as Markdown."""
    lines = [
        "| fault | faults | hidden | recall | recall with hidden | alarms | precision |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in (*Fault, None):
        n, hidden = tally.faults(kind), tally.hidden(kind)
        share = f"{hidden} ({hidden / n:.0%})" if hidden else "0"
        alarms = _of(tally.right, kind) + _of(tally.wrong, kind)
        lines.append(
            f"| {kind.text if kind is not None else 'all'} | {n} | {share} "
            f"| {tally.recall(kind):.3f} | {tally.recall_with_hidden(kind):.3f} "
            f"| {alarms} | {tally.precision(kind):.3f} |"
        )
    if tally.reasons:
        why = "; ".join(f"{reason} {n}" for reason, n in sorted(tally.reasons.items()))
        lines += ["", f"Hidden, whatever looks at them: {why}."]
    return "\n".join(lines)


def _of(count: Counter[Fault], kind: Fault | None) -> int:
    return count[kind] if kind is not None else sum(count.values())


def _share(good: int, bad: int) -> float:
    return good / (good + bad) if good + bad else math.nan
