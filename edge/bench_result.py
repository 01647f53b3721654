"""What a bench found, also half-way: one object that becomes one JSON text."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from edge import __version__
from edge.errors import TalusError

if TYPE_CHECKING:
    from pathlib import Path

    from edge.bench_machine import Machine
    from edge.bench_method import Method
    from edge.bench_models import ModelTime
    from edge.bench_outbox import Leaving
    from edge.bench_paced import Paced
    from edge.bench_soak import Soak
    from edge.bench_spread import Rounds, Spread
    from edge.bench_stages import StageTime
    from edge.bench_start import Start
    from edge.bench_stations import Stations

KIND, FORMAT = "talus bench", 1
RUNNING, DONE, INTERRUPTED, FAILED = "running", "done", "interrupted", "failed"


@dataclass(frozen=True, slots=True)
class Way:
    """A bundle in one runtime, in one precision; ``file`` is the artifact of its forecaster."""

    bundle: str
    hidden: int
    runtime: str
    precision: str
    file: str


@dataclass(frozen=True, slots=True)
class Run:
    """Readings from bytes to decision, one after the other, in several rounds."""

    way: Way
    readings: Spread
    rounds: Rounds
    readings_per_s: float


@dataclass(frozen=True, slots=True)
class Missing:
    """What was not measured, and why."""

    bundle: str
    runtime: str
    precision: str
    why: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A bundle: what makes it cost what it costs."""

    label: str
    folder: str
    channels: int
    features: int
    hidden: int
    step_ms: int
    detectors: tuple[str, ...]
    warm_up_readings: int


@dataclass(slots=True)
class Result:
    """All that was found so far. Lists of pairs hold (way, figures); models (bundle, figures)."""

    mode: str
    settings: dict[str, Any]
    machine: Machine
    method: Method
    started_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    ended: str = RUNNING
    ended_by: str = ""
    warnings: list[str] = field(default_factory=list)
    bundles: list[Shape] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    starts: list[tuple[Way, Start]] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    stages: list[tuple[Way, list[StageTime], Spread]] = field(default_factory=list)
    models: list[tuple[str, ModelTime]] = field(default_factory=list)
    stations: list[tuple[Way, Stations]] = field(default_factory=list)
    leaving: list[tuple[Way, Leaving]] = field(default_factory=list)
    paced: list[tuple[Way, Paced]] = field(default_factory=list)
    soaks: list[tuple[Way, Soak]] = field(default_factory=list)

    def values(self) -> dict[str, Any]:
        """Return JSON values, as edge/schemas/bench.json says."""
        found = {
            "format": FORMAT,
            "kind": KIND,
            "version": __version__,
            "mode": self.mode,
            "started_ms": self.started_ms,
            "took_s": time.time_ns() / 1e9 - self.started_ms / 1000,
            "ended": self.ended,
            "ended_by": self.ended_by,
            "settings": self.settings,
            "machine": asdict(self.machine),
            "method": asdict(self.method),
            "warnings": self.warnings,
            "bundles": [asdict(each) for each in self.bundles],
            "runs": [asdict(each) for each in self.runs],
            "missing": [asdict(each) for each in self.missing],
            "stages": [
                {
                    "way": asdict(way),
                    "stages": [asdict(stage) for stage in stages],
                    "between": asdict(between),
                }
                for way, stages, between in self.stages
            ],
            "models": [{"bundle": label, **asdict(each)} for label, each in self.models],
        }
        for name in ("starts", "stations", "leaving", "paced", "soaks"):
            pairs = getattr(self, name)
            found[name] = [{"way": asdict(way), **asdict(each)} for way, each in pairs]
        return dict(_rounded(found))


def _rounded(value: Any) -> Any:
    """Return a value without digits that nobody measured."""
    if isinstance(value, float):
        return round(value, 9 if abs(value) < 0.01 else 3)
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(each) for each in value]
    return value


def to_text(values: dict[str, Any]) -> str:
    """Return it as one line of JSON: it is written again and again during a soak."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False) + "\n"


def check_place(path: Path) -> None:
    """Raise TalusError where no result can be kept; a bench may take hours."""
    if path.is_dir() or not path.parent.is_dir():
        what = "is a folder" if path.is_dir() else "there is no such folder"
        raise TalusError(f"{path}: {what}: give a file in a folder that is there (--json)")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise TalusError(f"{path}: cannot be written: give another place (--json)")


def save(path: Path, values: dict[str, Any]) -> None:
    """Write a result, whole or not at all. Raises TalusError."""
    text = to_text(values)
    try:
        if path.exists() and not path.is_file():  # /dev/stdout
            path.write_text(text, encoding="utf-8")
            return
        aside = path.with_name(f".{path.name}.new")
        aside.write_text(text, encoding="utf-8")
        aside.replace(path)
    except OSError as error:
        raise TalusError(f"{path}: {error.strerror or error}") from error
