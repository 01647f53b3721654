"""Readings of one layout, calibrated for one station."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from edge.calibration import MAX_RAW, Linear, chain, full_name, referenced
from edge.flags import Flag

if TYPE_CHECKING:
    from edge.calibration import Board, ChannelPlan

_Curve = Callable[[float, int], float]
_Row = tuple[int, int, float, float, _Curve | None, float, float, str | None]
_NAN = math.nan


class Calibrator:
    """Calibrates the readings of one layout for one station.

    ``apply`` returns one value a channel in the order of ``plans``; NaN is missing or rejected,
    and every rejection is counted in ``rejected`` as (channel, reason). ``shared`` names the
    ``station/channel`` that any stage refers to: those are posted on the board.
    """

    def __init__(
        self,
        station: str,
        plans: tuple[ChannelPlan, ...],
        columns: tuple[str, ...],
        board: Board,
        shared: frozenset[str],
    ) -> None:
        self.rejected: dict[tuple[str, str], int] = {}
        self._board = board
        self._names = tuple(plan.name for plan in plans)
        rows = []
        for place in _in_order(station, plans):
            plan = plans[place]
            if plan.column in columns:
                name = full_name(station, plan.name)
                post = name if name in shared else None
                rows.append(_row(place, columns.index(plan.column), plan, station, board, post))
        self._rows = tuple(rows)
        self._blank = [_NAN] * len(plans)
        self._refused: list[int] = []

    def apply(self, values: tuple[float, ...], time_ms: int) -> list[float]:
        """Calibrate one reading."""
        out = self._blank.copy()
        if self._refused:
            self._refused = []
        for place, column, gain, offset, curve, low, high, post in self._rows:
            x = values[column]
            if x != x:
                continue
            if curve is None:
                y = gain * x + offset
            else:
                y = curve(x, time_ms) if -MAX_RAW < x < MAX_RAW else math.inf
            if low <= y <= high:
                out[place] = y
                if post is not None:
                    self._board.post(post, time_ms, y)
            else:
                self._reject(self._names[place], y)
                self._refused.append(place)
        return out

    def missing(self, values: list[float]) -> list[tuple[int, Flag]]:
        """Give what the reading just applied should have held and does not, and why."""
        refused = self._refused
        return [
            (place, Flag.RANGE if place in refused else Flag.MISSING)
            for place, *_ in self._rows
            if values[place] != values[place]
        ]

    def _reject(self, channel: str, value: float) -> None:
        reason = "no_reference" if math.isnan(value) else "range"
        key = (channel, reason)
        self.rejected[key] = self.rejected.get(key, 0) + 1


def _row(
    place: int, column: int, plan: ChannelPlan, station: str, board: Board, post: str | None
) -> _Row:
    low = -MAX_RAW if math.isnan(plan.low) else plan.low
    high = MAX_RAW if math.isnan(plan.high) else plan.high
    if all(isinstance(stage, Linear) for stage in plan.stages):
        gain, offset = 1.0, 0.0
        for stage in plan.stages:
            assert isinstance(stage, Linear)
            gain, offset = gain * stage.gain, offset * stage.gain + stage.offset
        return place, column, gain, offset, None, low, high, post
    return place, column, 1.0, 0.0, chain(plan, station, board), low, high, post


def _in_order(station: str, plans: tuple[ChannelPlan, ...]) -> list[int]:
    """Order channels so that what others refer to comes first; a circle is left as it stands."""
    names = {full_name(station, plan.name): i for i, plan in enumerate(plans)}
    ordered: list[int] = []
    visiting: set[int] = set()

    def visit(i: int) -> None:
        if i in ordered or i in visiting:
            return
        visiting.add(i)
        for name in referenced(plans[i].stages):
            if full_name(station, name) in names:
                visit(names[full_name(station, name)])
        ordered.append(i)

    for i in range(len(plans)):
        visit(i)
    return ordered
