"""One watched slope: calibration, silence and alarm around what its bundle watches with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.alarm import Alarm, AlarmChange
from edge.calibration import Board, Calibrator
from edge.errors import BundleError
from edge.watch import Scored, Watch

if TYPE_CHECKING:
    from edge.bundle import Bundle
    from edge.config import StationConfig
    from edge.manifest import Manifest
    from firmware_bridge.reading import Reading

NEVER_MS = 2**62
MAX_LAYOUTS = 16
"""Layouts remembered: a node that changes more often costs time, not memory."""
UNUSABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""What a damaged state, or one of another version, makes `restore` raise."""


class Station:
    """The watch over one slope. Without a bundle it calibrates and publishes, in NO-DATA."""

    def __init__(
        self,
        config: StationConfig,
        bundle: Bundle | str,
        board: Board,
        shared: frozenset[str],
    ) -> None:
        self.name = config.name
        self.config = config
        self.channels = tuple(channel.name for channel in config.channels)
        self.ports = frozenset(channel.port for channel in config.channels)
        self.rejected: dict[tuple[str, str], int] = {}
        self.unarmed = bundle if isinstance(bundle, str) else ""
        label, self.watch = "none", None
        if not isinstance(bundle, str):
            check_schema(config, bundle.manifest)
            label, self.watch = bundle.manifest.label, Watch(config, bundle, self.rejected)
        self.alarm = Alarm(config.name, config.alarm, label)
        self._board, self._shared = board, shared
        self._calibrators: dict[tuple[str, tuple[str, ...]], Calibrator] = {}
        self._heard: dict[str, int] = {}
        self._since_ms: int | None = None
        self._begun = False
        self.due_ms = 0
        """Nothing can fall silent before this: a lower bound, so that readings need not look."""

    def receive(
        self, reading: Reading, *, rebased: bool
    ) -> tuple[list[float], list[Scored], list[AlarmChange]]:
        """Take one reading: its calibrated values, and the grid steps and changes it leads to."""
        values = self.calibrate(reading)
        now_ms = reading.received_ms
        if self.watch is None:
            return values, [], []
        if not self._begun:  # known to a replay too, other than when the gateway was started
            self._begun, self._since_ms = True, now_ms
        scored, changes = [], []
        late = self.watch.grid.late
        if rebased:
            self.watch.plausible.reset()
        judged = self.watch.plausible.apply(reading.time_ms, values)
        observations = self.watch.observe(reading.time_ms, judged, rebased=rebased)
        if self.watch.grid.late == late:  # what comes too late for the models is not heard
            heard = self._heard
            for name, value in zip(self.channels, judged, strict=True):
                if value == value:  # not NaN
                    heard[name] = now_ms
        for observation in observations:
            step = self.watch.score(observation)
            scored.append(step)
            changes += self._decide(step, now_ms)
        if self.alarm.silent:
            changes += self._returned(now_ms)
        return values, scored, changes

    def calibrate(self, reading: Reading) -> list[float]:
        """Return engineering values in the order of ``channels``, NaN for missing."""
        return self._calibrator(reading).apply(reading.values, reading.time_ms)

    def _calibrator(self, reading: Reading) -> Calibrator:
        """Return the calibrator of a layout; a node that sends a new layout gets a new one."""
        key = (reading.source, reading.channels)
        found = self._calibrators.get(key)
        if found is None:
            plans = tuple(
                channel.plan
                if channel.port == reading.source
                else replace(channel.plan, column="\0")  # it comes from another port
                for channel in self.config.channels
            )
            found = Calibrator(self.name, plans, reading.channels, self._board, self._shared)
            found.rejected = self.rejected
            if len(self._calibrators) >= MAX_LAYOUTS:
                self._calibrators.clear()
            self._calibrators[key] = found
        return found

    def _decide(self, step: Scored, now_ms: int) -> list[AlarmChange]:
        if step.observation.reset:
            self.alarm.restart_clocks()
        for score in step.scores:
            if score.armed:
                self._heard["score " + score.kind] = now_ms
        returned = self._returned(now_ms) if step.scores and self.alarm.silent else []
        change = self.alarm.update(step.observation.time_ms, now_ms, step.scores)
        return returned if change is None else [*returned, change]

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for what has fallen silent, in the order and at the times it was due.

        However often this is called, the same changes come of it: replay agrees with the field.
        """
        if now_ms <= self.due_ms:
            return []
        if self._since_ms is None:
            self._since_ms = now_ms
        if self.watch is None:
            self.due_ms = NEVER_MS
            why = f"not armed: {self.unarmed}"
            change = self.alarm.silence(now_ms, ("models",), no_data=True, why=why)
            return [] if change is None else [change]
        silent = set(self.alarm.silent)
        dues = {name: due for name, due in self._dues().items() if name not in silent}
        found = []
        for due in sorted({due for due in dues.values() if due < now_ms}):
            silent.update(name for name in dues if dues[name] == due)
            found += self._silence(due, silent)
        self.due_ms = min((due for due in dues.values() if due >= now_ms), default=now_ms)
        return found

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        self._heard = {name: at + delta_ms for name, at in self._heard.items()}
        if self._since_ms is not None:
            self._since_ms += delta_ms
            self.due_ms += delta_ms

    def _dues(self) -> dict[str, int]:
        """Return when each armed score and model channel falls silent if nothing more comes."""
        assert self.watch is not None
        start = self._since_ms or 0
        limit = self.config.no_data_after_ms
        expected = (*self.watch.armed_kinds, *self.watch.channels)
        return {name: self._heard.get(name, start) + limit for name in expected}

    def _returned(self, now_ms: int) -> list[AlarmChange]:
        """Look whether something that was silent reports again."""
        limit = self.config.no_data_after_ms
        silent = {
            name
            for name in self.alarm.silent
            if name not in self._heard or self._heard[name] + limit < now_ms
        }
        self.due_ms = 0
        return self._silence(now_ms, silent)

    def _silence(self, at_ms: int, names: set[str]) -> list[AlarmChange]:
        assert self.watch is not None
        kinds = self.watch.armed_kinds
        silent = tuple(sorted(names))
        no_data = all(kind in names for kind in kinds)
        limit_s = self.config.no_data_after_ms / 1000
        late = ", ".join(name for name in silent if name in self._heard)
        never = ", ".join(name for name in silent if name not in self._heard)
        parts = [f"nothing for {limit_s:g} s from {late}"] if late else []
        if never:  # a model that warms up does not watch yet, and that has to be said
            parts.append(f"not heard yet, {limit_s:g} s after the start: {never}")
        why = "; ".join(parts)
        change = self.alarm.silence(at_ms, silent, no_data=no_data, why=why)
        return [] if change is None else [change]

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values; how long each was silent is as of ``now_ms``."""
        since = now_ms if self._since_ms is None else self._since_ms
        return {
            "silence": {
                "ages_ms": {name: now_ms - at for name, at in self._heard.items()},
                "begun": self._begun,
                "since_ms": now_ms - since,
            },
            "bundle": None if self.watch is None else self.watch.identity,
            "alarm": self.alarm.snapshot(),
            "watch": None if self.watch is None else self.watch.snapshot(),
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; another bundle keeps the alarm and warms its models anew.

        The time between does not count as silence, but what was before it does: a gateway that
        starts over and over must not put a NO-DATA off for ever.

        Raises one of UNUSABLE, unchanged, where not even the alarm can be restored.
        """
        self.alarm.restore(state["alarm"])
        self._since_ms, self.due_ms = now_ms, 0
        if self.watch is None:
            return []
        why = "bundle changed"
        if state.get("bundle") == self.watch.identity:
            blank = self.watch.snapshot()
            try:
                self.watch.restore(state["watch"])
                self._restore_silence(state["silence"], now_ms)
            except UNUSABLE as error:
                self.watch.restore(blank)
                why = f"the saved state cannot be used ({error!r})"
            else:
                return []
        self.alarm.forget_scores()
        if self.alarm.no_data:  # silent until its scores are heard, and then that is told
            self.alarm.silent = tuple(sorted(self.watch.armed_kinds))
        return [f"{self.name}: {why}, models warm up anew; the alarm level is kept"]

    def _restore_silence(self, state: dict[str, Any], now_ms: int) -> None:
        since_ms = now_ms - int(state["since_ms"])
        begun = bool(state["begun"])
        self._heard = {name: now_ms - int(age) for name, age in state["ages_ms"].items()}
        self._since_ms, self._begun = since_ms, begun


def check_schema(config: StationConfig, manifest: Manifest) -> None:
    """Raise BundleError unless the station has every channel of the bundle, in its unit."""
    by_name = {channel.name: channel for channel in config.channels}
    wrong = []
    for spec in manifest.channels:
        channel = by_name.get(spec.name)
        if channel is None:
            wrong.append(f"channel {spec.name!r} ({spec.unit}) is not configured")
        elif channel.unit != spec.unit:
            wrong.append(f"channel {spec.name!r} is in {channel.unit}, trained in {spec.unit}")
        elif channel.aggregate != spec.aggregate:
            wrong.append(
                f"channel {spec.name!r} aggregates by {channel.aggregate}, "
                f"trained with {spec.aggregate}"
            )
    if config.step_ms and config.step_ms != manifest.step_ms:
        wrong.append(f"step_s is {config.step_ms / 1000:g}, trained at {manifest.step_ms / 1000:g}")
    if wrong:
        msg = f"station {config.name!r} does not fit bundle {manifest.label}: " + "; ".join(wrong)
        raise BundleError(msg)
