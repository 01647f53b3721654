"""What a bundle watches at a station, and whether another would watch less. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.decide import Decider
from edge.errors import BundleError
from edge.rule_state import UnknownEvidenceError
from edge.watch import scored

if TYPE_CHECKING:
    from edge.config import StationConfig
    from edge.manifest import Manifest

MAX_NAMED = 8


def less(config: StationConfig, before: Manifest, after: Manifest) -> str:
    """Name what the bundle before watches at this station and the one after does not, "": nothing.

    A model that may raise no level here watches nothing; a forecast does what the baseline did.
    """
    kept = _watched(config, after)
    kept |= {("baseline", target) for kind, target in kept if kind == "forecast"}
    kinds = {kind for kind, _ in kept}
    lost = sorted(_watched(config, before) - kept)
    names = [
        f"{kind} {name}" if kind == "channel" else f"{kind} of {name}" if kind in kinds else kind
        for kind, name in lost
    ]
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def check_rules(config: StationConfig, manifest: Manifest) -> None:
    """Raise BundleError where a rule of the station looks at what this bundle does not give."""
    if not config.decision.rules:
        return
    try:
        Decider(config, manifest.step_ms, tuple(scored(manifest)))
    except UnknownEvidenceError as error:
        msg = f"station {config.name!r}: its rules cannot do with {manifest.label}: {error}"
        raise BundleError(msg) from error


def _watched(config: StationConfig, m: Manifest) -> set[tuple[str, str]]:
    spec = m.forecaster
    found = {("velocity", target) for target in m.kinematics.targets}
    if spec.armed:
        limits = zip(spec.targets, spec.residual_threshold, strict=True)
        found |= {("forecast", target) for target in spec.targets}
        found |= {("residual", target) for target, limit in limits if limit}
    else:
        limits = zip(spec.targets, spec.baseline.threshold, strict=True)
        found |= {("baseline", target) for target, limit in limits if limit}
    found |= {(detector.name, "") for detector in m.detectors if detector.armed}
    ceiling = dict(config.alarm.ceiling)
    found = {(kind, name) for kind, name in found if ceiling.get(kind, 0)}
    return found | {("channel", channel.name) for channel in m.channels}
