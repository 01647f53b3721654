"""History in, bundle out: the one road from a site's CSV to what ``talus run`` accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge.manifest import ChannelSpec, KinematicsSpec, Manifest
from export.checkpoint import Checkpoint
from export.models import thresholds
from export.models.detect import detectors
from export.models.forecaster import make_forecaster
from export.models.material import prepare
from export.models.recipe import resolve
from export.models.rehearsal import rehearsal_file
from export.quality.interpolated import interpolated

if TYPE_CHECKING:
    from edge.config import Config
    from export.history import History
    from export.models.artifacts import Progress
    from export.models.detection import Comparison
    from export.models.forecaster import Forecast
    from export.models.material import Material
    from export.models.parity import Row
    from export.train_config import TrainConfig


@dataclass(frozen=True, slots=True)
class Trained:
    """What is written to disk, and what it was judged by."""

    wanted: TrainConfig
    manifest: Manifest
    files: dict[str, bytes]
    golden: dict[str, dict[str, object]]
    material: Material
    forecast: Forecast
    comparison: Comparison
    parity: tuple[Row, ...]


def train(
    config: Config,
    wanted: TrainConfig,
    history: History,
    progress: Progress,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train, convert, prove, judge. Deterministic for one seed on one machine."""
    wanted = resolve(wanted, len(history.values))
    m = prepare(wanted, history)
    kept = checkpoint or Checkpoint(None, "")
    forecast = make_forecaster(wanted, m, interpolated(history), progress, kept)
    specs, exported, comparison = detectors(wanted, m, progress)
    parity = forecast.exported.parity
    golden = {forecast.spec.golden: forecast.exported.golden}
    files = {**forecast.exported.files, **rehearsal_file(wanted, m, forecast.aim, forecast.weights)}
    for spec in specs:
        made = exported[spec.name]
        files |= made.files
        golden[spec.golden] = made.golden
        parity += made.parity
    moving = KinematicsSpec(
        wanted.targets,
        wanted.horizons[-1],
        thresholds.movement_reference(history, wanted.targets, wanted.horizons[-1], m.parts.train),
    )
    manifest = Manifest(
        name=wanted.name,
        version=wanted.version,
        counter=0,
        step_ms=config.station(wanted.station).step_ms,
        channels=_channels(config, wanted.station),
        features=m.features,
        kinematics=moving,
        forecaster=forecast.spec,
        detectors=specs,
        files=(),
        data_sha256=history.sha256,
        seed=wanted.seed,
        metrics=tuple(_metrics(forecast).items()),
    )
    return Trained(wanted, manifest, files, golden, m, forecast, comparison, parity)


def _metrics(forecast: Forecast) -> dict[str, float]:
    found = {}
    for s in forecast.skills:
        key = f"{s.target}.{s.horizon}"
        found[f"skill.{key}"] = s.skill
        found[f"rmse.{key}"] = s.rmse
        found[f"rmse_naive.{key}"] = s.naive_rmse
    for c in forecast.coverage:
        found[f"coverage.{c.model}.{c.target}.{c.horizon}"] = c.adaptive.covered
    return {key: value for key, value in found.items() if value == value}


def _channels(config: Config, station: str) -> tuple[ChannelSpec, ...]:
    return tuple(
        ChannelSpec(c.name, c.quantity, c.unit, c.aggregate)
        for c in config.station(station).channels
    )
