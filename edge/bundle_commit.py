"""Bundles that were proven, committed to stations: tried first, then armed, or taken back.

Everything is one write of ``index.json``: after a power cut it is as before or as after.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.bundle import read_manifest
from edge.bundle_fit import check_schema
from edge.bundle_install import FOLDER, RUNNING, hold, manifest_sha256, read_index, write_index
from edge.bundle_watches import check_rules, less
from edge.errors import TalusError
from edge.trust import ANY_SIGNER

if TYPE_CHECKING:
    from edge.bundle_install import Index
    from edge.config import Config, StationConfig
    from edge.manifest import Manifest


def commit(
    config: Config, name: str, wanted: str, now_ms: int, *, now: bool = False, asked: str = ""
) -> tuple[str, bool]:
    """Let a proven bundle be tried at a station, and watch it once it has shown itself.

    Returns what to say of it, and whether it is tried: ``now``, or without ``[remote] trial_h``, it
    watches from the next start on. ``asked``: the command that is answered at the end of the trial.
    Station "*": each whose bundle is of the same name. Raises TalusError and OSError, and then
    nothing has changed.
    """
    index = read_index(config.data_dir)
    if name == RUNNING:
        return _take_back(config, wanted, index), False
    if name not in index["proven"]:
        raise TalusError(f"no bundle {name!r} is staged: install it first")
    folder = config.data_dir / FOLDER / name
    hold(folder, index["proven"][name], config)
    manifest = read_manifest(folder, config.trust)
    alike = {s.name for s in config.stations if _next(config, s, index)[0] == manifest.name}
    chosen = alike if wanted == "*" else {wanted} & {s.name for s in config.stations}
    if not chosen:
        raise TalusError(f"no station {wanted!r}" if wanted != "*" else
                         f"no station runs a bundle named {manifest.name!r}")  # fmt: skip
    _check(config, index, manifest, chosen)
    said = f"{manifest.label} (counter {manifest.counter})"
    names = ", ".join(sorted(chosen))
    running = {(config.folder / s.bundle) for s in config.stations if s.name in chosen}
    if now or not config.remote.trial_ms or running == {folder}:
        _arm(config, index, name, chosen, now_ms)
        lost = _lost(config, manifest, chosen)
        write_index(config.data_dir, index)
        said += f" watches {names} from the next start on; what watches now is kept{lost}"
        return said, False
    entry = {"bundle": name, "time_ms": now_ms, "asked": asked}
    index["trial"] |= {station: dict(entry) for station in chosen}
    write_index(config.data_dir, index)
    hours = config.remote.trial_ms / 3.6e6
    return (f"{said} is tried at {names} for {hours:g} h of readings, and never alarms meanwhile; "
            "then it watches, or is taken back, and that is told"), True  # fmt: skip


def _check(config: Config, index: Index, manifest: Manifest, chosen: set[str]) -> None:
    """Raise TalusError unless a bundle fits the stations chosen, and leaves no other unwatched.

    None is older than what is armed: the kept counter is raised only once that has served.
    """
    for station in config.stations:
        name, counter = _next(config, station, index)
        if station.name in chosen:
            check_schema(station, manifest)
            check_rules(station, manifest)
        if name != manifest.name:
            continue
        if manifest.counter < counter and not config.trust.allow_unsigned:
            what = f"counter {counter} is armed at {station.name}: {manifest.label} is older"
            raise TalusError(f"{what} (counter {manifest.counter}), and not taken")
        if counter < manifest.counter and station.name not in chosen:
            # Under one name only the newest is armed: that one would be left without models.
            what = "runs an older bundle of the same name, which the next start would refuse"
            raise TalusError(f"station {station.name} {what}: commit it for station '*'")


def _lost(config: Config, manifest: Manifest, chosen: set[str]) -> str:
    """Say what will no longer be watched, "" for nothing."""
    said = ""
    for station in config.stations:
        if station.name in chosen and station.bundle:
            try:
                before = read_manifest(config.folder / station.bundle, ANY_SIGNER)
            except TalusError:
                continue  # it watches nothing
            if names := less(station, before, manifest):
                said += f"; {station.name} is then no longer watched by {names}"
    return said


def _arm(config: Config, index: Index, name: str, chosen: set[str], now_ms: int) -> None:
    for station in config.stations:
        if station.name in chosen:
            index["trial"].pop(station.name, None)
            last = index["armed"].get(station.name)
            entry = _entry(config, station, last, name) | {"time_ms": now_ms}
            if (config.folder / station.bundle) != config.data_dir / FOLDER / name:
                entry["fresh"] = True
            index["armed"][station.name] = entry


def end_trial(
    config: Config, station: str, name: str, *, healthy: bool, now_ms: int, wait: bool = False
) -> set[str]:
    """Write down how the trial of a bundle ended at a station; gives the stations it now watches.

    It watches all that it is tried at, once it has passed at each; where it fails at one it is
    taken back from all. ``wait``: it has passed, and is not armed yet. Raises TalusError, where it
    cannot be armed any more, and OSError.
    """
    index = read_index(config.data_dir)
    entry = index["trial"].get(station)
    if entry is None or entry["bundle"] != name:  # another has taken its place
        return set()
    group = {s for s, other in index["trial"].items() if other["bundle"] == name}
    group &= {s.name for s in config.stations}
    passed: set[str] = set()
    entry["passed"] = healthy
    if not healthy:
        index["trial"] = {s: e for s, e in index["trial"].items() if e["bundle"] != name}
    elif not wait and all(index["trial"][s].get("passed") for s in group):
        folder = config.data_dir / FOLDER / name
        hold(folder, index["proven"].get(name), config)
        _check(config, index, read_manifest(folder, config.trust), group)
        _arm(config, index, name, group, now_ms)
        passed = group
    write_index(config.data_dir, index)
    return passed


def _take_back(config: Config, wanted: str, index: Index) -> str:
    chosen = [s for s in config.stations if wanted in ("*", s.name)]
    if not chosen:
        raise TalusError(f"no station {wanted!r}")
    take_back(config, {s.name for s in chosen}, index)
    return "what watches now goes on"


def take_back(config: Config, stations: set[str], index: Index) -> None:
    """Let what watches some stations now watch them on. Raises OSError."""
    for station in config.stations:
        if station.name not in stations:
            continue
        index["trial"].pop(station.name, None)
        last = index["armed"].pop(station.name, None)
        running = (config.folder / station.bundle).name
        if last is not None and _is_installed(config, station):
            same = last["bundle"] == running
            index["armed"][station.name] = last if same else _back(last, running)
    write_index(config.data_dir, index)


def _back(last: dict[str, Any], running: str) -> dict[str, Any]:
    return {key: v for key, v in last.items() if key != "fresh"} | {
        "bundle": running, "before": None
    }  # fmt: skip


def _is_installed(config: Config, station: StationConfig) -> bool:
    """Whether what runs now came over MQTT."""
    running = config.folder / station.bundle
    return bool(station.bundle) and running.parent == config.data_dir / FOLDER


def _next(config: Config, station: StationConfig, index: Index) -> tuple[str, int]:
    """Return name and counter of the bundle a station would run at the next start."""
    entry = index["armed"].get(station.name)
    place = config.data_dir / FOLDER
    folder = place / entry["bundle"] if entry else config.folder / station.bundle
    try:
        manifest = read_manifest(folder, ANY_SIGNER)
    except TalusError:
        return "", 0  # it is not armed, whatever happens here
    return manifest.name, manifest.counter


def _entry(
    config: Config, station: StationConfig, last: dict[str, Any] | None, name: str
) -> dict[str, Any]:
    """Return what is committed: also what runs now, and whether a person changes it meanwhile."""
    running = config.folder / station.bundle if station.bundle else None
    if running is not None and _is_installed(config, station):
        before = running.name if running.name != name else (last or {}).get("before")
        return {"bundle": name, "before": before, "instead_of": (last or {}).get("instead_of", "")}
    instead_of = manifest_sha256(running) if running is not None else ""
    return {"bundle": name, "before": None, "instead_of": instead_of}
