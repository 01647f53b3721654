"""What movement gives as evidence: the series, tied to the arrays that are renewed in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.evidence import Series

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.evidence import Floats
    from edge.movement_plan import MovePlan


def make_series(
    plan: MovePlan,
    windows: Sequence[int],
    base_ms: int,
    speed: Floats,
    moved: Sequence[Floats],
    judged: Mapping[str, Floats],
) -> tuple[Series, ...]:
    """Give all of it.

    Args:
        plan: the channels.
        windows: of the speeds, ms.
        base_ms: window of the acceleration.
        speed: [windows, channels].
        moved: [channels] of each window of the plan.
        judged: acceleration, tangent_angle, stage and moved_unseen [channels]; hours [3, channels].

    """
    names = tuple(c.name for c in plan.channels)
    units = tuple(c.unit for c in plan.channels)
    daily = tuple(f"{unit}/d" for unit in units)
    squared = tuple(f"{unit}/d2" for unit in units)

    def one(kind: str, values: Floats, unit: str) -> Series:
        return Series(kind, 0, names, (unit,) * len(names), values)

    speeds = [
        Series("velocity", window, names, daily, speed[i]) for i, window in enumerate(windows)
    ]
    moves = [
        Series("moved", window, names, units, values)
        for window, values in zip(plan.moved_windows_ms, moved, strict=True)
    ]
    hours = judged["hours"]
    return (
        *speeds,
        *moves,
        Series("acceleration", base_ms, names, squared, judged["acceleration"]),
        one("tangent_angle", judged["tangent_angle"], "deg"),
        one("stage", judged["stage"], "1"),
        one("time_to_failure", hours[0], "h"),
        one("time_to_failure_low", hours[1], "h"),
        one("time_to_failure_high", hours[2], "h"),
        one("moved_unseen", judged["moved_unseen"], "1"),
    )
