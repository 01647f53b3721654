"""Two channels that are exchanged: each shows at once what the other showed before."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.qc_plan import QcChannel
    from edge.qc_track import Track

ALIKE = 4.0
"""The exchanged value lies within so many sd of first differences of what the other showed..."""
TREND = 2.0
"""...and so many times by how much that one goes on a reading: a slope does not wait."""

APART, LEFT = 1.5, 0.5
"""They are so many times that apart, and each went by such a part of it."""


class Swaps:
    """Which column each channel is read from: ``route[i]`` is i unless exchanged."""

    def __init__(self, channels: Sequence[QcChannel]) -> None:
        self._channels = channels
        self.route = list(range(len(channels)))
        self.exchanged = False

    def find(self, values: list[float], track: Track, jumping: Sequence[int]) -> tuple[int, int]:
        """Give two of the channels that jump which are exchanged now; (-1, -1) where none are.

        ``values`` are routed as before.
        """
        for i in jumping:
            if not (self._channels[i].moves and track.sd[i] > 0):
                continue
            for j, other in enumerate(self._channels):
                if j == i or not other.moves or other.unit != self._channels[i].unit:
                    continue
                mine, theirs = float(track.last[i]), float(track.last[j])
                near, far = (
                    float(ALIKE * track.sd[k] + TREND * abs(track.trend[k])) for k in (i, j)
                )
                crossed = abs(values[i] - theirs) <= far and abs(values[j] - mine) <= near
                apart = abs(mine - theirs)
                left = min(abs(values[i] - mine), abs(values[j] - theirs)) > LEFT * apart
                if crossed and left and apart > APART * max(near, far) > 0:
                    return i, j
        return -1, -1

    def exchange(self, i: int, j: int) -> bool:
        """Read two channels from each other's column; whether each now has its own again."""
        self.route[i], self.route[j] = self.route[j], self.route[i]
        self.exchanged = self.route != list(range(len(self.route)))
        return self.route[i] == i and self.route[j] == j

    def crossed(self) -> list[int]:
        """Give the channels that are read from another column."""
        return [i for i, at in enumerate(self.route) if i != at]

    def restore(self, route: list[int]) -> None:
        """Continue from a route. ValueError where it is none."""
        if sorted(route) != list(range(len(self._channels))):
            raise ValueError("not an order of the channels")
        self.route = list(route)
        self.exchanged = self.route != list(range(len(route)))
