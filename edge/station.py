"""One watched slope: calibration, quality, silence and alarm around what watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.alarm import MODELS, Alarm, AlarmChange
from edge.bundle_fit import check_schema
from edge.in_order import InOrder, Row
from edge.layouts import Layouts
from edge.qc import QualityControl
from edge.qc_plan import qc_channels
from edge.qc_repeat import ROWS
from edge.ruling import Ruling
from edge.silence import Silence
from edge.trial import Trial, go_on
from edge.watch import Scored, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.bundle import Bundle
    from edge.calibration import Board
    from edge.calibrator import Calibrator
    from edge.config import StationConfig
    from edge.flags import Flag, Flagged
    from edge.grid import Observation
    from edge.score import Score, Scores
    from firmware_bridge.reading import Reading

UNUSABLE = (ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)
"""What a damaged state, or one of another version, makes `restore` raise."""


class Station:
    """The watch over one slope, by its rules and by the models of a bundle, either or both.

    Without any it calibrates and publishes, in NO-DATA.
    """

    def __init__(
        self, config: StationConfig, bundle: Bundle | str, board: Board, shared: frozenset[str],
        rows_kept: int = ROWS,
    ) -> None:  # fmt: skip
        self.name = config.name
        self.config = config
        self.channels = tuple(channel.name for channel in config.channels)
        self.ports = frozenset(channel.port for channel in config.channels)
        self.rejected: dict[tuple[str, str], int] = {}
        self.unarmed = bundle if isinstance(bundle, str) else ""
        label, self.watch = "none", None
        if not isinstance(bundle, str):
            check_schema(config, bundle.manifest)
            label, self.watch = bundle.manifest.label, Watch(config, bundle)
        self.rules = Ruling(config, self.watch) if config.decision.rules else None
        self.alarm = Alarm(config.name, config.alarm, label, config.decision.latch_level)
        if self.rules is not None:
            self.alarm.standing = self.rules.decider.standing
        limits = None if self.watch is None else self.watch.jump_limits
        self._rows_kept = rows_kept
        self.quality = QualityControl(qc_channels(config, limits), self.rejected, rows_kept)
        self._watch_acceleration()
        self.flags: tuple[Flagged, ...] = ()
        """Of the last reading, or of what had waited for it."""
        self.order = InOrder(config.lateness_ms)
        self._layouts = Layouts(config, board, shared, self.rejected)
        kinds = () if self.watch is None else self.watch.armed_kinds
        needed = () if self.rules is None else self.rules.decider.needed
        used = () if self.watch is None else self.watch.channels
        lacks = self.unarmed and config.bundle and self.rules is not None
        self.silence = Silence(
            config, self.alarm, expected=tuple(dict.fromkeys((*kinds, *used, *needed))),
            armed=(*kinds, *(() if self.rules is None else self.rules.decider.moving)),
            kinds=kinds, lacking=frozenset({MODELS}) if lacks else frozenset(),
            unarmed=self.unarmed, watches=self.watch is not None or self.rules is not None,
        )  # fmt: skip
        self.alarm.ages = lambda now_ms: self.silence.ages(self.channels, now_ms)
        self.trial: Trial | None = None  # a bundle that is tried beside what watches

    @property
    def due_ms(self) -> int:
        """Nothing can fall silent before this."""
        return self.silence.due_ms

    def receive(
        self, reading: Reading, *, rebased: bool
    ) -> tuple[list[float], list[Scored], list[AlarmChange]]:
        """Take one reading: its calibrated values, and the grid steps and changes it leads to."""
        calibrator, now_ms = self._layouts.of(reading), reading.received_ms
        values = calibrator.apply(reading.values, reading.time_ms)
        if self.watch is not None or self.rules is not None:
            self.silence.begin(now_ms)
        self.flags = ()
        scored: list[Scored] = []
        changes: list[AlarmChange] = []
        if rebased:
            for source, row in self.order.let_go():
                found = list(row.values)
                self._take(source, row.time_ms, found, row.told, scored, changes, now_ms)
            self.quality.reset()
        given = calibrator.missing(values) if sum(values) != sum(values) else ()
        source, at_ms = reading.source, reading.time_ms
        if not self.order.waits:
            self._take(source, at_ms, values, given, scored, changes, now_ms, rebased=rebased)
            return values, scored, changes
        going = self.order.past(at_ms)
        taken = self.order.take(source, Row(at_ms, tuple(values), tuple(given)))
        for port, row in (*going, *((source, each) for each in taken)):
            found = list(row.values)
            self._take(port, row.time_ms, found, row.told, scored, changes, now_ms, rebased=rebased)
        return values, scored, changes

    def _take(
        self, source: str, time_ms: int, values: list[float], told: Sequence[tuple[int, Flag]],
        scored: list[Scored], changes: list[AlarmChange], now_ms: int, *, rebased: bool = False,
    ) -> None:  # fmt: skip
        """Judge one row whose turn it is, and decide by it; append what comes of it."""
        judged, flags = self.quality.apply(time_ms, values, source, told)
        self.flags += flags
        if self.quality.notes:
            changes += self._notes(now_ms)
        if self.watch is None and self.rules is None and self.trial is None:
            return
        in_time = False
        if self.watch is not None:
            late = self.watch.grid.late
            for observation in self.watch.observe(time_ms, judged, rebased=rebased):
                step = self.watch.score(observation)
                scored.append(step)
                changes += self._decide(step, now_ms)
            in_time = self.watch.grid.late == late
        if self.rules is not None and self.rules.grid is not None:
            late = self.rules.grid.late
            for observation in self.rules.observe(time_ms, judged, rebased=rebased):
                changes += self._rule(observation, (), now_ms)
            in_time = in_time or self.rules.grid.late == late
        if self.trial is not None:
            self.trial.take(time_ms, judged, scored, self.alarm.ruled, rebased=rebased)
        if in_time:  # what comes too late is not heard
            self.silence.hear_values(self.channels, judged, now_ms)
        if self.alarm.silent:
            changes += self.silence.returned(now_ms)

    def calibrate(self, reading: Reading) -> list[float]:
        """Return engineering values in the order of ``channels``, NaN for missing."""
        return self.calibrator(reading).apply(reading.values, reading.time_ms)

    def calibrator(self, reading: Reading) -> Calibrator:
        """Return the calibrator of a layout."""
        return self._layouts.of(reading)

    def _notes(self, now_ms: int) -> list[AlarmChange]:
        """Tell what quality control has to say, once each."""
        return [self.alarm.note(now_ms, note) for note in self.quality.drain()]

    def _watch_acceleration(self) -> None:
        """Let no step be taken out of what is known to accelerate, and spikes out of movement."""
        movement = None if self.rules is None else self.rules.decider.movement
        if self.rules is None or movement is None:
            self.quality.jumps.moving = lambda _: False
            return
        self.quality.jumps.undone = self.rules.decider.undo
        stage = next(s for s in movement.series() if s.kind == "stage")
        places = {name: i for i, name in enumerate(stage.channels)}
        self.quality.jumps.moving = lambda name: name in places and stage.values[places[name]] >= 1

    def rezero(self, channel: str, at_ms: int, now_ms: int) -> list[AlarmChange]:
        """Take what a channel reads from then on for where it was. ValueError: no such channel."""
        by = self.quality.rezero(channel, at_ms)
        if by and self.rules is not None:  # it has been seen as movement: what comes now is less
            self.rules.decider.shift(channel, -by)
        return self._notes(now_ms)

    def refuse_time(self, port: str, reason: str) -> None:
        """Take that a reading was refused for its time."""
        self.quality.refuse_time()
        key = f"port {port}", reason
        self.rejected[key] = self.rejected.get(key, 0) + 1

    def _decide(self, step: Scored, now_ms: int) -> list[AlarmChange]:
        if step.observation.reset:
            self.alarm.restart_clocks()
        self.silence.hear_scores(step.scores, now_ms)
        found = self.silence.returned(now_ms) if self.alarm.silent and step.scores else []
        change = self.alarm.update(step.observation.time_ms, now_ms, step.scores)
        if change is not None:
            found.append(change)
        if self.rules is not None and self.rules.grid is None:
            found += self._rule(step.observation, step.scores, now_ms)
        return found

    def _rule(
        self, observation: Observation, scores: Scores | tuple[Score, ...], now_ms: int
    ) -> list[AlarmChange]:
        """Let the rules look at one grid step."""
        assert self.rules is not None
        engine = self.rules.decider.engine
        found = self.alarm.expire(now_ms) if self.alarm.shelved else []
        engine.shelved = frozenset(self.alarm.shelved)
        level = self.rules.step(observation, scores, self.alarm.level)
        change = self.alarm.rule(observation.time_ms, now_ms, level)
        return found if change is None else [*found, change]

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for what has fallen silent, in the order and at the times it was due."""
        return self.silence.tick(now_ms)

    def maintain(self, port: str, maintained: set[str], now_ms: int) -> AlarmChange:
        """Take that maintenance of a port begins or ends; `maintained`: all that are in it now."""
        names = self.silence.maintain(maintained & self.ports, now_ms)
        return self.alarm.maintain(now_ms, port, names, begun=port in self.silence.maintained)

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        self.silence.shift(delta_ms)

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values; how long each was silent is as of ``now_ms``."""
        return {
            "silence": self.silence.snapshot(now_ms),
            "bundle": None if self.watch is None else self.watch.identity,
            "alarm": self.alarm.snapshot(),
            "watch": None if self.watch is None else self.watch.snapshot(),
            "rules": None if self.rules is None else self.rules.snapshot(),
            "quality": self.quality.snapshot(),
            "order": self.order.snapshot(),
            "trial": None if self.trial is None else self.trial.snapshot(),
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; another bundle keeps the alarm and warms its models anew.

        The time between does not count as silence, but what was before it does: a gateway that
        starts over and over must not put a NO-DATA off for ever.

        Raises one of UNUSABLE, unchanged, where not even the alarm can be restored.
        """
        self.alarm.restore(state["alarm"])
        self.silence.restart(now_ms)
        notes = self._restore_rules(state, now_ms)
        if self.trial is not None:
            self.trial.restore(state.get("trial"))
        if self.watch is None:
            return notes
        why = "bundle changed"
        if state.get("bundle") == self.watch.identity:
            blank = self.watch.snapshot()
            try:
                self.watch.restore(state["watch"])
                self.silence.restore(state["silence"], now_ms)
            except UNUSABLE as error:
                self.watch.restore(blank)
                why = f"the saved state cannot be used ({error!r})"
            else:
                return notes
        kinds, needed = (
            self.watch.armed_kinds,
            () if self.rules is None else self.rules.decider.needed,
        )
        silent = set(self.alarm.silent) & {*kinds, *self.watch.channels, *needed}
        self.alarm.forget_scores()
        if self.alarm.no_data:  # silent until its scores are heard, and then that is told
            silent.update(kinds)
        self.alarm.silent = tuple(sorted(silent))
        models = "go on" if go_on(self.watch, state.get("trial")) else "warm up anew"
        return [*notes, f"{self.name}: {why}, models {models}; the alarm level is kept"]

    def _restore_rules(self, state: dict[str, Any], now_ms: int) -> list[str]:
        notes = []
        try:
            self.quality.restore(state["quality"])
            self.order.restore(state.get("order", {}))  # older programs kept none
        except UNUSABLE as error:
            limits = None if self.watch is None else self.watch.jump_limits
            channels = qc_channels(self.config, limits)
            self.quality = QualityControl(channels, self.rejected, self._rows_kept)
            self._watch_acceleration()
            notes.append(f"{self.name}: the saved quality state cannot be used ({error!r})")
        if self.rules is None:
            self.alarm.ruled = 0
            return notes
        try:
            self.rules.restore(state["rules"])
            if self.watch is None:
                self.silence.restore(state["silence"], now_ms)
        except UNUSABLE as error:
            self.rules = Ruling(self.config, self.watch)
            self._watch_acceleration()
            self.alarm.standing = self.rules.decider.standing
            self.rules.hold(self.alarm.ruled)
            notes.append(f"{self.name}: the saved state of the rules cannot be used ({error!r})")
        return notes
