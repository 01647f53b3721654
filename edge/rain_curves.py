"""Rainfall thresholds as data: what is known to have set off landslides, with its source.

    intensity-duration   I = c + a D^b  (mm/h, h), looked at for several durations
    two sums             P_recent = c + a P_before  (mm), recent days against the days before them
    limit                a sum over a span reaches a fixed amount

Curves are regional: they say where to begin, and `talus-export calibrate` where a site stands.
"""

from __future__ import annotations

from dataclasses import dataclass

_INCH_MM = 25.4
_LEAST_MM = 1.0
"""After much rain before, two sums need no more rain: less than this is no threshold."""
_DURATIONS_H = (1, 3, 6, 12, 24, 48, 72, 120, 240)


@dataclass(frozen=True, slots=True)
class Curve:
    """One threshold. ``ratio`` is 1.0 where the rain stands on it."""

    name: str
    kind: str
    """"intensity_duration", "two_sums" or "limit"."""
    a: float
    b: float
    c: float
    hours: tuple[int, ...]
    """Spans whose sums it needs, h, each up to now."""
    source: str

    def ratio(self, sums_mm: list[float]) -> float:
        """Give how far the rain has come, from the sums over ``hours``; NaN where not known."""
        if self.kind == "two_sums":
            recent, both = sums_mm
            if recent != recent or both != both:
                return recent / self.c if recent >= self.c else float("nan")
            threshold = self.c + self.a * max(0.0, both - recent)
            return recent / max(threshold, _LEAST_MM)
        if self.kind == "limit":
            return sums_mm[0] / self.c
        sums = zip(sums_mm, self.limits_mm(), strict=True)
        return max((total / limit for total, limit in sums if total == total), default=float("nan"))

    def limits_mm(self) -> tuple[float, ...]:
        """Give the sums over ``hours`` that stand on a curve of intensity and duration."""
        return tuple(hours * (self.c + self.a * hours**self.b) for hours in self.hours)


def _intensity(
    name: str, a: float, b: float, source: str, least_h: int = 1, most_h: int = 240
) -> Curve:
    hours = tuple(h for h in _DURATIONS_H if least_h <= h <= most_h)
    return Curve(name, "intensity_duration", a, b, 0.0, hours, source)


CURVES = {
    curve.name: curve
    for curve in (
        _intensity(
            "caine", 14.82, -0.39, "Caine 1980, Geografiska Annaler 62A: shallow slides, worldwide"
        ),
        _intensity(
            "guzzetti", 2.20, -0.44, "Guzzetti et al. 2008, Landslides 5: worldwide, lower bound"
        ),
        _intensity(
            "guzzetti_3d",
            2.20,
            -0.44,
            "the same, up to three days: rain that is still going on",
            most_h=72,
        ),
        _intensity(
            "seattle_id",
            3.257 * _INCH_MM,
            -1.13,
            "Godt, Baum & Chleborad 2006: Seattle, rain after a wet spell; 20 h and longer",
            least_h=24,
        ),
        Curve(
            "seattle_p3_p15", "two_sums", -0.67, 0.0, 3.5 * _INCH_MM, (72, 18 * 24),
            "Chleborad 2000, USGS OFR 00-469: 3 days against the 15 days before them",
        ),
    )
}  # fmt: skip
"""Those that a configuration can name. Formulas as in the design notes; coefficients to be checked
against the papers before they are quoted."""


def limit(name: str, hours: int, sum_mm: float) -> Curve:
    """Give a site's own limit: so much rain in so many hours."""
    return Curve(name, "limit", 0.0, 0.0, sum_mm, (hours,), "this site")
