"""Starts that came to nothing while a bundle was new: then it gives way to the one before it.

A model may take the whole process with it, where nothing can be caught. So each start is counted on
disk before any model is loaded, as long as a bundle is on trial or has not yet served for a while.
Where MOST starts in a row of one boot ended without a word, that bundle is to blame: a candidate on
trial first, else the one armed last. What has other causes does not count: a power cut, an
exception that no model raised, a port or a disk that stalls. The counter of a bundle, below which
none is taken, is raised once it has served.
"""

from __future__ import annotations

import json
import logging
import os
import time
from contextlib import suppress
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from edge.bundle_install import FOLDER, read_index, sync, write_index
from edge.bundles import signed_counters
from edge.counters import keep_counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edge.bundles import Opened
    from edge.config import Config
    from edge.manifest import Manifest
    from edge.station import Station

    P = ParamSpec("P")
    R = TypeVar("R")
    G = TypeVar("G")

log = logging.getLogger("talus")

STARTS = "starts.json"
MOST = 3
SERVE_S, SERVE_STEPS, MAX_SERVE_S = 300.0, 4, 7 * 86_400.0
"""Served: so long, and so many grid steps after the longest window: then every model has been run.
A gateway that sleeps between adds it up over its starts."""
LOOK_S, RETRY_S = 1.0, 60.0
_MODELS = ("edge.watch", "edge.bundle")
"""An exception that has come through one of these is a bundle's."""
_MAX_BYTES = 64 * 1024
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class Starts:
    """The starts of one gateway; made before its models are loaded."""

    def __init__(self, config: Config) -> None:
        self._data_dir = config.data_dir
        self._path = config.data_dir / FOLDER / STARTS
        self._began_s = self._due_s = time.monotonic()
        index = read_index(config.data_dir)
        names = {station.name for station in config.stations}
        tried = [f"trial {s} {e['bundle']}" for s, e in index["trial"].items() if s in names]
        self.fresh: dict[str, str] = {
            s: e["bundle"] for s, e in index["armed"].items() if e.get("fresh") and s in names
        }
        """The bundle that has not served yet, by station."""
        self._watched = sorted(tried + [f"armed {s} {name}" for s, name in self.fresh.items()])
        self._is_over = not self._watched
        self._boot = _boot()
        self._died = 0
        self._served_s = 0.0
        """Before this start."""
        self._is_excused = False
        if self._watched:
            self._read()
            self._write(self._died + 1, self._served_s)
        else:
            self.stopped()
        why = f"the gateway died {self._died} times in a row soon after a start with it"
        self.blamed_trial = why if self._died >= MOST and tried else ""
        self.blamed_armed = why if self._died >= MOST and not tried else ""

    def _read(self) -> None:
        """Take how many starts with the same bundles came to none, of this boot, and what served.

        A disk that takes nothing is no reason not to start.
        """
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            with self._path.open("rb") as file:
                values = json.loads(file.read(_MAX_BYTES))
            if values["of"] != self._watched:
                return
            if self._boot and values["boot"] == self._boot:
                self._died = int(values["starts"])
            self._served_s = min(max(0.0, float(values["served_s"])), MAX_SERVE_S)

    def _write(self, starts: int, served_s: float) -> None:
        values = {"format": 1, "boot": self._boot, "of": self._watched, "starts": starts}
        try:
            _write(self._path, values | {"served_s": round(served_s, 1)})
        except OSError as error:
            log.error("%s: %s: starts are not counted", self._path, error)

    def look(self, stations: Iterable[Station], opened: Mapping[str, Opened]) -> None:
        """Take it once that this start has served: new bundles are so no longer."""
        now_s = time.monotonic()
        if self._is_over or now_s < self._due_s:
            return
        self._due_s = now_s + LOOK_S
        watches = [w for s in stations for w in (s.watch, s.trial and s.trial.watch) if w]
        if self._elapsed_s() < needed_s(watch.manifest for watch in watches):
            return
        if self.blamed_armed:
            self._is_over = True
            return  # it did not serve: what gave way to it is kept as it is
        try:
            index = read_index(self._data_dir)
            for name, bundle in self.fresh.items():
                entry = index["armed"].get(name, {})
                if entry.get("bundle") == bundle:  # and no other, committed since
                    entry.pop("fresh", None)
            if self.fresh:
                write_index(self._data_dir, index)
        except OSError as error:
            # A raised counter would shut out the bundle that one still new must give way to.
            log.error("%s: %s", self._path, error)
            self._due_s = now_s + RETRY_S
            return
        self._is_over = True
        for note in keep_counters(self._data_dir, signed_counters(opened.values())):
            log.error("%s", note)
        self.stopped()

    def _elapsed_s(self) -> float:
        return self._served_s + time.monotonic() - self._began_s

    def excuse(self, stalled: tuple[str, ...]) -> None:
        """Take what does not go on: if the watchdog bites for that alone, no model is to blame."""
        excused = bool(stalled) and not any(each.startswith("inference") for each in stalled)
        if excused != self._is_excused and not self._is_over:
            self._is_excused = excused
            self._write(self._died + (not excused), self._served_s)

    def failed(self, error: BaseException) -> None:
        """Take that an exception ends this start; it counts where a model has raised it."""
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals.get("__name__") in _MODELS:
                return
            trace = trace.tb_next
        if not self._is_over:
            self._write(self._died, self._served_s)

    def stopped(self) -> None:
        """Take that this start ended because somebody said so."""
        if self._is_over or self.blamed_armed:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            return
        self._write(0, self._elapsed_s())


def counted(method: Callable[Concatenate[G, P], R]) -> Callable[Concatenate[G, P], R]:
    """Let an exception that leaves a method of a gateway be told to its starts."""

    @wraps(method)
    def call(self: G, /, *args: P.args, **more: P.kwargs) -> R:
        try:
            return method(self, *args, **more)
        except Exception as error:
            starts = getattr(self, "_starts", None)
            if starts is not None:
                starts.failed(error)
            raise

    return call


def needed_s(manifests: Iterable[Manifest]) -> float:
    """Return for how long bundles must serve until every model of them has been run a while."""
    longest = 0.0
    for m in manifests:
        windows = [m.forecaster.warm_up_steps, *(spec.window_steps for spec in m.detectors)]
        longest = max(longest, (max(windows) + SERVE_STEPS) * m.step_ms / 1000)
    return min(max(SERVE_S, longest), MAX_SERVE_S)


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _write(path: Path, values: dict[str, Any]) -> None:
    aside = path.with_name(f".{path.name}.new")
    with aside.open("w", encoding="utf-8") as file:
        json.dump(values, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    sync(path.parent)
