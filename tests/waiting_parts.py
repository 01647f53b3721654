"""A sensor that sees a crack open after a lost row, and then nothing ever again."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

from edge.alarm import AlarmChange
from edge.config import Config, load_config
from edge.pipeline import Pipeline
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
LATENESS_H = 12
T0_MS = 1_700_000_000_000 // HOUR_MS * HOUR_MS
RECEIVED_MS = 5_000_000_000
"""Another clock than that of the rows."""
TILT = """\
[[station.channel]]
name = "tilt"
port = "other"
quantity = "tilt"
unit = "mrad"
"""
TOML = f"""\
[gateway]
name = "bluff"
[[port]]
name = "node"
device = "none"
protocol = "tw1"
[[port]]
name = "other"
device = "none"
protocol = "tw1"
[[station]]
name = "slope"
step_s = 3600
lateness_s = {LATENESS_H * 3600}
no_data_after_s = 72000
[station.decision]
profile = "none"
[[station.channel]]
name = "crack"
port = "node"
quantity = "crack_width"
unit = "mm"
high = 100.0
{TILT}[[station.rule]]
name = "wide"
level = 3
when = [{{ evidence = "value", above = 10.0 }}]
"""
LOST = 21
"""The row that is lost on the way; those after it are the last of the sensor."""
LAST_MM = (2.5, 4.0, 6.0, 8.5, 11.5, 15.0, 500.0)
END = LOST + len(LAST_MM)
DUE_MS = RECEIVED_MS + (LOST + 1 + LATENESS_H) * HOUR_MS
"""When the first behind the hole has waited long enough; the others follow it without one."""


def _site(text: str) -> Config:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "gateway.toml"
        path.write_text(text)
        return load_config(path)


TWO_PORTS = _site(TOML)
"""A crack meter and a tilt meter, each on a port of its own."""
ONE_PORT = _site(TOML.replace(TILT, ""))
"""Rows wait as long as the site says."""


def reading(hour: int, value: float, away_h: int = 0) -> Reading:
    at, arrived = T0_MS + hour * HOUR_MS, RECEIVED_MS + (hour + away_h) * HOUR_MS
    return Reading("node", at, hour, ("crack",), (value,), arrived)


def tilt(hour: float) -> Reading:
    at_ms = round(hour * HOUR_MS)
    return Reading("other", T0_MS + at_ms, at_ms, ("tilt",), (0.0,), RECEIVED_MS + at_ms)


ROWS = (
    *(each for hour in range(LOST) for each in (reading(hour, 1 + hour % 2 / 10), tilt(hour))),
    *(reading(LOST + 1 + i, value) for i, value in enumerate(LAST_MM)),
)


def carried_away(config: Config) -> tuple[Pipeline, list[AlarmChange]]:
    """A sensor that sees a crack open after a hole, and then nothing ever again."""
    pipeline = Pipeline(config, {"slope": "none"})
    return pipeline, [c for each in ROWS for c in pipeline.receive(each).changes]


def told(changes: list[AlarmChange]) -> list[tuple[str, int, int]]:
    return [(c.kind, c.level, c.received_ms) for c in changes]


def restarted(config: Config, pipeline: Pipeline, now_ms: int, **damage: object) -> Pipeline:
    state = json.loads(json.dumps(pipeline.snapshot(), allow_nan=False))
    state["stations"]["slope"] |= damage
    again = Pipeline(config, {"slope": "none"})
    assert bool(again.restore(state, now_ms)) == bool(damage)
    return again
