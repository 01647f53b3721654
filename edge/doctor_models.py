"""What watches the slopes: an inference runtime, the bundles proven on this CPU, whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.bundle_install import read_index
from edge.bundles import open_bundles
from edge.counters import read_counters
from edge.doctor_diagnosis import FAULT, OK, SKIPPED, WARN, Diagnosis, split_fix
from edge.runtime import installed
from edge.trust import signature_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.config import Config, StationConfig

_AGAIN = "copy the newest signed bundle here again; talus bundle show says what is wrong with it"


def runtime(config: Config) -> Iterator[Diagnosis]:
    """Say which runtimes there are; without a bundle none is needed."""
    found = installed()
    if found:
        yield Diagnosis("runtime", "", OK, ", ".join(found), gate=True)
    elif any(station.bundle for station in config.stations):
        fix = "pip install ai-edge-litert, or install the full package"
        text = "no inference runtime is installed: no model runs"
        yield Diagnosis("runtime", "", FAULT, text, fix, gate=True)
    else:
        yield Diagnosis("runtime", "", OK, "none is installed, and rules alone need none")


def bundles(config: Config) -> Iterator[Diagnosis]:
    """Verify each bundle, and run its golden vectors here and now."""
    opened = open_bundles(config)
    trial = read_index(config.data_dir)["trial"]
    for station in config.stations:
        if station.name in trial:
            yield _on_trial(station.name, trial[station.name])
        bundle, rules = opened[station.name], len(station.decision.rules)
        if not station.bundle:
            yield _without(station, rules)
            continue
        if isinstance(bundle, str):
            text, fix = split_fix(bundle, _AGAIN)
            if rules:
                text += f" (its {rules} rules watch alone)"
            yield Diagnosis("bundles", station.name, FAULT, text, fix, gate=True)
            continue
        loaded = bundle.forecaster
        text = (
            f"{bundle.manifest.label}, {signature_text(bundle.signer)}: {loaded.artifact.file} in "
            f"{loaded.runtime} meets its golden outputs within {loaded.golden_error:.2g}"
        )
        yield Diagnosis("bundles", station.name, OK, text, value=loaded.golden_error, gate=True)


def _on_trial(station: str, entry: dict[str, Any]) -> Diagnosis:
    if entry.get("passed"):
        how = "has passed its trial, and takes over once no level stands at any of its stations"
    else:
        how = "is tried beside what watches, and raises no alarm: health messages say how it does"
    return Diagnosis("bundles", station, OK, f"{entry['bundle']} {how}")


def _without(station: StationConfig, rules: int) -> Diagnosis:
    if rules:
        return Diagnosis("bundles", station.name, OK, f"no bundle: {rules} rules watch alone")
    text = "names no bundle and has no rules: nothing is watched"
    fix = "make a bundle (talus-export train), or add [station.decision]"
    return Diagnosis("bundles", station.name, FAULT, text, fix, gate=True)


def trust(config: Config, *, foreign: bool) -> Iterator[Diagnosis]:
    """Say whose bundles are armed, and which were; ``foreign``: not for this user to see."""
    keys = config.trust.keys
    if config.trust.allow_unsigned:
        text = "allow_unsigned: a bundle of anybody's is armed"
        fix = "put keys into [trust] in its place before the field: talus-export keygen"
        yield Diagnosis("trust", "", WARN, text, fix)
        return
    if not keys and not any(station.bundle for station in config.stations):
        text = "no keys, and rules alone need none; updates from afar are refused"
        yield Diagnosis("trust", "", SKIPPED, text)
        return
    if not keys:
        text = "nothing says whose bundles to trust, so none is armed"
        fix = 'put keys = ["RW..."] into [trust]: talus-export keygen prints the line'
        yield Diagnosis("trust", "", FAULT, text, fix, gate=True)
        return
    kept, wrong = ({}, "") if foreign else read_counters(config.data_dir)
    if wrong:
        fix = "start talus run once: it begins the counters anew with the bundles armed then"
        yield Diagnosis("trust", "counters", FAULT, wrong, fix)
    ids = ", ".join(key.id for key in keys)
    counters = "its counters are not for this user" if foreign else f"counters of {len(kept)} kept"
    text = f"bundles signed by {ids}; {counters}"
    yield Diagnosis("trust", "", OK, text, value=float(len(kept)), gate=True)
