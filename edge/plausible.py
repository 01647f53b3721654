"""What the models must not believe at once: a single spike, and a sensor that hangs.

A value that jumps further than training ever saw is held back until the next reading bears it
out: a spike is gone by then, a real step or a failing slope is seen one reading later. A channel
that repeats itself to the last digit for too long has stopped measuring: it counts as silent, so
that a hung sensor can neither calm an alarm nor go unnoticed. Telemetry shows both as they came.
"""

from __future__ import annotations

from operator import le, sub
from typing import Any

_NAN = float("nan")


class Plausible:
    """Judges the values of one station. Limits are per channel; infinite or 0 is none.

    ``refused`` counts (channel, "spike" or "frozen"), shared with the calibration's rejections.
    """

    def __init__(
        self,
        channels: tuple[str, ...],
        jump_limits: tuple[float, ...],
        frozen_ms: tuple[int, ...],
        refused: dict[tuple[str, str], int],
    ) -> None:
        self._channels = channels
        self._jumps = jump_limits
        self._frozen_ms = frozen_ms
        self._may_freeze = tuple(i for i, limit in enumerate(frozen_ms) if limit > 0)
        self._refused = refused
        self.reset()

    def reset(self) -> None:
        """Forget the past: the time line began anew."""
        n = len(self._channels)
        self._last = [_NAN] * n
        self._doubted = [False] * n
        self._repeated = [_NAN] * n
        self._since_ms = [0] * n

    def apply(self, time_ms: int, values: list[float]) -> list[float]:
        """Return the values with NaN for those held back."""
        steps = map(abs, map(sub, values, self._last))
        if all(map(le, steps, self._jumps)) and True not in self._doubted:
            self._last = list(values)  # nothing missing, no jump: most often
            out = values
        else:
            out = self._without_spikes(values)
        for i in self._may_freeze:
            v = values[i]
            if v != self._repeated[i]:
                if v == v:
                    self._repeated[i], self._since_ms[i] = v, time_ms
            elif time_ms - self._since_ms[i] > self._frozen_ms[i]:
                out = self._refuse(out, values, i, "frozen")
        return out

    def _without_spikes(self, values: list[float]) -> list[float]:
        out = values
        for i, v in enumerate(values):
            if v != v:
                continue
            # NaN, nothing accepted yet, is no jump; one jump after another is no spike.
            jumped = abs(v - self._last[i]) > self._jumps[i]
            doubted, self._doubted[i] = self._doubted[i], jumped
            if jumped and not doubted:
                out = self._refuse(out, values, i, "spike")
            else:
                self._last[i] = v
        return out

    def _refuse(self, out: list[float], values: list[float], i: int, reason: str) -> list[float]:
        if out is values:
            out = list(values)
        out[i] = _NAN
        key = (self._channels[i], reason)
        self._refused[key] = self._refused.get(key, 0) + 1
        return out

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "last": [None if v != v else v for v in self._last],
            "doubted": list(self._doubted),
            "repeated": [None if v != v else v for v in self._repeated],
            "since_ms": list(self._since_ms),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot of the same channels."""
        self._last = [_NAN if v is None else float(v) for v in state["last"]]
        self._doubted = [bool(v) for v in state["doubted"]]
        self._repeated = [_NAN if v is None else float(v) for v in state["repeated"]]
        self._since_ms = [int(v) for v in state["since_ms"]]
