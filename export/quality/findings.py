"""What a history is like, told before a model is trained on it: one finding a fault."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from export.quality.copied import copied
from export.quality.finding import SEVERITIES, Finding, iso
from export.quality.flat import flat
from export.quality.gaps import gaps, same_rows, seasons
from export.quality.interpolated import drawings
from export.quality.jumps import jumps
from export.quality.movement import movement
from export.quality.trace import Trace, trace
from export.quality.units import units

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edge.config import StationConfig
    from export.history import History

_MOST_LINES = 6
"""Lines told of one channel in a terminal; the rest are counted."""
_MOST_OF_A_KIND = 3
_QUIET = ("no_movement", "single_event")
"""Nothing to train on anew, and no fault of what an existing bundle goes on from."""


def examine(
    history: History,
    targets: tuple[str, ...],
    quantities: Mapping[str, str],
    unit_of: Mapping[str, str] | None = None,
) -> tuple[Finding, ...]:
    """Return all that was found, errors first. Units of the channels make the sizes plain.

    Never raises on numbers, whatever they are; the history is not changed.
    """
    if not len(history.values):
        return ()
    named = unit_of or {}
    with np.errstate(all="ignore"):
        traces = tuple(
            trace(history, i, quantities.get(c, "other"), named.get(c, ""), target=c in targets)
            for i, c in enumerate(history.channels)
        )
        found = gaps(history, traces) + same_rows(history) + seasons(history)
        found += copied(history, traces)
        for each in traces:
            found += _channel(each)
    return tuple(sorted(found, key=lambda f: _place(f, history.channels)))


def examine_station(
    history: History, targets: tuple[str, ...], station: StationConfig
) -> tuple[Finding, ...]:
    """Return all that was found, with the quantities and units of a station's channels."""
    return examine(
        history,
        targets,
        {c.name: c.quantity for c in station.channels},
        {c.name: c.unit for c in station.channels},
    )


def _channel(each: Trace) -> list[Finding]:
    """Tell of one channel; what one fault brings with it is not told a second time."""
    other_unit, hung = units(each), flat(each)
    units_at, hung_until = {f.end_ms for f in other_unit}, {f.end_ms for f in hung}
    jumped = [f for f in jumps(each) if f.end_ms not in units_at and f.start_ms not in hung_until]
    moved = [f for f in movement(each) if not other_unit or f.kind != "single_event"]
    return hung + other_unit + jumped + drawings(each) + moved


def _place(finding: Finding, channels: tuple[str, ...]) -> tuple[int, int, int, str]:
    channel = channels.index(finding.channel) if finding.channel else -1
    return SEVERITIES.index(finding.severity), channel, finding.start_ms, finding.kind


def lines(findings: Iterable[Finding]) -> list[str]:
    """Return a line a finding, worst first: ``finding <severity> <kind> <channel> <when>: ...``.

    Of many of a kind the first are shown, and a line counts the others.
    """
    shown: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    left: defaultdict[tuple[str, str], list[Finding]] = defaultdict(list)
    out = []
    for f in findings:
        kinds[f.channel, f.kind] += 1
        crowded = shown[f.channel] >= _MOST_LINES or kinds[f.channel, f.kind] > _MOST_OF_A_KIND
        if crowded and f.severity != "error":
            left[f.channel, f.kind].append(f)
            continue
        shown[f.channel] += 1
        out.append(f"finding {f.severity} {f.kind} {f.text}")
    for (channel, kind), others in left.items():
        out.append(
            f"finding {others[0].severity} {kind} {channel or 'all channels'}: "
            f"{len(others)} more, until {_last(others)}"
        )
    return out


def _last(findings: list[Finding]) -> str:
    return iso(max(f.end_ms for f in findings))


def refuse(findings: Iterable[Finding], *, anew: bool = True) -> None:
    """Raise TalusError that names every finding of severity "error"; return if there is none.

    Where nothing is trained ``anew``, a quiet season is no fault.
    """
    wrong = [
        f"{f.kind}: {f.text}"
        for f in findings
        if f.severity == "error" and (anew or f.kind not in _QUIET)
    ]
    if wrong:
        use = "trained on" if anew else "used"
        raise TalusError(f"the history cannot be {use}:\n  " + "\n  ".join(wrong))
