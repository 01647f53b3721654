"""Bundles on trial at the stations of a gateway: begun, ended, and what came of it. The shell.

`edge.trial` runs beside what watches and gives a verdict. It is told first and written down at the
next look, so that after a power cut it is told twice rather than never. What has passed takes over
between two turns of the loop (`Trials.take_over`), once nothing stands that it might not see:
levels are kept as at a restart, and its models are warm.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edge.bundle import load_bundle
from edge.bundle_commit import end_trial, take_back
from edge.bundle_fit import check_schema
from edge.bundle_install import FOLDER, hold, read_index
from edge.bundle_taken import Taken
from edge.bundle_watches import check_rules
from edge.counters import read_counters
from edge.errors import TalusError
from edge.pipeline import Pipeline
from edge.trial import COST_SHARE, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edge.bundle import Bundle
    from edge.bundle_install import Index
    from edge.bundles import Opened
    from edge.config import Config
    from edge.station import Station

log = logging.getLogger("talus")

MAX_TOLD = 500
RETRY_S = 60.0
"""After so long a disk that took nothing is asked again."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended at one station; ``asked``: the command that asked for it."""

    station: str
    bundle: str
    asked: str
    healthy: bool
    text: str


class Trials:
    """The trials of one gateway. ``blamed``: why none of those that are written down is begun."""

    def __init__(self, config: Config, pipeline: Pipeline, blamed: str = "") -> None:
        self._config = config
        self._pipeline = pipeline
        self._entries: dict[str, dict[str, Any]] = {}
        self._ended: list[Ended] = []
        self._unwritten: list[Ended] = []
        self._last: dict[str, dict[str, Any]] = {}
        self._told: set[tuple[str, str, bool]] = set()
        self._passed: set[str] = set()
        self._retry_s = 0.0
        self.renew(blamed)

    def renew(self, blamed: str = "") -> None:
        """Let stations try what is written down, and nothing else."""
        index = read_index(self._config.data_dir)
        opened: dict[str, Bundle | str] = {}
        for name, station in self._pipeline.stations.items():
            entry = index["trial"].get(name)
            before = self._entries.pop(name, None)
            if entry is not None:
                self._entries[name] = entry
            if _same(entry, before):
                continue
            station.trial = None
            if entry is None:
                continue
            bundle = str(entry["bundle"])
            self._told = {each for each in self._told if each[0] != name}
            if entry.get("passed"):  # it waits for other stations
                self._told.add((name, bundle, True))
            if bundle not in opened:
                opened[bundle] = blamed or self._open(index, bundle)
            why = self._begin(station, opened[bundle])
            if why:
                self._end(name, healthy=False, said=f"{bundle}: {why}")
        trials = [s.trial for s in self._pipeline.stations.values() if s.trial is not None]
        for trial in trials:
            trial.share = COST_SHARE / len(trials)

    def _open(self, index: Index, name: str) -> Bundle | str:
        folder = self._config.data_dir / FOLDER / name
        try:
            hold(folder, index["proven"].get(name), self._config)
            kept, _ = read_counters(self._config.data_dir)
            return load_bundle(folder, self._config.runtime, self._config.trust, kept)
        except (TalusError, OSError) as error:
            return str(error)

    def _begin(self, station: Station, bundle: Bundle | str) -> str:
        """Put a bundle beside what watches; gives why it cannot be."""
        if isinstance(bundle, str):
            return bundle
        is_watched = station.watch is not None or station.rules is not None
        trial_ms = (self._config.remote.trial_ms if is_watched else 0) or 1
        try:
            check_schema(station.config, bundle.manifest)
            check_rules(station.config, bundle.manifest)
            trial = Trial(station.config, bundle, trial_ms, station.watch)
        except Exception as error:  # whatever is wrong with it, the other goes on watching
            return repr(error) if not isinstance(error, TalusError) else str(error)
        trial.clock = time.perf_counter
        station.trial = trial
        log.info("station %s: %s is tried beside %s", station.name, trial.label, trial.beside)
        return ""

    def _end(self, station: str, *, healthy: bool, said: str) -> None:
        entry = self._entries[station]
        bundle, asked = str(entry["bundle"]), str(entry.get("asked", ""))
        self._ended.append(Ended(station, bundle, asked, healthy, said[:MAX_TOLD]))

    def look(self, now_ms: int) -> list[Ended]:
        """Give the trials that have ended; each is written down at the look after."""
        if time.monotonic() >= self._retry_s:
            unwritten, self._unwritten = self._unwritten, []
            for ended in unwritten or self._waiting():
                self._write(ended, now_ms)
        for name, entry in list(self._entries.items()):
            trial = self._pipeline.stations[name].trial
            if trial is None or trial.verdict is None:
                continue
            healthy = trial.verdict.healthy
            key = name, str(entry["bundle"]), healthy
            if key not in self._told:
                self._told.add(key)
                self._end(name, healthy=healthy, said=_words(trial) + self._waits(*key))
        found, self._ended = self._ended, []
        for ended in found:
            self._last[ended.station] = {
                "bundle": ended.bundle, "healthy": ended.healthy, "text": ended.text,
                "time_ms": now_ms,
            }  # fmt: skip
            log.warning("station %s: %s", ended.station, ended.text)
        self._unwritten += found
        return found

    def _waits(self, station: str, bundle: str, healthy: bool) -> str:
        """Say which stations have it on trial still: it takes over at all of them together."""
        group = self._group(bundle)
        others = [name for name in group if (name, bundle, True) not in self._told]
        if not others:
            restless = [] if not healthy else [name for name in group if self._stands(name)]
            return f"; once nothing stands at {', '.join(restless)}" if restless else ""
        names = ", ".join(others)
        return f"; once it has passed at {names} too" if healthy else f"; from {names} too"

    def _group(self, bundle: str) -> list[str]:
        """Return the stations at which a bundle is tried."""
        return sorted(name for name, e in self._entries.items() if e["bundle"] == bundle)

    def _stands(self, station: str) -> bool:
        """Whether a level stands that another bundle might not see, or a delay of one runs.

        Or it has failed since it passed: then it waits to be told.
        """
        watched = self._pipeline.stations[station]
        verdict = None if watched.trial is None else watched.trial.verdict
        if verdict is not None and not verdict.healthy:
            return True
        alarm = watched.alarm.snapshot()
        clocks = alarm["scores"]["above"]
        return bool(alarm["level"] or alarm["latched"]) or any(c is not None for c in clocks)

    def _waiting(self) -> list[Ended]:
        """Give what has passed everywhere, and has waited for levels to fall."""
        found = {}
        for name, entry in self._entries.items():
            bundle = str(entry["bundle"])
            group = self._group(bundle) if entry.get("passed") else ()
            if group and all(
                self._entries[each].get("passed") and not self._stands(each) for each in group
            ):
                found[bundle] = Ended(name, bundle, str(entry.get("asked", "")), True, "")
        return list(found.values())

    def _write(self, ended: Ended, now_ms: int) -> None:
        """Write down how one ended; what cannot be armed after all is told."""
        try:
            self._passed |= end_trial(
                self._config, ended.station, ended.bundle, healthy=ended.healthy, now_ms=now_ms,
                wait=any(map(self._stands, self._group(ended.bundle))),
            )  # fmt: skip
        except OSError as error:  # a full disk: in a while
            self._retry_s = time.monotonic() + RETRY_S
            log.error("station %s: its trial cannot be written down: %s", ended.station, error)
            self._unwritten.append(ended)
            return
        except TalusError as error:
            if ended.station in self._entries:
                self._end(ended.station, healthy=False, said=f"{ended.bundle}: {error}")
            return
        if not self._passed:  # else its trial goes on until it takes over
            self.renew()

    def take_over(self, opened: Mapping[str, Opened], now_ms: int) -> Taken | None:
        """Let what has passed watch: a new pipeline, gone on from the state of this one.

        None: nothing has passed, or it cannot watch after all; then it is taken back, and told.
        """
        passed, self._passed = self._passed, set()
        if not passed:
            return None
        old = self._pipeline
        place = self._config.data_dir / FOLDER
        loaded: dict[str, Opened] = dict(opened)
        folders = {}
        for name in passed:
            trial = old.stations[name].trial
            if trial is not None:
                folders[name] = str(place / str(self._entries[name]["bundle"]))
                loaded[name] = trial.bundle
        stations = tuple(
            replace(s, bundle=folders[s.name], fallback=(), passed_over=())
            if s.name in folders
            else s
            for s in self._config.stations
        )
        config = replace(self._config, stations=stations)
        try:
            state = json.loads(json.dumps(old.snapshot(), allow_nan=False))
            pipeline = Pipeline(config, loaded)
            for name, each in pipeline.stations.items():
                each.trial = None if name in passed else old.stations[name].trial
            notes = pipeline.restore(state, now_ms)
        except Exception as error:  # what watches goes on
            self._fail(passed, error)
            return None
        for note in notes:
            log.warning("%s", note)
        self._config, self._pipeline = config, pipeline
        self.renew()
        return Taken(config, pipeline, loaded, tuple(sorted(folders)), tuple(notes), now_ms)

    def _fail(self, passed: set[str], error: Exception) -> None:
        """Take back what was armed and cannot watch, and say so."""
        for name in sorted(passed):
            said = f"{self._entries[name]['bundle']} cannot take over: {error!r}"
            self._end(name, healthy=False, said=" ".join(said.split()))
        try:
            take_back(self._config, passed, read_index(self._config.data_dir))
        except OSError as full:
            log.error("what cannot take over is armed at the next start: %s", full)
        self.renew()

    def values(self) -> dict[str, Any]:
        """Return how trials stand, and how the last ones ended, as JSON values."""
        found: dict[str, dict[str, Any]] = {}
        for name, station in self._pipeline.stations.items():
            if station.trial is not None and name in self._entries:
                since_ms = self._entries[name].get("time_ms", 0)
                found[name] = {"since_ms": since_ms} | station.trial.values()
            if name in self._last:
                found[name] = found.get(name, {}) | {"ended": self._last[name]}
        return {"trial": found} if found else {}


def _same(entry: dict[str, Any] | None, before: dict[str, Any] | None) -> bool:
    """Whether two entries are of one trial."""
    keys = "bundle", "time_ms", "asked"
    one, other = ([None if e is None else e.get(key) for key in keys] for e in (entry, before))
    return (entry is None) == (before is None) and one == other


def _words(trial: Trial) -> str:
    assert trial.verdict is not None
    text = trial.verdict.text
    if trial.verdict.healthy:
        return f"{trial.label} has passed its trial beside {trial.beside} and takes over: {text}"
    return f"{trial.label} is taken back: on trial beside {trial.beside} {text}"
