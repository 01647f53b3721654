"""Readings of any cadence, from several ports, onto the fixed time grid the models were trained on.

A step is emitted when every channel has reported, or when time has passed its end by the
lateness allowed. Gaps give empty steps, at most MAX_FILL; beyond, the grid breaks and starts anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from firmware_bridge.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAN = float("nan")
MAX_FILL = 96
"""Empty steps emitted for a gap; a longer gap is a break (and never a flood)."""
MAX_OPEN = 4
"""Steps held open for late and out-of-order readings."""


@record
class Observation:
    """One grid step of a station: start of the step (UTC ms), values, NaN for missing.

    ``reset`` tells that the grid broke before this step: models start from zero state.
    """

    station: str
    time_ms: int
    values: tuple[float, ...]
    reset: bool


class _Cell:
    __slots__ = ("counts", "sums")

    def __init__(self, n: int) -> None:
        self.counts = [0] * n
        self.sums = [0.0] * n


class Grid:
    """The grid of one station. ``aggregates`` holds mean, last, sum or max for each channel."""

    def __init__(
        self,
        station: str,
        step_ms: int,
        aggregates: tuple[str, ...],
        *,
        readings_per_step: int = 1,
        lateness_ms: int = 0,
    ) -> None:
        self._station = station
        self._step_ms = step_ms
        self._aggregates = aggregates
        self._n = len(aggregates)
        self._mean = tuple(aggregate == "mean" for aggregate in aggregates)
        self._nothing = (_NAN,) * self._n
        self._full = readings_per_step
        self._lateness_ms = lateness_ms
        self._only_mean_or_sum = not ({"last", "max"} & set(aggregates))
        self._cells: dict[int, _Cell] = {}
        self._next: int | None = None
        self._newest_ms = 0
        self._break = True
        self.late = 0

    def push(self, time_ms: int, values: Sequence[float]) -> list[Observation]:
        """Take one calibrated reading (channel order of the grid, NaN where it has none)."""
        key = time_ms // self._step_ms
        out: list[Observation] = []
        if self._next is not None and key < self._next:
            self.late += 1
            return out
        if self._next is None:
            self._next = key
        elif key - (max(self._cells) if self._cells else self._next - 1) > MAX_FILL + 1:
            out += self._close_all()
            self._next, self._break = key, True
        if self._full == 1 and key == self._next and not self._cells:
            total = sum(values)
            if total == total:  # whole at once, as a node sends it: no cell need be opened
                if time_ms > self._newest_ms:
                    self._newest_ms = time_ms
                return [*out, self._give(key, tuple(values))]
        cell = self._cells.get(key)
        if cell is None:
            cell = self._cells[key] = _Cell(self._n)
        self._add(cell, values)
        self._newest_ms = max(self._newest_ms, time_ms)
        return self._emit(out)

    def rebase(self) -> list[Observation]:
        """Give what is open, then break: the time line starts anew (a reset clock)."""
        out = self._close_all()
        self._next, self._newest_ms, self._break = None, 0, True
        return out

    def _add(self, cell: _Cell, values: Sequence[float]) -> None:
        counts, sums = cell.counts, cell.sums
        if self._only_mean_or_sum and sum(values) == sum(values):  # nothing missing: most often
            cell.counts = [count + 1 for count in counts]
            cell.sums = [total + v for total, v in zip(sums, values, strict=True)]
            return
        for i, v in enumerate(values):
            if v != v:
                continue
            if self._only_mean_or_sum or counts[i] == 0 or self._aggregates[i] in ("mean", "sum"):
                sums[i] += v
            elif self._aggregates[i] == "last" or v > sums[i]:
                sums[i] = v
            counts[i] += 1

    def lessen(self, channel: int, by: float, since_ms: int) -> None:
        """Take out of the open steps that the readings of a channel were so much too high."""
        for key, cell in self._cells.items():
            begin_ms, count = key * self._step_ms, cell.counts[channel]
            if begin_ms + self._step_ms <= since_ms or not count:
                continue
            if self._aggregates[channel] in ("mean", "sum"):
                each_ms = max(1.0, (self._newest_ms - begin_ms) / count)
                since = round((self._newest_ms - since_ms) / each_ms + 1)
                by_all = by * min(count, max(0, since))
            else:
                by_all = by
            cell.sums[channel] -= by_all

    @property
    def is_open(self) -> bool:
        """Whether any step is."""
        return bool(self._cells)

    @property
    def due_in_ms(self) -> int:
        """How long after the newest reading the oldest open step is past its time."""
        assert self._next is not None
        return (self._next + 1) * self._step_ms + self._lateness_ms - self._newest_ms

    def passed(self, by_ms: int) -> list[Observation]:
        """Give every step past its time, where so long has gone by since the newest reading."""
        out = []
        while self._cells and self.due_in_ms <= by_ms:
            assert self._next is not None
            out.append(self._close(self._next))
        return out

    def _emit(self, out: list[Observation]) -> list[Observation]:
        """Give every step that is complete or past its time, oldest first."""
        while self._cells:
            assert self._next is not None
            key = self._next
            cell = self._cells.get(key)
            full = cell is not None and min(cell.counts) >= self._full
            past = self._newest_ms >= (key + 1) * self._step_ms + self._lateness_ms
            crowded = len(self._cells) > MAX_OPEN
            if not (full or past or crowded):
                break
            out.append(self._close(key))
        return out

    def _close_all(self) -> list[Observation]:
        out = []
        while self._cells:
            assert self._next is not None
            out.append(self._close(self._next))
        return out

    def _close(self, key: int) -> Observation:
        cell = self._cells.pop(key, None)
        values = self._nothing
        if cell is not None:
            values = tuple(
                [
                    (total / count if mean and count > 1 else total) if count else _NAN
                    for count, total, mean in zip(cell.counts, cell.sums, self._mean, strict=True)
                ]
            )
        return self._give(key, values)

    def _give(self, key: int, values: tuple[float, ...]) -> Observation:
        reset, self._break = self._break, False
        self._next = key + 1
        return Observation(self._station, key * self._step_ms, values, reset)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "cells": {str(k): [[*c.counts], [*c.sums]] for k, c in self._cells.items()},
            "next": self._next,
            "newest_ms": self._newest_ms,
            "break": self._break,
            "late": self.late,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same grid. ValueError: it is of other channels."""
        cells = {}
        for key, (counts, sums) in state["cells"].items():
            if not len(counts) == len(sums) == self._n:
                raise ValueError(f"a grid of {len(counts)} channels")
            cell = cells[int(key)] = _Cell(self._n)
            cell.counts, cell.sums = list(map(int, counts)), list(map(float, sums))
        following = None if state["next"] is None else int(state["next"])
        if cells and not (following is not None and 0 <= min(cells) - following <= MAX_FILL + 1):
            raise ValueError(f"open steps from {min(cells)} on, and {following} to come next")
        newest_ms = int(state["newest_ms"])
        self._cells, self._next, self._newest_ms = cells, following, newest_ms
        self._break = state["break"]
        self.late = state["late"]
