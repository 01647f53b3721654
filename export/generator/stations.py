"""Many specs at once: station-years that never fail, and slopes that do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.generator.spec import DAY_MS, Behaviour, SlopeSpec
from export.slope import START_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIX: tuple[tuple[Behaviour, float], ...] = (
    ("stable", 0.08),
    ("creep", 0.10),
    ("seasonal", 0.12),
    ("rain_steps", 0.25),
    ("reservoir_steps", 0.10),
    ("stopping", 0.35),
)
_SENSORS = ((2, 0, 0, 0), (3, 0, 0, 4), (1, 1, 0, 5), (2, 1, 1, 0), (0, 2, 1, 6), (4, 0, 0, 0))
"""(cracks, extensometers, gnss, tilt nodes) of the stations there are."""


def station_years(n: int, seed: int, *, step_s: int = 3600) -> Iterator[SlopeSpec]:
    """Give ``n`` years of stations that never fail, most of them hard: they accelerate and stop.

    The first of each block of twenty show every behaviour; steps of half a day and more make
    daily GNSS of the GNSS.
    """
    names = [name for name, _ in _MIX]
    weights = [share for _, share in _MIX]
    for i in range(n):
        random = np.random.default_rng([seed, i])
        drawn = names[int(random.choice(len(names), p=weights))]
        behaviour = names[i % 20] if i % 20 < len(names) else drawn
        some = dict(_station(random))
        both = behaviour in {"rain_steps", "seasonal", "reservoir_steps"} and random.random() < 0.3
        stops = int(random.integers(2, 8)) if behaviour == "stopping" else int(both)
        yield SlopeSpec(
            int(random.integers(2**31)),
            days=365.0,
            step_s=step_s,
            behaviour=behaviour,
            rate_mm_per_day=float(np.exp(random.uniform(np.log(0.05), np.log(2.0)))),
            reservoir=behaviour == "reservoir_steps",
            stops=stops,
            **some,
        )


def failures(n: int, seed: int, *, step_s: int = 3600) -> Iterator[SlopeSpec]:
    """Give ``n`` slopes that fail after one to four months, a third of them after a false start."""
    for i in range(n):
        random = np.random.default_rng([seed, 1, i])
        some = dict(_station(random))
        onset = float(random.uniform(6.0, 40.0))
        failure_day = onset + float(random.uniform(30.0, 90.0))
        yield SlopeSpec(
            int(random.integers(2**31)),
            days=failure_day + 1.0,
            step_s=step_s,
            behaviour="failure",
            rate_mm_per_day=float(np.exp(random.uniform(np.log(0.2), np.log(3.0)))),
            alpha=float(random.uniform(1.5, 2.5)),
            failure_day=failure_day,
            onset_days=onset,
            stops=int(random.random() < 1 / 3),
            water_ratio=float(random.uniform(0.5, 3.0)) if random.random() < 0.5 else 0.0,
            **some,
        )


def _station(random: np.random.Generator) -> Iterator[tuple[str, Any]]:
    """Give what stations differ in, whatever the slope does."""
    cracks, extensometers, gnss, tilt_nodes = _SENSORS[int(random.integers(len(_SENSORS)))]
    sensors = cracks + extensometers + gnss
    yield "cracks", cracks
    yield "extensometers", extensometers
    yield "gnss", gnss
    yield "tilt_nodes", tilt_nodes
    yield "still", int(sensors >= 3 and random.random() < 0.4)
    yield "soil_moisture", bool(random.random() < 0.5)
    yield "noise_scale", float(np.exp(random.uniform(np.log(0.7), np.log(2.0))))
    yield "temperature_scale", float(random.uniform(0.0, 2.0))
    yield "wet_day", float(random.uniform(0.0, 365.0))
    yield "storms_per_year", float(random.uniform(30.0, 110.0))
    yield "start_ms", START_MS + DAY_MS * int(random.integers(365))
