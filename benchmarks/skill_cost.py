"""Cost: a whole `Pipeline.receive` of 32 channels under the rules of profile "general".

    per step     every reading closes a step of ten minutes
    ten a step   ten readings, a minute apart, make one step
    hourly       every reading closes a step of an hour: all evidence is renewed with each

CPU time of the one thread, which a shared machine disturbs less than the clock on the wall; the
quietest of several rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skill_site import CHANNEL, HEAD

from edge.config import load_config
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.config import Config

MOVING = 28
SURROUNDINGS = (
    ("pore_pressure", "pore_pressure", "kPa"), ("rain", "rainfall", "mm"),
    ("soil_moisture", "soil_moisture", "m3/m3"), ("air_temperature", "temperature", "degC"),
)  # fmt: skip
START_MS = 1_704_067_200_000
WARM_D = 12
"""So long a station has been watched before it is timed: everything it does, it does by then."""
CADENCES = {"per step": (600, 1), "ten a step": (600, 10), "hourly": (3600, 1)}
"""(step, s; readings a step)."""


def cost_config(step_s: int, per_step: int) -> Config:
    """Return a gateway with one station of 32 channels."""
    text = HEAD.format(
        step_s=step_s, lateness_s=0, no_data_s=366 * 86_400, profile="general"
    ).replace("lateness_s = 0", f"lateness_s = 0\nreadings_per_step = {per_step}")
    names = [(f"crack_{i + 1}", "crack_width", "mm") for i in range(MOVING)]
    for name, quantity, unit in [*names, *SURROUNDINGS]:
        text += CHANNEL.format(name=name, quantity=quantity, unit=unit)
    with tempfile.TemporaryDirectory(prefix="skill-") as folder:
        path = Path(folder) / "gateway.toml"
        path.write_text(text, encoding="utf-8")
        return load_config(path)


def rows(step_s: int, per_step: int, count: int) -> list[Reading]:
    """Return readings of a slope that creeps."""
    random = np.random.default_rng(0)
    names = tuple(f"crack_{i + 1}" for i in range(MOVING)) + tuple(s[0] for s in SURROUNDINGS)
    every_ms = 1000 * step_s // per_step
    days = np.arange(count)[:, None] * (every_ms / 86_400_000.0)
    x = np.round(0.3 * days + 0.05 * random.standard_normal((count, MOVING)), 2)
    rain = 0.2 * (random.random((count, 1)) < 0.01)
    others = np.array([12.0, 0.3, 10.0]) + 0.05 * random.standard_normal((count, 3))
    values = np.hstack([x, others[:, :1], rain, others[:, 1:]]).tolist()
    made = []
    for i, row in enumerate(values):
        at_ms = START_MS + i * every_ms
        made.append(Reading("node", at_ms, i, names, tuple(row), at_ms))
    return made


def us_per_reading(step_s: int, per_step: int, rounds: int, count: int) -> tuple[float, float]:
    """Return us a reading of the quietest round, and the median of all rounds."""
    warm = WARM_D * 86_400 * per_step // step_s
    given = rows(step_s, per_step, warm + rounds * count)
    pipeline = Pipeline(cost_config(step_s, per_step), {"slope": "no bundle"})
    for reading in given[:warm]:
        pipeline.receive(reading)
    means = []
    for k in range(rounds):
        part = given[warm + k * count : warm + (k + 1) * count]
        began = time.thread_time_ns()
        for reading in part:
            pipeline.receive(reading)
        means.append((time.thread_time_ns() - began) / 1000.0 / count)
    return min(means), statistics.median(means)


def stages(step_s: int, per_step: int, count: int) -> dict[str, float]:
    """Return us a reading of each stage, by wrapping the methods of a live pipeline."""
    warm = WARM_D * 86_400 * per_step // step_s
    given = rows(step_s, per_step, warm + count)
    pipeline = Pipeline(cost_config(step_s, per_step), {"slope": "no bundle"})
    station = pipeline.stations["slope"]
    assert station.rules is not None
    decider = station.rules.decider
    assert decider.movement is not None
    assert decider.rainfall is not None
    spent: dict[str, float] = {}

    def timed(owner: Any, method: str, stage: str) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        def outer(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time_ns()
            try:
                return inner(*args, **kwargs)
            finally:
                spent[stage] = spent.get(stage, 0.0) + (time.thread_time_ns() - began) / 1000.0

        setattr(owner, method, outer)

    timed(station, "calibrate", "calibration")
    quality = getattr(station, "quality", None) or getattr(station, "plausible", None)
    timed(quality, "apply", "quality")
    timed(station.rules, "observe", "grid")
    timed(decider.movement, "push", "movement")
    timed(decider.rainfall, "push", "rain")
    timed(decider.engine, "step", "rules")
    timed(station.alarm, "rule", "alarm")
    timed(pipeline, "receive", "whole")
    for reading in given[:warm]:
        pipeline.receive(reading)
    spent.clear()
    for reading in given[warm:]:
        pipeline.receive(reading)
    found = {stage: total / count for stage, total in spent.items()}
    found["the rest"] = found["whole"] - sum(us for name, us in found.items() if name != "whole")
    return found


def costs(*, quick: bool) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Return us a reading by cadence, and us of the stages by cadence."""
    rounds, count = (5, 600) if quick else (15, 1200)
    found = {name: us_per_reading(*how, rounds, count)[0] for name, how in CADENCES.items()}
    return found, {name: stages(*how, count) for name, how in CADENCES.items()}
