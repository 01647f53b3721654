"""Is there something to learn from? Noise floor, no movement at all, one event and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.quality.finding import Finding, amount

if TYPE_CHECKING:
    from export.history import Floats
    from export.quality.trace import Trace

_BLOCKS = 20
_STILL = 2.0
"""Times the noise: medians of twenty parts of pure noise differ by less from 24 values on."""
_WHITE = 0.3
"""Lag-1 correlation of values that hang together in no way."""
_EVENT_STEPS = 0.02
_EVENT_SHARE = 0.8
_EVENT_NOISE = 10.0
"""Times the noise, and the digits of the sensor: less is no event."""
_HELD_BACK = 0.2
"""The last fifth, as train.test_share has it by default."""
_HELD_SHARE = 0.02
_FINEST = 1e-9
"""Of the largest value: digits below are those of the computer, not of the sensor."""


def movement(each: Trace) -> list[Finding]:
    """Note the noise floor; of a target also tell whether it moves, and whether only once."""
    if len(each.y) < 3 or each.y.max() == each.y.min():
        return []
    found = [_noise(each)] if each.moving and not each.rain else []
    if each.target:
        still = _no_movement(each)
        found += still or _single_event(each)
    return found


def _whole(each: Trace, kind: str, severity: str, what: str, value: float) -> Finding:
    ends = int(each.time_ms[0]), int(each.time_ms[-1])
    return Finding(kind, each.name, severity, what, *ends, count=len(each.y), value=value)


def _noise(each: Trace) -> Finding:
    back = float((np.diff(each.y) < 0).mean())
    what = f"noise floor {amount(each.noise, each.unit)} (sd of the high-frequency part), "
    if each.grain > _FINEST * float(np.abs(each.y).max()):
        what += f"smallest difference {amount(each.grain, each.unit)}, "
    what += f"{back:.0%} of its steps go down"
    return _whole(each, "noise", "note", what, each.noise)


def _no_movement(each: Trace) -> list[Finding]:
    parts = np.array([np.median(part) for part in np.array_split(each.y, _BLOCKS) if len(part)])
    moved = float(np.ptp(parts))
    centred = each.y - np.median(each.y)
    limit = 6.0 * each.noise
    centred = np.clip(centred, -limit, limit)  # a spike is no movement
    power = float((centred * centred).sum())
    together = float((centred[1:] * centred[:-1]).sum()) / power if power > 0 else 0.0
    if moved >= _STILL * each.noise or together >= _WHITE:
        return []
    what = (
        f"moves by {amount(moved, each.unit)} in the whole history, its noise is "
        f"{amount(each.noise, each.unit)}: nothing to learn a forecast from; leave it out of "
        "train.targets (the detectors can still be trained on it)"
    )
    return [_whole(each, "no_movement", "error", what, moved)]


def _single_event(each: Trace) -> list[Finding]:
    """Tell where one event is nearly all the movement, or nearly none is held back to judge by."""
    width = max(1, round(_EVENT_STEPS * len(each.y)))
    level = _levels(each.y, width)
    path = np.abs(np.diff(level))
    total = float(path.sum())
    largest = int(np.argmax(path)) if len(path) else 0
    # An event may lie across two parts: take both.
    event = float(path[largest : largest + 2].sum()) if width > 1 else float(path[largest])
    if total <= 0 or event < _EVENT_NOISE * max(each.noise, each.grain):
        return []
    start = min(largest * width, len(each.y) - 1)
    end = min((largest + 2) * width, len(each.y) - 1)
    ends = int(each.time_ms[start]), int(each.time_ms[end])
    if event > _EVENT_SHARE * total:
        what = (
            f"{event / total:.0%} of all its movement, {amount(event, each.unit)}, is one event: "
            "what it teaches about the next rests on this one, and no skill can be judged; take a "
            "longer history, join the parts if the sensor was moved, or leave the channel out of "
            "train.targets"
        )
        share = event / total
        return [Finding("single_event", each.name, "error", what, *ends, value=share)]
    held = float(path[round(len(path) * (1.0 - _HELD_BACK)) :].sum()) / total
    if held < _HELD_SHARE:
        what = (
            f"only {held:.1%} of its movement lies in the last fifth of the history, held back "
            "to judge by: the skill is about standing still; a larger test_share takes in more"
        )
        return [_whole(each, "still_at_end", "warning", what, held)]
    return []


def _levels(y: Floats, width: int) -> Floats:
    """Return the median of every ``width`` values."""
    if width == 1:
        return y
    whole = len(y) // width * width
    return np.asarray(np.median(y[:whole].reshape(-1, width), axis=1))
