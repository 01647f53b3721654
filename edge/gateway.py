"""The loop: serial ports in, pipeline, desk. One thread; paho has its own."""

from __future__ import annotations

import logging
import selectors
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge.bundle_fallback import Armed, arm, give_way, revert
from edge.bundle_starts import Starts, counted
from edge.bundle_trial import Trials
from edge.bundles import signed_counters, told
from edge.config import INDEX
from edge.counters import keep_counters
from edge.desk import Desk
from edge.errors import TalusError
from edge.health import link_values
from edge.intake import POLL_MS, QUIET_MS, Intake, open_free
from edge.maintenance import Maintenance
from edge.order import OrderError, encode_order
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.recorder import Recorder
from edge.remote import Remote
from edge.settle import settle
from edge.spool import Spool, spool_path
from edge.wall_clock import WallClock
from edge.watchdog import Watchdog
from firmware_bridge.lock import hold
from firmware_bridge.reading import ROW_REASONS, Dropped, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from edge.config import Config
    from edge.order import Order

log = logging.getLogger("talus")

_SETTLE_S, _ONCE_MS = 1.0, float("inf")
"""Memory is put in order so long after a start: the first reading does not wait for it."""


class Gateway:
    """One gateway. ``run`` returns when ``stop`` says so."""

    @counted
    def __init__(self, config: Config) -> None:
        self._clock = WallClock()
        if not (lock := hold(config.data_dir)):
            raise TalusError(f"gateway.data_dir: {config.data_dir} is in use by another talus run")
        self._lock = lock
        outbox = Outbox(
            config.data_dir, config.outbox_max_bytes, config.outbox_max_days,
            spool=Spool(spool_path(config.data_dir)),
        )  # fmt: skip
        self._starts = Starts(config)
        if self._starts.blamed_armed:
            config = give_way(config, self._starts.fresh, self._starts.blamed_armed)
        self._selector = selectors.DefaultSelector()
        self._recorder = Recorder(config.data_dir / config.capture if config.capture else None)
        self.intakes = [Intake(each, self._selector, self._recorder) for each in config.ports]
        for event in open_free(self.intakes, config.data_dir):
            log.info("%s", event)
        self._armed = arm(config)
        self.config = config = self._armed.config
        opened = self._armed.opened
        self.pipeline = Pipeline(config, opened)
        self._trials = Trials(config, self.pipeline, self._starts.blamed_trial)
        for urgency, line in told(config, opened):
            log.log(urgency, "%s", line)
        served = [bundle for name, bundle in opened.items() if name not in self._starts.fresh]
        for note in keep_counters(config.data_dir, signed_counters(served)):
            log.error("%s", note)
        self.desk = Desk(config, self.pipeline, outbox, opened)
        self._selector.register(self.desk.relay.wake, selectors.EVENT_READ)
        self.maintenance = Maintenance(config.data_dir, {port.name for port in config.ports})
        self._orders = Remote(config, self.desk.relay, outbox, self._trials)
        self._watchdog = Watchdog(self.pipeline.stations.values(), config.data_dir)
        self._due = dict.fromkeys(("telemetry", "health", "snapshot"), 0.0)
        self._due["settle"] = time.monotonic() + _SETTLE_S
        self._looked_s = 0.0

    def now_ms(self) -> int:
        """Return the time of day, ms since 1970; a step of the clock is passed on."""
        now_ms, step_ms = self._clock.read()
        if step_ms:
            log.warning("the clock of this gateway was set by %.1f s", step_ms / 1000)
            self._shift(now_ms, step_ms)
        return now_ms

    def _shift(self, now_ms: int, step_ms: int) -> None:
        self.desk.commit(self.pipeline.tick(now_ms - step_ms))  # what was due by the old clock
        self.pipeline.shift(step_ms)
        self.desk.second.shift(step_ms)
        for intake in self.intakes:
            intake.driver.shift(step_ms)
        self._recorder.clock_set(now_ms, step_ms)

    @counted
    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` is true, then leave in order."""
        self.desk.start(self.now_ms())
        self._tell_fallback(self._armed)
        self._watchdog.ready()
        try:
            while not stop():
                self.turn()
                self._watchdog.look(self.intakes, self.desk.outbox, self._words)
                self._starts.excuse(self._watchdog.stalled)
            self._starts.stopped()
        finally:
            self._watchdog.stopping()
            self._close()

    def _tell_fallback(self, armed: Armed) -> None:
        """Tell of bundles that gave way to others, and let it stay so."""
        if not armed.gave_way:
            return
        now_ms = self.now_ms()
        self.desk.commit(
            replace(self.pipeline.stations[name].alarm.note(now_ms, words), kind="bundle")
            for name, words in armed.gave_way.items()
        )
        try:
            revert(armed)
        except OSError as error:
            log.error("%s: %s: the next start will try that bundle again", INDEX, error)

    def _try(self, now_ms: int) -> None:
        """Tell of trials that have ended, and let what has passed take over."""
        self._starts.look(self.pipeline.stations.values(), self._armed.opened)
        for ended in self._trials.look(now_ms):
            change = self.pipeline.stations[ended.station].alarm.note(now_ms, ended.text)
            self.desk.commit([replace(change, kind="bundle")])
            self._orders.tell_trial(ended, now_ms)
        taken = self._trials.take_over(self._armed.opened, now_ms)
        if taken is None:
            return
        self.config, self.pipeline = taken.config, taken.pipeline
        self._armed = Armed(taken.config, taken.opened, {})
        self._starts = Starts(taken.config)
        for each in (self.desk, self._orders):
            each.renew(taken)
        self._watchdog.renew(self.pipeline.stations.values())
        self.desk.commit(taken.told(now_ms))
        settle()

    def turn(self) -> None:
        """Go round once: read what is there, then do what is due."""
        # Few ports and a short wait: what is not readable now will be in the next turn.
        for key, _ in self._selector.select(self._wait_s()):
            if key.data is None:
                self.desk.relay.wake.clear()
            else:
                self._receive(key.data)
        now_ms = self.now_ms()
        restless = self._orders.busy or self.desk.relay.restless
        if time.monotonic() - self._looked_s >= (POLL_MS if restless else QUIET_MS) / 1000:
            self._look(now_ms)  # not with each of a thousand readings a second
        for intake in self.intakes:
            if event := intake.poll(now_ms):
                log.info("%s", event)
            items, done = intake.tick(now_ms)
            if done:
                self._recorder.tick(now_ms, intake.name)
            if items:
                self._take_items(intake, items, now_ms)
        self.desk.commit(self.pipeline.tick(now_ms))
        self._try(now_ms)
        self._keep(now_ms)
        self.desk.turn(now_ms, self._values)
        self.maintenance.tell(self.pipeline.stations, now_ms)  # a file: no alarm waits for it

    def _look(self, now_ms: int) -> None:
        """Look for what people want."""
        self._looked_s = time.monotonic()
        if self._is_due("settle", _ONCE_MS):
            settle()
        self._maintain(now_ms)
        for order in self._orders.look(now_ms):
            self._obey(order, now_ms)
        self._due.update(self._orders.hurried())

    def _keep(self, now_ms: int) -> None:
        """Store what is due."""
        desk = self.desk
        # Asked only while something waits: else a lone reading would wait for the next turn of it.
        if not desk.batch.empty and (
            desk.batch.full
            or self._is_due("telemetry", desk.gather_ms(self._orders.telemetry_every_ms))
        ):
            desk.flush(now_ms)
        if self._is_due("health", self.config.health_every_ms):
            desk.outbox.mend()
            desk.put([desk.health(now_ms, self._values)])
        if self._is_due("snapshot", self.config.snapshot_every_ms):
            self._watchdog.saved(taken=desk.put([], desk.state()))

    def _maintain(self, now_ms: int) -> None:
        """Let go of ports whose nodes are being updated, take them again, and say so."""
        for port, begun in self.maintenance.look(now_ms, self.pipeline.maintained):
            self._recorder.maintained(now_ms, port, begun=begun)
            changes = self.pipeline.maintain(port, begun=begun, now_ms=now_ms)
            self.desk.commit(changes)
            self.desk.batch.mention(change.station for change in changes)
            self.desk.flush(now_ms)
            self._due["health"] = 0.0  # it shows at once
        for intake in self.intakes:
            intake.hold(held=intake.name in self.pipeline.maintained)

    def _obey(self, order: Order, now_ms: int) -> None:
        """Do what a person says, and tell what came of it."""
        self.desk.commit(self.pipeline.tick(now_ms))  # whatever becomes of the order
        try:
            changes = self.pipeline.order(order, now_ms)
        except OrderError as error:
            self._orders.answer(order, now_ms, done=False, text=str(error))
            return
        self._recorder.ordered(now_ms, encode_order(order))
        self.desk.commit(changes)
        said = changes[-1].reason if changes else "taken; or it was done before"
        self._orders.answer(order, now_ms, done=True, text=said)

    def _wait_s(self) -> float:
        """Say how long to sleep: bytes, the relay's thread, or the first thing due end it."""
        now_ms = int(time.time() * 1000)
        waits = [i.wait_ms(now_ms) for i in self.intakes]
        longest_ms = POLL_MS if self._orders.busy else QUIET_MS
        wait_s = min(longest_ms, self.desk.wait_ms(), *waits) / 1000
        if not self.desk.batch.empty:
            wait_s = min(wait_s, self._due["telemetry"] - time.monotonic())
        return max(0.0, min(wait_s, self._watchdog.wait_s))

    def _is_due(self, what: str, every_ms: float) -> bool:
        now_s = time.monotonic()
        if now_s < self._due[what]:
            return False
        self._due[what] = now_s + every_ms / 1000
        return True

    def _receive(self, intake: Intake) -> None:
        data = intake.read()
        if not data:
            if intake.port.is_open:  # one that has vanished just now stalls nothing
                self._watchdog.read(intake.name, taken=False)
            return
        began = time.perf_counter()
        now_ms = self.now_ms()
        self._recorder.write(now_ms, intake.name, data)
        readings = self._take_items(intake, intake.driver.receive(data, now_ms), now_ms)
        self._watchdog.read(intake.name, taken=True)
        if readings:
            self.desk.latency.add((time.perf_counter() - began) * 1e6 / readings)
        if intake.is_gibberish(len(data), readings):
            log.warning("port %s: bytes come, but no reading: baud, protocol, cable? (talus check)",
                        intake.name)  # fmt: skip

    def _take_items(self, intake: Intake, items: Iterable[Reading | Dropped], now_ms: int) -> int:
        """Take what a driver gave; returns how many readings."""
        readings = 0
        for item in items:
            if isinstance(item, Dropped):
                if item.reason in ROW_REASONS:
                    self.desk.drop(item.source, item.reason, item.detail)
            else:
                readings += 1
                outcome = self.pipeline.receive(item)
                self.desk.take(outcome, item.source, item.received_ms)
                self._watchdog.took(outcome)
                intake.latest_ms = now_ms
        return readings

    def totals(self) -> dict[str, Any]:
        """Return the accounts: in + carried = published + rejected + waiting."""
        return self.desk.totals()

    def _values(self) -> dict[str, Any]:
        """Return what the loop has to say in the health message."""
        ports = {i.name: link_values(i.driver.health(), i.state, i.latest_ms) for i in self.intakes}
        remote = self._orders.values() | self._trials.values()
        return {"ports": ports, "capture": self._recorder.state, "remote": remote}

    def _words(self) -> str:
        """Say in a line how things stand, for `systemctl status`."""
        ports = sum(intake.port.is_open for intake in self.intakes)
        broker = "on" if self.desk.relay.health().connected else "away"
        waiting = f"{self.desk.outbox.messages} messages wait, broker {broker}"
        read = f"{self.desk.accounts.readings_in} readings"
        return f"{ports} of {len(self.intakes)} ports open, {read}, {waiting}"

    def _close(self) -> None:
        now_ms = self.now_ms()
        for intake in self.intakes:
            intake.close()
        self.desk.close(now_ms, self._values)
        for each in (self._recorder, self._selector, self._lock):
            each.close()
