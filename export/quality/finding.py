"""One thing found in a history that a person should know before a model is trained on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SEVERITIES = ("error", "warning", "note")
"""An error: do not train. A warning: look, then decide. A note: good to know."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Finding:
    """What, on which channel ("" for all), and from when to when (start of the steps, UTC ms).

    ``what`` says it with sizes, units and what to do. ``count`` is steps, values or rows, and
    ``value`` the size in units of the channel (or a share, a factor), as the kind has it.
    """

    kind: str
    channel: str
    severity: str
    what: str
    start_ms: int
    end_ms: int
    count: int = 1
    value: float = math.nan

    @property
    def text(self) -> str:
        """The channel, when (ISO 8601, UTC), and what."""
        when = iso(self.start_ms)
        if self.end_ms != self.start_ms:
            when += f" to {iso(self.end_ms)}"
        return f"{self.channel or 'all channels'} {when}: {self.what}"


def iso(time_ms: int) -> str:
    """Return 2024-01-31T14:00Z, with seconds where they are not zero."""
    try:
        moment = _EPOCH + timedelta(milliseconds=int(time_ms))
    except OverflowError:
        return f"{time_ms} ms"
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment.second else f"{moment:%Y-%m-%dT%H:%MZ}"


def amount(value: float, unit: str) -> str:
    """Return a size for a person: four digits, and the unit if there is one."""
    text = f"{value:.0f}" if 1e3 <= abs(value) < 1e7 else f"{value:.4g}"
    return f"{text} {unit}".rstrip() if unit != "1" else text


def lasting(ms: float) -> str:
    """Return a span of time for a person: minutes, hours or days."""
    for unit, size in (("d", 86_400_000.0), ("h", 3_600_000.0), ("min", 60_000.0)):
        if ms >= 2 * size:
            return f"{ms / size:.3g} {unit}"
    return f"{ms / 1000:.3g} s"
