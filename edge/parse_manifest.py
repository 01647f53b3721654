"""manifest.json into a Manifest; every mistake is named with its path."""

from __future__ import annotations

import json

from edge.fields import Mistakes, Table
from edge.manifest import (
    AGGREGATES,
    ANCHORS,
    FORMAT,
    FORMATS,
    MAX_CHANNELS,
    MAX_FEATURES,
    MAX_SEASON_STEPS,
    MAX_STEPS,
    NAIVE,
    POOLINGS,
    PRECISIONS,
    TRANSFORMS,
    VARIANTS,
    Artifact,
    BaselineSpec,
    ChannelSpec,
    DetectorSpec,
    FeatureSpec,
    ForecasterSpec,
    KinematicsSpec,
    Manifest,
    Term,
)


def parse_manifest(text: bytes, document: str) -> Manifest:
    """Parse manifest.json. Raises ConfigError naming every mistake with its path."""
    mistakes = Mistakes(document)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        mistakes.add("document", f"not JSON: {error}")
        data = {}
    root = Table(data, "", mistakes)
    mistakes.raise_if_any()
    if root.integer("format", low=1) != FORMAT:
        root.wrong("format", f"this release reads format {FORMAT}; export the bundle anew")
        mistakes.raise_if_any()
    manifest = _manifest(root)
    root.done()
    mistakes.raise_if_any()
    _agree(manifest, mistakes)
    mistakes.raise_if_any()
    return manifest


def _manifest(root: Table) -> Manifest:
    files = root.table("files", required=True)
    rows = []
    for name, _ in files.items():
        row = files.table(name)
        rows.append((name, row.text("sha256"), row.integer("size_bytes")))
        row.done()
    metrics = root.table("metrics")
    return Manifest(
        name=root.text("name"),
        version=root.integer("version", low=1),
        counter=root.integer("counter", low=0, high=2**53),
        step_ms=root.integer("step_ms", low=1, high=32 * 86_400_000),
        channels=tuple(_channel(t) for t in root.tables("channels", at_least=1)),
        features=_features(root.table("features", required=True)),
        kinematics=_kinematics(root.table("kinematics", required=True)),
        forecaster=_forecaster(root.table("forecaster", required=True)),
        detectors=tuple(_detector(t) for t in root.tables("detectors")),
        files=tuple(rows),
        data_sha256=root.text("data_sha256"),
        seed=root.integer("seed"),
        metrics=tuple((k, metrics.number(k)) for k, _ in metrics.items()),
    )


def _channel(t: Table) -> ChannelSpec:
    spec = ChannelSpec(
        t.text("name"), t.text("quantity"), t.text("unit"), t.text("aggregate", choices=AGGREGATES)
    )
    t.done()
    return spec


def _features(t: Table) -> FeatureSpec:
    terms = []
    for row in t.tables("terms", at_least=1):
        terms.append(
            Term(
                row.text("channel"),
                row.text("transform", choices=TRANSFORMS),
                row.number("time_constant_steps", 1.0, low=1.0, high=MAX_STEPS),
            )
        )
        row.done()
    spec = FeatureSpec(
        tuple(terms),
        t.numbers("mean", length=len(terms)),
        t.numbers("sd", length=len(terms)),
        t.number("clip", low=1.0, high=1e6),
        t.integer("max_hold_steps", low=0, high=MAX_STEPS),
    )
    if any(sd <= 0 for sd in spec.sd):
        t.wrong("sd", "every entry must be above 0")
    t.done()
    return spec


def _artifacts(t: Table) -> tuple[Artifact, ...]:
    found = []
    for row in t.tables("artifacts", at_least=1):
        found.append(
            Artifact(
                row.text("file"),
                row.text("format", choices=FORMATS),
                row.text("precision", choices=PRECISIONS),
                row.number("tolerance", low=0.0, high=1e6),
                row.texts("runtimes"),
                row.integer("batch", low=0, high=1),
                row.number("drift", low=0.0, high=1e6),
                row.number("drift_limit", low=0.0, high=1e6),
                row.number("max_error", low=0.0, high=1e6),
                row.integer("saturated", low=0),
            )
        )
        row.done()
    return tuple(found)


def _kinematics(t: Table) -> KinematicsSpec:
    targets = t.texts("targets")
    spec = KinematicsSpec(
        targets,
        t.integer("window_steps", low=1, high=MAX_STEPS),
        t.numbers("reference", length=len(targets)),
    )
    t.done()
    return spec


def _baseline(t: Table, targets: int, rows: int, quantiles: int) -> BaselineSpec:
    kinds = t.texts("kinds")
    spec = BaselineSpec(
        kinds,
        t.numbers("drift", length=targets),
        t.integer("window_steps", low=2, high=MAX_SEASON_STEPS),
        t.integer("season_steps", low=0, high=MAX_SEASON_STEPS),
        t.numbers("offsets", length=rows * quantiles),
        t.numbers("threshold", length=targets),
    )
    if len(kinds) != rows or any(kind not in NAIVE for kind in kinds):
        t.wrong("kinds", f"one a target and horizon, each one of {', '.join(NAIVE)}")
    if "seasonal" in kinds and not spec.season_steps:
        t.wrong("season_steps", "must be above 0 for a seasonal forecast")
    if any(v < 0 for v in spec.threshold):
        t.wrong("threshold", "no entry below 0")
    t.done()
    return spec


def _forecaster(t: Table) -> ForecasterSpec:
    targets = t.texts("targets")
    steps = t.numbers("horizons")
    horizons = tuple(int(h) for h in steps)
    if steps != horizons or any(h > MAX_STEPS for h in steps):
        t.wrong("horizons", f"whole steps, {MAX_STEPS} at most")
    quantiles = t.numbers("quantiles")
    rows = len(targets) * len(horizons)
    spec = ForecasterSpec(
        armed=t.flag("armed"),
        reason=t.text("reason"),
        targets=targets,
        horizons=horizons,
        quantiles=quantiles,
        hidden=t.integer("hidden", low=1, high=4096),
        scale=t.numbers("scale", length=rows),
        anchors=t.texts("anchors"),
        margin=t.numbers("margin", length=rows * (len(quantiles) // 2)),
        adapt_rate=t.number("adapt_rate", low=0.0, high=1.0),
        baseline=_baseline(t.table("baseline", required=True), len(targets), rows, len(quantiles)),
        warm_up_steps=t.integer("warm_up_steps", low=1, high=MAX_STEPS),
        rate_reference=t.numbers("rate_reference", length=len(targets)),
        residual_threshold=t.numbers("residual_threshold", length=len(targets)),
        residual_time_constant_steps=t.number("residual_time_constant_steps", low=1.0),
        artifacts=_artifacts(t),
        golden=t.text("golden"),
    )
    if len(spec.anchors) != rows or any(a not in ANCHORS for a in spec.anchors):
        t.wrong("anchors", f"one a target and horizon, each one of {', '.join(ANCHORS)}")
    if "seasonal" in spec.anchors and not spec.baseline.season_steps:
        t.wrong("baseline.season_steps", "must be above 0 for a seasonal anchor")
    t.done()
    return spec


def _detector(t: Table) -> DetectorSpec:
    spec = DetectorSpec(
        name=t.text("name", choices=("autoencoder", "pca")),
        variant=t.text("variant", choices=VARIANTS),
        armed=t.flag("armed"),
        reason=t.text("reason"),
        window_steps=t.integer("window_steps", low=1, high=4096),
        hidden=t.integer("hidden", low=0, high=4096),
        parts=t.integer("parts", low=1, high=2),
        pooling=t.text("pooling", choices=POOLINGS),
        channel_scale=t.numbers("channel_scale"),
        threshold=t.number("threshold", low=1e-12),
        false_alarm_share=t.number("false_alarm_share", low=0.0, high=1.0),
        artifacts=_artifacts(t),
        golden=t.text("golden"),
    )
    t.done()
    return spec


def _agree(m: Manifest, mistakes: Mistakes) -> None:
    """Check what no single table can: names that must exist, lists that must match."""
    names = [c.name for c in m.channels]
    if len(set(names)) != len(names) or len(names) > MAX_CHANNELS:
        mistakes.add("channels", f"names must differ, at most {MAX_CHANNELS}")
    if len(m.features.terms) > MAX_FEATURES:
        mistakes.add("features.terms", f"at most {MAX_FEATURES}")
    for i, term in enumerate(m.features.terms):
        if term.channel not in names:
            mistakes.add(f"features.terms[{i}].channel", f"{term.channel!r} is not in channels")
    for where, targets in (
        ("kinematics.targets", m.kinematics.targets),
        ("forecaster.targets", m.forecaster.targets),
    ):
        known = all(target in names for target in targets)
        if not targets or not known or len(set(targets)) != len(targets):
            mistakes.add(where, "must name one or more of the channels, each once")
    _agree_models(m, len(names), mistakes)


def _agree_models(m: Manifest, channels: int, mistakes: Mistakes) -> None:
    quantiles, horizons = m.forecaster.quantiles, m.forecaster.horizons
    if len(quantiles) % 2 == 0 or list(quantiles) != sorted(set(quantiles)):
        mistakes.add("forecaster.quantiles", "an odd number of rising values, the median between")
    if not horizons or horizons[0] != 1 or list(horizons) != sorted(set(horizons)):
        mistakes.add("forecaster.horizons", "rising whole steps, the first of them 1")
    positive = (*m.kinematics.reference, *m.forecaster.rate_reference, *m.forecaster.scale)
    if any(v <= 0 for v in positive) or any(v < 0 for v in m.forecaster.residual_threshold):
        mistakes.add("forecaster", "references, scales and thresholds must be above 0")
    kinds = [spec.name for spec in m.detectors]
    if len(set(kinds)) != len(kinds):
        mistakes.add("detectors", "names must differ")
    for i, spec in enumerate(m.detectors):
        size = channels * spec.parts
        if len(spec.channel_scale) != size or any(s <= 0 for s in spec.channel_scale):
            mistakes.add(f"detectors[{i}].channel_scale", f"{size} values above 0")
    listed = {name for name, _, _ in m.files}
    models: tuple[ForecasterSpec | DetectorSpec, ...] = (m.forecaster, *m.detectors)
    for model in models:
        for file in (model.golden, *(a.file for a in model.artifacts)):
            if file not in listed:
                mistakes.add("files", f"{file!r} is used but not listed")
