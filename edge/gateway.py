"""The loop: serial ports in, pipeline, outbox, relay. One thread; paho has its own."""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import selectors
import time
from typing import IO, TYPE_CHECKING, Any

from edge.batch import Batch
from edge.bundles import open_bundles, signed_counters
from edge.counters import keep_counters
from edge.errors import TalusError
from edge.health import Accounts, Latency, health_values, link_values, signature_values
from edge.intake import Intake
from edge.message import HEALTH, Message, alarm_messages, to_json
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.recorder import Recorder
from edge.relay import Relay
from edge.station import UNUSABLE
from edge.trust import signature_text
from firmware_bridge.reading import ROW_REASONS, Dropped, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edge.alarm import AlarmChange
    from edge.config import Config
    from edge.pipeline import Outcome

log = logging.getLogger("talus")

POLL_MS = 50
"""The loop turns at least so often: ports reopen, silence is seen, acknowledgements are taken."""
CLOCK_STEP_MS = 2000
"""A wall clock that leaves the monotonic one by more was set (NTP after boot)."""
_LEAVE_S = 3.0
_STATE = "pipeline"


def _lock(folder: Path) -> IO[str]:
    """Hold the data folder, for as long as this process lives. Raises TalusError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    held = (folder / "lock").open("w", encoding="ascii")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        held.close()
        raise TalusError(f"gateway.data_dir: {folder} is in use by another talus run") from error
    return held


class Gateway:
    """One gateway. ``run`` returns when ``stop`` says so."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.started_s = time.monotonic()
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._prefix = f"{config.mqtt.topic}/{config.name}"
        self._lock = _lock(config.data_dir)
        self.outbox = Outbox(config.data_dir, config.outbox_max_bytes)
        self.carried_rows = self.outbox.rows
        bundles = open_bundles(config)
        self.pipeline = Pipeline(config, bundles)
        for name, bundle in bundles.items():
            if isinstance(bundle, str):
                log.error("station %s is NOT WATCHED: %s", name, bundle)
            else:
                for note in bundle.notes:
                    log.warning("station %s: passed over: %s", name, note)
                loaded = bundle.forecaster
                log.info("station %s: %s, %s: %s in %s, golden error %.3g", name,
                         bundle.manifest.label, signature_text(bundle.signer),
                         loaded.artifact.file, loaded.runtime, loaded.golden_error)  # fmt: skip
        for note in keep_counters(config.data_dir, signed_counters(bundles.values())):
            log.error("%s", note)
        self._signatures = {name: signature_values(found) for name, found in bundles.items()}
        self._restore()
        self.batch = Batch(self._prefix, config.name)
        self.accounts = Accounts()
        self.latency = Latency()
        self.alarms = 0
        self.relay = Relay(config.mqtt, config.folder, config.name, self.outbox)
        self._selector = selectors.DefaultSelector()
        self.intakes = [Intake(port, self._selector) for port in config.ports]
        self._recorder = Recorder(config.data_dir / config.capture if config.capture else None)
        self._due = dict.fromkeys(("telemetry", "health", "snapshot"), 0.0)

    def now_ms(self) -> int:
        """Return the time of day, ms since 1970; a step of the clock is passed on."""
        wall_ms = time.time() * 1000
        offset_ms = wall_ms - time.monotonic() * 1000
        step_ms = offset_ms - self._offset_ms
        if abs(step_ms) > CLOCK_STEP_MS:
            log.warning("the clock of this gateway was set by %.1f s", step_ms / 1000)
            self._shift(int(wall_ms), round(step_ms))
        self._offset_ms = offset_ms
        return int(wall_ms)

    def _shift(self, now_ms: int, step_ms: int) -> None:
        self._commit(self.pipeline.tick(now_ms - step_ms), ())  # what was due by the old clock
        self.pipeline.shift(step_ms)
        for intake in self.intakes:
            intake.driver.shift(step_ms)
        self._recorder.clock_set(now_ms, step_ms)

    def run(self, stop: Callable[[], bool]) -> None:
        """Serve until ``stop`` is true, then leave in order."""
        self.relay.start()
        # What stands now stays: the collector need not walk through it at every turn.
        gc.collect()
        gc.freeze()
        try:
            while not stop():
                self.turn()
        finally:
            self._close()

    def turn(self) -> None:
        """Go round once: read what is there, then do what is due."""
        # Few ports and a short wait: what is not readable now will be in the next turn.
        for key, _ in self._selector.select(self._wait_s()):
            self._receive(key.data)
        now_ms = self.now_ms()
        for intake in self.intakes:
            event = intake.poll(now_ms)
            if event:
                log.info("%s", event)
                if intake.state == "opened":
                    self._recorder.write(now_ms, intake.name, b"")
            items, done = intake.tick(now_ms)
            if done:
                self._recorder.tick(now_ms, intake.name)
            if items:
                self._take_items(intake, items, now_ms)
        self._commit(self.pipeline.tick(now_ms), ())
        if self.batch.full or self._is_due("telemetry", self.config.telemetry_every_ms):
            self._flush(now_ms)
        if self._is_due("health", self.config.health_every_ms):
            self.outbox.mend()
            self._put([self._health(now_ms)])
        if self._is_due("snapshot", self.config.snapshot_every_ms):
            self._put([], self._state())
        self.relay.pump()
        self._report()

    def _wait_s(self) -> float:
        longest_ms = 2 if self.relay.health().on_the_air else POLL_MS
        now_ms = int(time.time() * 1000)
        return min((i.wait_ms(now_ms, longest_ms) for i in self.intakes), default=longest_ms) / 1000

    def _is_due(self, what: str, every_ms: int) -> bool:
        now_s = time.monotonic()
        if now_s < self._due[what]:
            return False
        self._due[what] = now_s + every_ms / 1000
        return True

    def _receive(self, intake: Intake) -> None:
        data = intake.read()
        if not data:
            return
        began = time.perf_counter()
        now_ms = self.now_ms()
        self._recorder.write(now_ms, intake.name, data)
        readings = self._take_items(intake, intake.driver.receive(data, now_ms), now_ms)
        if readings:
            self.latency.add((time.perf_counter() - began) * 1e6 / readings)
        if intake.is_gibberish(len(data), readings):
            log.warning("port %s: bytes come, but no reading: baud, protocol, cable? (talus check)",
                        intake.name)  # fmt: skip

    def _take_items(self, intake: Intake, items: Iterable[Reading | Dropped], now_ms: int) -> int:
        """Take what a driver gave; returns how many readings."""
        readings = 0
        for item in items:
            if isinstance(item, Dropped):
                if item.reason in ROW_REASONS:
                    self.accounts.readings_in += 1
                    self.accounts.reject(item.reason)
                    log.debug("%s: %s: %s", item.source, item.reason, item.detail)
            else:
                readings += 1
                self.take(item)
                intake.latest_ms = now_ms
        return readings

    def take(self, reading: Reading) -> None:
        """Take one reading: score it, commit what changed, gather the rest."""
        outcome = self.pipeline.receive(reading)
        if not self.accounts.readings_in:
            took_s = time.monotonic() - self.started_s
            log.info("first reading processed %.3f s after start", took_s)
        self.accounts.readings_in += 1
        if outcome.reason:
            self.accounts.reject(outcome.reason)
            log.debug("%s: %s", reading.source, outcome.reason)
        else:
            self.batch.add(outcome)
        if outcome.changes:
            self._commit(outcome.changes, (outcome,))

    def _commit(self, changes: Iterable[AlarmChange], outcomes: tuple[Outcome, ...]) -> None:
        """Store alarm changes with the state that led to them, in one transaction."""
        forecasts = {
            scored.observation.station: scored.forecasts
            for outcome in outcomes
            for scored in outcome.scored
        }
        messages: list[Message] = []
        for change in changes:
            self.alarms += 1
            found = forecasts.get(change.station, ())
            messages += alarm_messages(change, self._prefix, self.config.name, found)
            log.warning("%s: level %d: %s", change.station, change.level, change.reason)
        if messages:
            self._put(messages, self._state())

    def _flush(self, now_ms: int) -> None:
        if self.batch.held:
            self._put(self.batch.flush(self.pipeline.stations, now_ms))

    def _put(self, messages: list[Message], state: dict[str, bytes] | None = None) -> None:
        if not self.outbox.put(messages, state):
            log.error("disk: %s", self.outbox.notes[-1] if self.outbox.notes else "full")

    def _state(self) -> dict[str, bytes]:
        return {_STATE: to_json(self.pipeline.snapshot())}

    def _restore(self) -> None:
        saved = self.outbox.load_state(_STATE)
        if saved is None:
            return
        try:
            notes = self.pipeline.restore(json.loads(saved), int(time.time() * 1000))
        except UNUSABLE as error:
            notes = [f"the saved state cannot be used ({error!r}); models warm up anew"]
        for note in notes:
            log.warning("restore: %s", note)

    def totals(self) -> dict[str, Any]:
        """Return the accounts: in + carried = published + rejected + waiting."""
        rejected = dict(self.accounts.rejected)
        for reason, rows in self.outbox.lost.items():
            rejected[reason] = rejected.get(reason, 0) + rows
        return {
            "readings_in": self.accounts.readings_in,
            "carried_over": self.carried_rows,
            "published": self.relay.published_rows,
            "rejected": rejected,
            "waiting": self.outbox.rows + self.batch.held,
            "alarms": self.alarms,
        }

    def _health(self, now_ms: int) -> Message:
        uptime_s = time.monotonic() - self.started_s
        values = health_values(
            self.config.name, now_ms, uptime_s, self.pipeline, self.outbox,
            self.relay.health(), self.totals(), self.latency,
        )  # fmt: skip
        values["ports"] = {
            i.name: link_values(i.driver.health(), i.state, i.latest_ms) for i in self.intakes
        }
        for name, signature in self._signatures.items():
            values["stations"][name] |= signature
        values["capture"] = self._recorder.state
        return Message(f"{self._prefix}/health", to_json(values), HEALTH, retain=True)

    def _report(self) -> None:
        for line in self.relay.log:
            log.info("%s", line)
        self.relay.log.clear()
        for line in self.outbox.notes:
            log.error("%s", line)
        self.outbox.notes.clear()

    def _close(self) -> None:
        now_ms = self.now_ms()
        for intake in self.intakes:
            intake.close()
        self._flush(now_ms)
        self.relay.drain(_LEAVE_S)
        self._put([self._health(now_ms)], self._state())
        self.relay.stop()
        self._report()
        self._recorder.close()
        self.outbox.close()
        self._selector.close()
        self._lock.close()
