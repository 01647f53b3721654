"""History in, bundle out: the one road from a site's CSV to what ``talus run`` accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import TalusError
from edge.manifest import (
    ChannelSpec,
    DetectorSpec,
    ForecasterSpec,
    KinematicsSpec,
    Manifest,
)
from export.history import feature_rows, fit_features
from export.models import autoencoder, gate, gru, thresholds, windows
from export.models.artifacts import Exported, export_gru, export_reconstruction
from export.models.bundle import first_model

if TYPE_CHECKING:
    from edge.config import Config
    from edge.manifest import FeatureSpec
    from export.history import Flags, Floats, History, Singles
    from export.models.artifacts import Progress
    from export.models.parity import Parity
    from export.train_config import TrainConfig

_RESIDUAL_STEPS = 6.0
_MIN_SEQUENCES = 16
_VALIDATION = 5
"""One part in so many of the training sequences, the latest, tells when to stop."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What is written to disk, and what it was judged by."""

    manifest: Manifest
    files: dict[str, bytes]
    golden: dict[str, dict[str, object]]
    skills: tuple[gate.Skill, ...]
    parity: tuple[Parity, ...]


@dataclass(frozen=True, slots=True)
class _Material:
    """Training arrays of one station."""

    history: History
    features: FeatureSpec
    x: Singles
    known: Flags
    labels: Floats
    scale: Floats
    parts: windows.Split


def train(config: Config, wanted: TrainConfig, history: History, progress: Progress) -> Trained:
    """Train, convert, prove, judge. Deterministic for one seed on one machine."""
    material = _prepare(wanted, history)
    forecaster, files, parity, skills = _forecaster(wanted, material, progress)
    detectors, exported = _detectors(wanted, material, progress)
    golden = {"golden.gru.json": files.golden}
    every = dict(files.files)
    for name, each in exported.items():
        every |= each.files
        golden[f"golden.{name}.json"] = each.golden
        parity += each.parity
    moving = KinematicsSpec(
        wanted.targets,
        wanted.horizons[-1],
        thresholds.movement_reference(
            history, wanted.targets, wanted.horizons[-1], material.parts.train
        ),
    )
    metrics = {f"skill.{s.target}.{s.horizon}": s.skill for s in skills}
    metrics |= {f"coverage.{s.target}.{s.horizon}": s.coverage for s in skills}
    metrics |= {f"parity.{p.file}.{p.runtime}": p.worst for p in parity if not p.refused}
    manifest = Manifest(
        name=wanted.name,
        version=wanted.version,
        step_ms=config.station(wanted.station).step_ms,
        channels=_channels(config, wanted.station),
        features=material.features,
        kinematics=moving,
        forecaster=forecaster,
        detectors=detectors,
        files=(),
        data_sha256=history.sha256,
        seed=wanted.seed,
        metrics=tuple(metrics.items()),
    )
    return Trained(manifest, every, golden, skills, parity)


def _channels(config: Config, station: str) -> tuple[ChannelSpec, ...]:
    return tuple(
        ChannelSpec(c.name, c.quantity, c.unit, c.aggregate)
        for c in config.station(station).channels
    )


def _prepare(wanted: TrainConfig, history: History) -> _Material:
    parts = windows.split(len(history.values), wanted.calibration_share, wanted.test_share)
    longest, steps = wanted.horizons[-1], parts.train.stop
    if 2 * longest > steps:
        what = f"the longest, {longest} steps, is more than half of the training part"
        raise TalusError(f"train.horizons: {what}, {steps} steps")
    features = fit_features(wanted.terms, history, parts.train.stop)
    x, known = feature_rows(features, history)
    labels = windows.increments(history, wanted.targets, wanted.horizons)
    return _Material(
        history, features, x, known, labels, windows.scales(labels, _labelled(wanted, parts)), parts
    )


def _labelled(wanted: TrainConfig, parts: windows.Split) -> slice:
    """Return the training steps whose labels, a horizon ahead, are of the training part too."""
    return slice(0, parts.train.stop - wanted.horizons[-1])


def _forecaster(
    wanted: TrainConfig, m: _Material, progress: Progress
) -> tuple[ForecasterSpec, Exported, tuple[Parity, ...], tuple[gate.Skill, ...]]:
    end = _labelled(wanted, m.parts).stop
    scaled = m.labels[:end] / m.scale
    length = min(wanted.sequence_steps, max(8, end // 4))
    x, y = windows.sequences(m.x[:end], m.known[:end], scaled, length, max(1, length // 8))
    if len(x) < _MIN_SEQUENCES:
        raise TalusError(
            f"{len(x)} unbroken stretches of {length} steps to train on; {_MIN_SEQUENCES} needed: "
            "see the gaps of each channel, or lower train.sequence_steps"
        )
    held = len(x) // _VALIDATION
    gap = 8 if held else 0  # neighbours overlap: those between the two parts are left out
    fit, validation = (x[: len(x) - held - gap], y[: len(x) - held - gap]), (x[-held:], y[-held:])
    progress.stage("train GRU", wanted.epochs)
    weights = gru.fit(
        wanted,
        fit,
        validation if held else (x[:0], y[:0]),
        lambda epoch, loss, val: progress.step(
            f"epoch {epoch + 1}, loss {loss:.4f}, held {val:.4f}"
        ),
    )
    progress.stage("export GRU", 5)
    exported = export_gru(weights, m.x[m.known], progress)
    skills = gate.forecast_skill(
        wanted,
        _quantiles(weights, wanted, m),
        m.labels,
        _labelled(wanted, m.parts),
        m.parts.test,
    )
    verdict = gate.judge_forecaster(skills, wanted.targets, wanted.horizons[-1])
    progress.note(f"GRU {'armed' if verdict.armed else 'in shadow'}: {verdict.reason}")
    spec = ForecasterSpec(
        armed=verdict.armed,
        reason=verdict.reason,
        targets=wanted.targets,
        horizons=wanted.horizons,
        quantiles=wanted.quantiles,
        hidden=wanted.hidden,
        scale=tuple(m.scale.ravel().tolist()),
        warm_up_steps=wanted.warm_up_steps,
        rate_reference=thresholds.movement_reference(
            m.history, wanted.targets, wanted.horizons[-1], m.parts.train
        ),
        residual_threshold=(1.0,) * len(wanted.targets),
        residual_time_constant_steps=_RESIDUAL_STEPS,
        artifacts=exported.artifacts,
        golden="golden.gru.json",
    )
    model = first_model(exported)
    spec = thresholds.set_forecaster(spec, model, m.history, m.x, m.known, m.parts)
    return spec, exported, exported.parity, skills


def _quantiles(weights: gru.GruWeights, wanted: TrainConfig, m: _Material) -> Floats:
    """Stream the whole history through the reference: quantiles in target units."""
    shape = (len(wanted.targets), len(wanted.horizons), len(wanted.quantiles))
    out = np.full((len(m.x), *shape), np.nan)
    h, age = np.zeros((1, weights.hidden)), 0
    for i, row in enumerate(m.x.astype(np.float64)):
        if m.history.reset[i] or not m.known[i]:
            h, age = np.zeros((1, weights.hidden)), 0
        if not m.known[i]:
            continue
        y, h = weights.step(row[None], h)
        age += 1
        if age > wanted.warm_up_steps:
            out[i] = np.sort(y.reshape(shape), axis=-1) * m.scale[:, :, None]
    return out


def _detectors(
    wanted: TrainConfig, m: _Material, progress: Progress
) -> tuple[tuple[DetectorSpec, ...], dict[str, Exported]]:
    window = wanted.window_steps

    def cut(span: slice) -> Singles:
        return windows.stacked(m.x[span], m.known[span], window)

    fit, calibration, test = cut(m.parts.train), cut(m.parts.calibration), cut(m.parts.test)
    if not len(fit):
        raise TalusError(f"train.window_steps: no unbroken stretch of {window} steps to train on")
    progress.stage("train autoencoder", wanted.epochs)
    nets = {
        "autoencoder": autoencoder.fit_autoencoder(
            wanted, fit, lambda epoch, loss: progress.step(f"epoch {epoch + 1}, loss {loss:.4f}")
        ),
        "pca": autoencoder.fit_pca(wanted, fit),
    }
    weights = _channel_weights(m)
    usable = len(calibration) > 0 and len(test) > 0
    rates = {
        name: gate.detection_rate(net, calibration, test, weights, wanted.seed) if usable else 0.0
        for name, net in nets.items()
    }
    verdicts = dict(
        zip(nets, gate.judge_detectors(rates["autoencoder"], rates["pca"]), strict=True)
    )
    specs, exported = [], {}
    for name, net in nets.items():
        verdict = verdicts[name]
        progress.note(f"{name} {'armed' if verdict.armed else 'in shadow'}: {verdict.reason}")
        progress.stage(f"export {name}", 5)
        made = exported[name] = export_reconstruction(name, net, fit, progress)
        n = len(m.history.channels)
        spec = DetectorSpec(
            name, verdict.armed, verdict.reason, window, (1.0,) * n, 1.0,
            made.artifacts, f"golden.{name}.json",
        )  # fmt: skip
        errors = gate.channel_errors(net, calibration, weights)
        specs.append(
            thresholds.set_detector(
                spec, m.features, m.history, first_model(made),
                errors, m.x, m.known, m.parts,
            )
        )  # fmt: skip
    return tuple(specs), exported


def _channel_weights(m: _Material) -> Floats:
    """Return float64[features, channels]: the mean over the features of each channel."""
    weights = np.zeros((len(m.features.terms), len(m.history.channels)))
    for i, term in enumerate(m.features.terms):
        weights[i, m.history.channels.index(term.channel)] = 1.0
    count = weights.sum(axis=0)
    return np.asarray(weights / np.where(count > 0, count, 1.0))
