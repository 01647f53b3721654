"""Neighbours of a channel that jumped: which of them would show it, and whether any does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edge.qc_plan import QcChannel
    from edge.qc_track import Track
    from edge.qc_trouble import Trouble

SHARE, STANDS_OUT = 0.3, 3.0
"""A neighbour shows such a share of a movement at least, and must be so many times less noisy."""
MOVED, MOVED_SHARE = 5.0, 0.5
"""Sizes of its own noise, or parts of that share, from which on a neighbour has moved."""
STALE = 2.5
"""What a neighbour read more than so many intervals before tells nothing."""
GOES_BY = 3.0
"""A neighbour that creeps or warms by less than so many sizes of its noise a reading goes on so,
and that is no jump of it; what goes by faster is on its way, and tells of movement."""

Expected = tuple[float, float, float]
"""Where a neighbour was, when (ms), and by how much a ms it went."""


def around(channels: Sequence[QcChannel], track: Track, i: int) -> dict[int, Expected]:
    """Give where each neighbour was when this channel was last where it had been, by two readings.

    One reading of two is left where they lie far apart: the other was a spike.
    """
    found, at_ms = {}, float(track.raw_ms[i])
    for j in channels[i].neighbours:
        since_ms = at_ms - STALE * max(track.interval[i], track.interval[j])
        seen = [
            (float(value[j]), float(when[j]))
            for value, when in ((track.raw, track.raw_ms), (track.before, track.before_ms))
            if value[j] == value[j] and max(1.0, since_ms) <= when[j] <= at_ms
        ]
        if not seen:
            continue
        (last, last_ms), (first, first_ms), sd = seen[0], seen[-1], float(track.sd[j])
        if abs(last - first) > MOVED * sd:
            first, first_ms = last, last_ms
        trend = float(track.trend[j])
        pace = trend / max(1.0, float(track.interval[j])) if abs(trend) <= GOES_BY * sd else 0.0
        found[j] = 0.5 * (last + first), 0.5 * (last_ms + first_ms), pace
    return found


def _off(track: Track, j: int, held_ms: float, expected: Expected) -> float:
    """Give how far a neighbour is, since the jump, from where it was.

    Or from where it would be had it gone on as before, or from anywhere between: pace may turn.
    The last reading and the mean of two must say so: one alone may be a spike, or noise.
    """
    now, now_ms = float(track.now[j]), float(track.now_ms[j])
    far = _beyond(now, now_ms, expected)
    if held_ms <= track.raw_ms[j] < now_ms:
        mean, mean_ms = 0.5 * (now + float(track.raw[j])), 0.5 * (now_ms + float(track.raw_ms[j]))
        far = min(far, _beyond(mean, mean_ms, expected))
    return far


def _beyond(now: float, now_ms: float, expected: Expected) -> float:
    was, was_ms, pace = expected
    went, by = now - was, pace * (now_ms - was_ms)
    return max(0.0, went - max(by, 0.0), min(by, 0.0) - went)


def unmoved(
    channels: Sequence[QcChannel],
    track: Track,
    troubles: Mapping[int, Trouble],
    i: int,
    jump: float,
) -> int:
    """Give how many neighbours would show the jump of a channel; -1 where any does."""
    witnesses, sd, held_ms = 0, float(track.sd[i]), troubles[i].held_ms
    for j, expected in troubles[i].around.items():
        other = troubles.get(j)
        live = track.now_ms[j] >= held_ms and not (other and other.noisy)
        noise = float(track.sd[j])
        if not live or track.froze[j] or not math.isfinite(float(track.limit[j])):
            continue
        alike = channels[i].unit == channels[j].unit
        shown = SHARE * abs(jump) * (1.0 if alike else noise / sd)
        stands_out = shown > STANDS_OUT * noise
        least = min(MOVED * noise, MOVED_SHARE * shown) if stands_out else MOVED * noise
        if _off(track, j, held_ms, expected) > least:
            return -1
        witnesses += bool(stands_out)
    return witnesses
