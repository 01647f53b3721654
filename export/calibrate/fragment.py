"""A calibration as commented TOML: each number with where it comes from and how sure it is."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from edge import __version__
from export.calibrate.channel import WET_SHARE
from export.calibrate.digits import line
from export.calibrate.rule_text import rule_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.site import SiteChannel
    from export.calibrate.calibration import Calibration
    from export.calibrate.channel import Measured

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def fragment(found: Calibration, warnings: tuple[str, ...] = ()) -> str:
    """Return TOML to stand behind the channels of a ``[[station]]``."""
    lines = list(_head(found, warnings))
    settings = {s.name: s for s in found.site}
    for m in found.channels:
        lines += ["", *_channel(m, settings.get(m.track.name), found)]
    lines += ["", *rule_lines(found)]
    return "\n".join(lines) + "\n"


def _head(found: Calibration, warnings: tuple[str, ...]) -> Iterator[str]:
    days = found.days
    yield f"# Calibration of station {found.station} by talus-export calibrate {__version__}, from"
    yield f"# {days:.0f} days of history, of which {found.together.days:.0f} with a known speed."
    yield "# Edit what you know better; a line that is taken out is learned in the field, or off."
    yield "# It belongs below the [[station]] and its channels, before the next [[station]]."
    if days < 365.0:
        yield "# Less than a year: no season is known, and what a wet season does is not in it."
    for text in warnings:
        yield f"# LOOK: {text}"


def _channel(m: Measured, s: SiteChannel | None, found: Calibration) -> Iterator[str]:
    track = m.track
    if s is None:
        yield f"# {track.name}: not calibrated: {'; '.join(m.why)}."
        return
    yield (
        f"[station.site.{json.dumps(track.name)}]"
        if "." in track.name
        else (f"[station.site.{track.name}]")
    )
    yield f"# {track.quantity}, {track.unit}: {track.count} readings in {track.days:.0f} days"
    yield from _noise(m, s)
    yield from _limits(m, s)
    if m.moving:
        yield from _speed(m, s)
        yield from _warmth(m, s)
        yield from _neighbours(m, found)
    if s.wet_above == s.wet_above:
        yield line("wet_above", s.wet_above, f"{WET_SHARE:.0%} of the history lie below")
    elif m.track.quantity in ("soil_moisture", "pore_pressure"):
        yield "# wet_above: needs 90 days of history, and a quantile above 0"


def _noise(m: Measured, s: SiteChannel) -> Iterator[str]:
    noise = m.noise
    if noise is None:
        return
    doubt = 100.0 / math.sqrt(2.0 * noise.pairs)
    calm = " on calm stretches" if m.moving else ""
    yield line(
        "noise_sd", s.noise_sd,
        f"sd of first differences / sqrt 2{calm}, n = {noise.pairs}, +- {max(doubt, 0.1):.1f} %",
    )  # fmt: skip
    if noise.split:
        yield (
            f"# of it white {noise.white_sd:.3g}; besides {noise.lasting_sd:.3g} that lasts about "
            f"{noise.lasting_h:.3g} h (a fit to differences over all lags)"
        )
    else:
        yield "# white and lasting noise could not be told apart"


def _limits(m: Measured, s: SiteChannel) -> Iterator[str]:
    limits = m.limits
    if s.resolution == s.resolution:
        yield line("resolution", s.resolution, "the step that its values are multiples of")
    else:
        yield "# resolution: its values stand in no step that could be told"
    rate = f"greatest seen {limits.max_rate_seen_per_h:.3g} an hour"
    if s.max_rate_per_h == s.max_rate_per_h:
        why = "; far above: no history shows how fast failure is" if m.moving else ""
        yield line("max_rate_per_h", s.max_rate_per_h, rate + why)
    elif m.track.quantity == "rainfall":
        yield f"# max_rate_per_h: {rate}; a cloudburst may be worse than all of it, so none is set"
    if s.spike_limit == s.spike_limit:
        yield line("spike_limit", s.spike_limit, "8 sd of its steps, or 1.5 times the 99.9 %")
    yield line(
        "gap_after_s", s.gap_after_s,
        f"readings come every {limits.cadence_s:g} s, 99 % within {s.gap_after_s / 1.5:.4g} s",
    )  # fmt: skip


def _speed(m: Measured, s: SiteChannel) -> Iterator[str]:
    speed, unit = m.speed, m.track.unit
    if speed is None:
        return
    if s.v_eq_per_day == s.v_eq_per_day:
        yield line(
            "v_eq_per_day", s.v_eq_per_day,
            f"median of {24 * speed.window_d:.0f} h velocity, {speed.calm_days:.0f} calm days, "
            f"+- {speed.error:.2g} (se)",
        )  # fmt: skip
    else:
        yield (
            f"# v_eq_per_day: {abs(speed.v_eq):.2g} +- {speed.error:.2g} {unit}/d is at rest, or "
            "changes too much to be steady: left to be learned"
        )
    widened = s.v_max_seen_per_day > 1.001 * speed.greatest
    how = "fastest month's 95 % x 1.5" if widened else "greatest 24 h velocity in the history"
    yield line("v_max_seen_per_day", s.v_max_seen_per_day, how)
    if not speed.months:
        yield "# seasons: a year of history is needed"
        return
    if widened:
        yield f"#   (seen: {speed.greatest:.3g}; the seasons below widen it)"
    yield f"# velocity by month, {unit}/d, 5 .. 95 %:"
    told = [f"{_MONTHS[b.month - 1]} {b.low:.2g} .. {b.high:.2g}" for b in speed.months]
    for i in range(0, len(told), 4):
        yield "#   " + "; ".join(told[i : i + 4])


def _warmth(m: Measured, s: SiteChannel) -> Iterator[str]:
    warm = m.warmth
    if warm is None:
        yield "# temperature_coefficient: no temperature channel beside it for four weeks"
        return
    size = f"{warm.coefficient:.4g} +- {warm.error:.2g} (se) {m.track.unit} a degC"
    folds = ", ".join(f"{c:.3g}" for c in warm.folds)
    if not warm.told:
        why = "not significant" if not warm.significant else "not the same in all quarters"
        yield (
            f"# temperature_coefficient: {size} of {warm.channel}, {why} ({folds}): not compensated"
        )
        return
    yield line("temperature_channel", warm.channel, f"explains {warm.explained:.0%} of 6 h steps")
    yield line("temperature_coefficient", s.temperature_coefficient, f"{size}, {warm.blocks} weeks")
    yield line("reference_c", s.reference_c, "median of the history")
    yield f"#   quarters of the history: {folds}; it follows the air by about {warm.lag_h:g} h"
    if not warm.whole_year:
        yield "#   from part of a year: a movement that follows the season may be in it; look again"
    else:
        yield "#   from steps over 6 h: movement with the seasons is not in it, nor taken out by it"


def _neighbours(m: Measured, found: Calibration) -> Iterator[str]:
    same = [o for o in found.channels if o.track.quantity == m.track.quantity and o is not m]
    if m.neighbours:
        names = json.dumps([name for name, _ in m.neighbours])
        told = ", ".join(f"{r:.2f}" for _, r in m.neighbours)
        yield f"neighbours = {names}"
        yield f"#   week by week they move with it: correlation {told}"
    elif same:
        yield "# neighbours: none of the others moves with it, or it is too soon to tell"
    else:
        yield "# neighbours: it is the only one of its kind: a step of it counts as movement"
