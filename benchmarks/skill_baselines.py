"""What others alarm by, on the same rows: one number an hour, the highest of all sensors.

    tangent     24 h velocity over its median so far, Xu et al. 2009; red from 85 degrees on
    velocity    24 h velocity, in units of the sensor (mm, mrad)
    EWMA        24 h velocity in sd about its exponential mean of ten days
    CUSUM       the same about its mean so far, what exceeds half a sd added up
    PFTF        Leinauer et al. 2023: hours to failure, 1/v fitted since the onset; below 42
    markers     1.8 cm in an hour (crack meters and markers), 0.5 m a day (tilt columns of 1 m)
    rain        Guzzetti et al. 2008, I = 2.20 D^-0.44 over 1 .. 240 h

Those without a limit of their own take the highest that finds every failure of the tuning seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from export.generator.site import Site

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

DAY = 24
_LEARN_D = 14
LIMITS: dict[str, float | None] = {
    "tangent": 85.0, "tangent, two sensors": 85.0, "velocity": None, "EWMA": None, "CUSUM": None,
    "PFTF": -42.0, "markers": 1.0, "rain": 1.0,
}  # fmt: skip
"""From which value on each is red; None: tuned."""


def statistics(site: Site) -> dict[str, Floats]:
    """Return each baseline's number, float64[rows] of an hourly site."""
    moving = [i for i, channel in enumerate(site.channels) if channel.moves]
    x = site.values[:, moving]
    v = np.abs(_change(x, DAY))
    with np.errstate(all="ignore"):
        angle = np.degrees(np.arctan(v / _so_far(v, lambda past: np.nanmedian(past, axis=0))))
        second = np.sort(np.nan_to_num(angle), axis=1)[:, -2] if len(moving) > 1 else angle[:, 0]
        return {
            "tangent": _top(angle),
            "tangent, two sensors": second,
            "velocity": _top(v),
            "EWMA": _top(_ewma(v)),
            "CUSUM": _top(_cusum(v)),
            "PFTF": -_least(_pftf(x)),
            "markers": _markers(site, x, moving),
            "rain": _rain(site.values[:, site.column("rain")]),
        }


def _change(x: Floats, hours: int) -> Floats:
    out = np.full_like(x, np.nan)
    out[hours:] = x[hours:] - x[:-hours]
    return out


def _top(x: Floats) -> Floats:
    return np.nan_to_num(x, nan=-np.inf).max(axis=1)


def _least(x: Floats) -> Floats:
    return np.nan_to_num(x, nan=np.inf).min(axis=1)


def _so_far(v: Floats, of: object) -> Floats:
    """Return what ``of`` says of all days before, renewed daily; not before _LEARN_D."""
    out = np.full_like(v, np.nan)
    for day in range(_LEARN_D, len(v) // DAY + 1):
        out[day * DAY : (day + 1) * DAY] = of(v[: day * DAY : 3])  # type: ignore[operator]
    return out


def _ewma(v: Floats) -> Floats:
    keep = np.exp(-1.0 / (10 * DAY))
    mean, square = np.zeros(v.shape[1]), np.zeros(v.shape[1])
    out = np.full_like(v, np.nan)
    begun = 0
    for i, row in enumerate(v):
        if not np.isfinite(row).all():
            continue
        if begun >= _LEARN_D * DAY:
            out[i] = (row - mean) / np.sqrt(np.maximum(square - mean * mean, 1e-12))
        share = max(1.0 - keep, 1.0 / (begun + 1))
        mean += share * (row - mean)
        square += share * (row * row - square)
        begun += 1
    return out


def _cusum(v: Floats) -> Floats:
    mean = _so_far(v, lambda past: np.nanmean(past, axis=0))
    sd = _so_far(v, lambda past: np.nanstd(past, axis=0))
    z = np.nan_to_num((v - mean) / np.maximum(sd, 1e-9) - 0.5) / DAY
    total, out = np.zeros(v.shape[1]), np.empty_like(v)
    for i, row in enumerate(z):
        total = np.maximum(0.0, total + row)
        out[i] = total
    return out


def _pftf(x: Floats) -> Floats:
    """Return hours to failure of each sensor while its onset stands, else NaN."""
    inverse = {hours: (hours / DAY) / np.abs(_change(x, hours)) for hours in (6, 12, 24, 48, 72)}
    day = inverse[DAY]
    falling = np.logical_and.reduce([_change(each, DAY) < 0 for each in inverse.values()])
    falling &= day <= _so_far(day, lambda past: np.nanquantile(past, 0.01, axis=0))
    out = np.full_like(x, np.nan)
    for j in range(x.shape[1]):
        since = None
        for i in np.flatnonzero(np.isfinite(day[:, j])).tolist():
            if falling[i, j]:
                since = i - 2 * DAY if since is None else since
            elif since is not None and not falling[max(0, i - 2 * DAY) : i, j].any():
                since = None
            if since is not None and falling[i, j]:
                t = np.arange(since, i + 1) - i + 0.0
                y = day[max(since, 0) : i + 1, j]
                t = t[-len(y) :]
                good = np.isfinite(y)
                slope, now = np.polyfit(t[good], y[good], 1)
                out[i, j] = max(-now / slope, 0.0) if slope < 0 else np.nan
    return out


def _markers(site: Site, x: Floats, moving: list[int]) -> Floats:
    """Return the ratio to the limit of the rule; what is less than 1 cm is ignored."""
    hour, day = np.abs(_change(x, 1)), np.abs(_change(x, DAY))
    tilt = np.array([site.channels[i].unit.text == "mrad" for i in moving])
    hour[np.abs(_change(x, 4)) < 10.0] = 0.0
    return _top(np.where(tilt, day / 500.0, hour / 18.0))


def _rain(rain: Floats) -> Floats:
    total = np.concatenate(([0.0], np.cumsum(rain)))
    best = np.zeros(len(rain))
    for hours in (1, 3, 6, 12, 24, 48, 72, 120, 240):
        fell = total[1:].copy()
        fell[hours:] -= total[1:-hours]
        best = np.maximum(best, fell / hours / (2.20 * hours**-0.44))
    return best
