"""Readings that had passed and turn out a spike, or are in doubt: told to whoever sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.qc_plan import QcChannel

KEPT = 8
"""Readings of each channel that are not told again: two ways of looking may find the same."""


class Undone:
    """What is taken out of one station again; ``tell(channel, [(time_ms, how much too high)])``."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        self._names = [channel.name for channel in channels]
        self.tell: Callable[[str, Sequence[tuple[int, float]]], None] = _nothing
        self.doubt: Callable[[str, int, float], None] = _believed
        """(channel, since when, how much) of a jump that was believed, and nobody could confirm;
        0.0: the one of that time was none, and has been taken out already."""
        self._told: dict[int, list[int]] = {}

    def reset(self) -> None:
        """Forget all: the time line began anew."""
        self._told.clear()

    def take_out(self, i: int, readings: Sequence[tuple[int, float]]) -> None:
        """Tell of readings of a channel, each once."""
        told = self._told.get(i, [])
        fresh = [(at_ms, by) for at_ms, by in readings if at_ms not in told]
        if fresh:
            self._told[i] = [*told, *(at_ms for at_ms, _ in fresh)][-KEPT:]
            self.tell(self._names[i], fresh)

    def leave_in_doubt(self, i: int, time_ms: int, by: float) -> None:
        """Tell of a jump of a channel that may be real; 0.0: that it was none."""
        self.doubt(self._names[i], time_ms, by)

    def snapshot(self) -> list[Any]:
        """Return the state as JSON-ready values."""
        return [[i, times] for i, times in self._told.items()]

    def restore(self, state: list[Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self._told = {int(i): [int(at) for at in times][-KEPT:] for i, times in state}


def _nothing(_: str, __: Sequence[tuple[int, float]]) -> None:
    return None


def _believed(_: str, __: int, ___: float) -> None:
    return None
