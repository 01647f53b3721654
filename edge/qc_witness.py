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


def around(channels: Sequence[QcChannel], track: Track, i: int) -> dict[int, float]:
    """Give where each neighbour was when this channel was last where it had been."""
    found, at_ms = {}, float(track.raw_ms[i])
    for j in channels[i].neighbours:
        since_ms = at_ms - STALE * max(track.interval[i], track.interval[j])
        for value, when in ((track.raw, track.raw_ms), (track.before, track.before_ms)):
            if value[j] == value[j] and max(1.0, since_ms) <= when[j] <= at_ms:
                found[j] = float(value[j])
                break
    return found


def still(
    channels: Sequence[QcChannel],
    track: Track,
    troubles: Mapping[int, Trouble],
    i: int,
    jump: float,
) -> bool:
    """Whether neighbours that would show the jump of a channel are there, and none does."""
    witnesses, sd, held_ms = 0, float(track.sd[i]), troubles[i].held_ms
    for j, was in troubles[i].around.items():
        other = troubles.get(j)
        live = track.now_ms[j] >= held_ms and not (other and other.noisy)
        noise = float(track.sd[j])
        if not live or track.froze[j] or not math.isfinite(float(track.limit[j])):
            continue
        alike = channels[i].unit == channels[j].unit
        shown = SHARE * abs(jump) * (1.0 if alike else noise / sd)
        stands_out = shown > STANDS_OUT * noise
        least = min(MOVED * noise, MOVED_SHARE * shown) if stands_out else MOVED * noise
        if abs(float(track.now[j]) - was) > least:
            return False
        witnesses += stands_out
    return witnesses > 0
