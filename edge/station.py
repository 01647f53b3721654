"""One watched slope: calibration, quality, silence and alarm around what watches it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge import station_state
from edge.alarm import Alarm, AlarmChange
from edge.bundle_fit import check_schema
from edge.grid import MAX_OPEN
from edge.in_order import Row
from edge.layouts import Layouts
from edge.qc import QualityControl
from edge.qc_plan import qc_channels
from edge.qc_repeat import ROWS
from edge.ruling import Ruling, watch_acceleration
from edge.silence import silence_of
from edge.waiting import Waiting
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
    from edge.trial import Trial
    from firmware_bridge.reading import Reading


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
        self.rows_kept = rows_kept
        self.quality = QualityControl(qc_channels(config, limits), self.rejected, rows_kept)
        watch_acceleration(self.quality.jumps, self.rules)
        self.flags: tuple[Flagged, ...] = ()
        """Of the last reading, or of what had waited for it."""
        self.waiting = Waiting(self.channels, self._waits_ms())
        self._order = self.waiting.order
        self._waits = self._order.waits
        self.arrived_ms = 0
        """When the newest row that was judged came in."""
        self.since_ms = 0
        """When the state was restored: nothing is done as of before that."""
        self._layouts = Layouts(config, board, shared, self.rejected)
        self.silence = silence_of(config, self.alarm, self.watch, self.rules, self.unarmed)
        self.alarm.ages = lambda now_ms: self.silence.ages(self.channels, now_ms)
        self.trial: Trial | None = None  # a bundle that is tried beside what watches

    def _waits_ms(self) -> int:
        """How long rows wait for others: what the grid has given up meanwhile would come too late.

        It holds few steps open, so that a port that is dead does not keep others from being judged.
        """
        lateness_ms = self.config.lateness_ms
        if len(self.ports) < 2 or not lateness_ms:
            return lateness_ms
        step_ms = self.config.step_ms if self.watch is None else self.watch.step_ms
        return min(lateness_ms, (MAX_OPEN - 1) * step_ms)

    @property
    def due_ms(self) -> int:
        """Nothing can fall silent before this, or go on by itself."""
        waited_ms = self._waited_ms if self._waits else self._order.due_ms
        silent_ms = self.silence.due_ms
        return waited_ms if waited_ms < silent_ms else silent_ms

    @property
    def _waited_ms(self) -> int:
        """When the first row or grid step that waits has waited enough, if no more rows come."""
        due_ms = self._order.due_ms
        if self._waits:
            for each in self.watch, self.rules:
                if each is not None and each.grid is not None and each.grid.is_open:
                    due_ms = min(due_ms, self.arrived_ms + each.grid.due_in_ms)
        return due_ms

    def receive(
        self, reading: Reading, *, rebased: bool
    ) -> tuple[list[float], list[Scored], list[AlarmChange]]:
        """Take one reading: its calibrated values, and the grid steps and changes it leads to."""
        calibrator, now_ms = self._layouts.of(reading), reading.received_ms
        values = calibrator.apply(reading.values, reading.time_ms)
        if self.watch is not None or self.rules is not None:
            self.silence.begin(now_ms)
        self.flags, scored = self.waiting.told()
        changes: list[AlarmChange] = []
        source, at_ms = reading.source, reading.time_ms
        if rebased:
            self._go_on(self._order.let_go(), scored, changes, now_ms)
            self.quality.reset()
        given = calibrator.missing(values) if sum(values) != sum(values) else ()
        if not self._waits:
            self._take(source, at_ms, values, given, scored, changes, now_ms, now_ms,
                       rebased=rebased)  # fmt: skip
            return values, scored, changes
        row = Row(at_ms, tuple(values), tuple(given), now_ms)
        going = self._order.past(at_ms)
        taken = self._order.take(source, row)
        if not any(each is row for each in taken):
            self.silence.hear_waiting(self.channels, values, now_ms)
        going += [(source, each) for each in taken]
        self._go_on(going, scored, changes, now_ms, rebased=rebased)
        if self.alarm.silent:
            changes += self.silence.returned(now_ms)
        return values, scored, changes

    def _go_on(
        self, rows: list[tuple[str, Row]], scored: list[Scored], changes: list[AlarmChange],
        now_ms: int, *, rebased: bool = False,
    ) -> None:  # fmt: skip
        """Judge rows whose turn it is; they were heard when they came."""
        for port, row in rows:
            self._take(port, row.time_ms, list(row.values), row.told, scored, changes, now_ms,
                       row.received_ms, rebased=rebased)  # fmt: skip

    def _take(
        self, source: str, time_ms: int, values: list[float], told: Sequence[tuple[int, Flag]],
        scored: list[Scored], changes: list[AlarmChange], now_ms: int, arrived_ms: int, *,
        rebased: bool = False,
    ) -> None:  # fmt: skip
        """Judge one row whose turn it is, and decide by it; append what comes of it."""
        judged, flags = self.quality.apply(time_ms, values, source, told)
        self.flags += flags
        if self.quality.notes:
            changes += self._notes(now_ms)
        if self.watch is None and self.rules is None and self.trial is None:
            return
        in_time, steps, ruled = False, [], []
        if self.watch is not None:
            late = self.watch.grid.late
            steps = self.watch.observe(time_ms, judged, rebased=rebased)
            in_time = self.watch.grid.late == late
        if self.rules is not None and self.rules.grid is not None:
            late = self.rules.grid.late
            ruled = self.rules.observe(time_ms, judged, rebased=rebased)
            in_time = in_time or self.rules.grid.late == late
        if in_time:
            self.arrived_ms = arrived_ms if arrived_ms > self.arrived_ms else self.arrived_ms
        if steps or ruled:
            self._step(steps, ruled, scored, changes, now_ms)
        if self.trial is not None:
            self.trial.take(time_ms, judged, scored, self.alarm.ruled, rebased=rebased)
        if in_time:  # what comes too late is not heard
            self.silence.hear_values(self.channels, judged, arrived_ms)
        if self.alarm.silent:
            changes += self.silence.returned(now_ms)

    def _step(
        self, steps: list[Observation], ruled: list[Observation], scored: list[Scored],
        changes: list[AlarmChange], now_ms: int,
    ) -> None:  # fmt: skip
        """Let models, and rules on a grid of their own, look at grid steps."""
        for observation in steps:
            assert self.watch is not None
            scored.append(self.watch.score(observation))
            changes += _expecting(scored[-1], self._decide(scored[-1], now_ms))
        for observation in ruled:
            found = self._rule(observation, (), now_ms)
            changes += _expecting(scored[-1], found) if steps else found

    def _pass(self, scored: list[Scored], changes: list[AlarmChange], now_ms: int) -> None:
        """Let grid steps go whose time is over, though no later row has come to say so."""
        by_ms = now_ms - self.arrived_ms
        steps = [] if self.watch is None else self.watch.grid.passed(by_ms)
        own = None if self.rules is None else self.rules.grid
        self._step(steps, [] if own is None else own.passed(by_ms), scored, changes, now_ms)

    def calibrate(self, reading: Reading) -> list[float]:
        """Return engineering values in the order of ``channels``, NaN for missing."""
        return self.calibrator(reading).apply(reading.values, reading.time_ms)

    def calibrator(self, reading: Reading) -> Calibrator:
        """Return the calibrator of a layout."""
        return self._layouts.of(reading)

    def _notes(self, now_ms: int) -> list[AlarmChange]:
        """Tell what quality control has to say, once each."""
        return [self.alarm.note(now_ms, note) for note in self.quality.drain()]

    def rezero(self, channel: str, at_ms: int, now_ms: int) -> list[AlarmChange]:
        """Take what a channel reads from then on for where it was. ValueError: no such channel."""
        taken = self.quality.rezero(channel, at_ms)
        if taken.by:
            place = self.channels.index(channel)
            for each in (self.watch, self.rules):
                if each is not None and each.grid is not None:
                    each.grid.lessen(place, taken.by, taken.since_ms)
        if taken.by and self.rules is not None:  # it has been seen as movement
            self.rules.decider.take_back(channel, taken)
        return self._notes(now_ms)

    def refuse_time(self, port: str, reason: str) -> None:
        """Take that a reading was refused for its time."""
        self.quality.refuse_time()
        key = f"port {port}", reason
        self.rejected[key] = self.rejected.get(key, 0) + 1

    def _decide(self, step: Scored, now_ms: int) -> list[AlarmChange]:
        if step.observation.reset:
            self.alarm.restart_clocks()
        self.silence.hear_scores(step.scores, self.arrived_ms)
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
        """Look for silence, and judge what waited long enough: at its time, however one looks."""
        changes: list[AlarmChange] = []
        scored = self.waiting.scored
        while (due_ms := max(self._waited_ms, self.since_ms)) < now_ms:
            changes += self.silence.tick(due_ms)
            self.flags = self.waiting.flags
            self._go_on(self._order.overdue(due_ms), scored, changes, due_ms)
            self.waiting.flags = self.flags
            if self._waits:
                self._pass(scored, changes, due_ms)
        return changes + self.silence.tick(now_ms)

    def maintain(self, port: str, maintained: set[str], now_ms: int) -> AlarmChange:
        """Take that maintenance of a port begins or ends; `maintained`: all that are in it now."""
        names = self.silence.maintain(maintained & self.ports, now_ms)
        if self.rules is not None and port not in self.silence.maintained:
            mine = [c.name for c in self.config.channels if c.port == port]
            self.rules.decider.excuse(mine, now_ms)
        return self.alarm.maintain(now_ms, port, names, begun=port in self.silence.maintained)

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        self.silence.shift(delta_ms)
        self.arrived_ms += delta_ms if self.arrived_ms else 0
        self.since_ms += delta_ms
        self._order.shift(delta_ms)

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values; how long each was silent is as of ``now_ms``."""
        return station_state.snapshot(self, now_ms)

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; returns what could not be restored, in words.

        Raises one of UNUSABLE, unchanged, where not even the alarm can be restored.
        """
        return station_state.restore(self, state, now_ms)


def _expecting(step: Scored, changes: list[AlarmChange]) -> list[AlarmChange]:
    """Give each change with what was expected at the step that led to it."""
    if not changes:
        return changes
    forecasts = tuple(step.forecasts)
    return [replace(change, forecasts=forecasts) for change in changes]
