"""What of a station waits for other rows, and what came of such rows between two readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.flags import Flag, Flagged
from edge.in_order import InOrder

if TYPE_CHECKING:
    from edge.watch import Scored


class Waiting:
    """Rows behind a hole, and flags and scores of those that went on by the clock.

    Those are told with the next reading of the station, as telemetry goes with readings.
    """

    def __init__(self, channels: tuple[str, ...], lateness_ms: int) -> None:
        self._channels = channels
        self.order = InOrder(lateness_ms)
        self.flags: tuple[Flagged, ...] = ()
        self.scored: list[Scored] = []

    def told(self) -> tuple[tuple[Flagged, ...], list[Scored]]:
        """Give what came of rows since the last reading, once."""
        found = self.flags, self.scored
        self.flags, self.scored = (), []
        return found

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "order": self.order.snapshot(now_ms),
            "order_of": list(self._channels),
            "flags": [[f.time_ms, f.channel, int(f.flags)] for f in self.flags],
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> None:
        """Continue from a snapshot; older programs kept less. ValueError: of other channels."""
        order, names = state.get("order", {}), state.get("order_of", list(self._channels))
        if names != list(self._channels) and any(line["waiting"] for line in order.values()):
            raise ValueError(f"of channels {', '.join(map(str, names))}")
        self.order.restore(order, now_ms, len(self._channels))

    def restore_flags(self, state: dict[str, Any]) -> None:
        """Continue to tell what was wrong with rows before."""
        self.flags = tuple(
            Flagged(int(time_ms), str(channel), Flag(int(flags)))
            for time_ms, channel, flags in state.get("flags", ())
        )
