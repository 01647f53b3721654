"""What leaves a gateway: alarms and the state that led to them, telemetry, health. Stored first."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from edge.batch import Batch
from edge.health import Accounts, Latency, account_values, health_values, signature_values
from edge.intake import POLL_MS, QUIET_MS
from edge.message import HEALTH, Message, alarm_messages, to_json
from edge.metrics import Metrics
from edge.outbox_alarm import outbox_alarms
from edge.outbox_held import AWAY_GATHER_MS, AWAY_HOLD_MS, HOLD_MS
from edge.publish import PUBLISHED, Publisher
from edge.relay import Relay
from edge.second_path import STATE as SECOND
from edge.second_path import SecondPath
from edge.spool_records import stamp
from edge.state_pieces import cut, join
from edge.station_state import UNUSABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from edge.alarm import AlarmChange
    from edge.bundle_taken import Taken
    from edge.bundles import Opened
    from edge.config import Config
    from edge.outbox import Outbox
    from edge.pipeline import Outcome, Pipeline

    More = Callable[[], Mapping[str, Any]]

log = logging.getLogger("talus")

LEAVE_S = 3.0
"""How long what waits may still be sent when the gateway stops."""
_PIPELINE = "pipeline"


class Desk:
    """The way out of one gateway; one thread, as the loop."""

    def __init__(
        self, config: Config, pipeline: Pipeline, outbox: Outbox, opened: Mapping[str, Opened]
    ) -> None:
        self._config = config
        self._pipeline = pipeline
        self._prefix = f"{config.mqtt.topic}/{config.name}"
        self._started_s = time.monotonic()
        self.outbox = outbox
        self._carried_rows = outbox.rows
        self._spool = outbox.spool
        self._forgotten = self._restore()
        self._signatures = {name: signature_values(found) for name, found in opened.items()}
        self.relay = Relay(config.mqtt, config.folder, config.name, outbox, _labels(opened))
        self.batch = Batch(self._prefix, config.name)
        self.publisher = Publisher(config, self._prefix, outbox.load_state(PUBLISHED))
        self.second = SecondPath(config, outbox.load_state(SECOND), time.time_ns() // 1_000_000)
        self.metrics = Metrics(config.metrics, config.folder)
        self._stamps = {name: stamp(s.channels) for name, s in pipeline.stations.items()}
        self.accounts = Accounts()
        self.latency = Latency()
        self.alarms = 0

    def _restore(self) -> list[str]:
        """Go on from the saved state; what of it was lost, in words."""
        try:
            saved = join(_PIPELINE, self.outbox.load_state)
            if saved is None:
                return []
            notes = self._pipeline.restore(saved, time.time_ns() // 1_000_000)
        except UNUSABLE as error:
            words = f"the saved state cannot be used ({error!r}); all warms up anew"
            notes = [f"{name}: {words}" for name in self._pipeline.stations]
        for note in notes:
            log.warning("restore: %s", note)
        return notes

    def renew(self, taken: Taken) -> None:
        """Take that other bundles watch, in another pipeline; what was gathered is of the old."""
        self.flush(taken.now_ms)
        self._config, self._pipeline = taken.config, taken.pipeline
        self._signatures = {name: signature_values(b) for name, b in taken.opened.items()}
        self.relay.renew(_labels(taken.opened))

    def start(self, now_ms: int) -> None:
        """Begin to connect, and say what this gateway has."""
        self._take_over(now_ms)
        self.relay.start()
        self.put(self.publisher.birth(self._pipeline.stations, now_ms), self.state())
        self.commit(  # rules that warm up anew see nothing for days: the room must know
            self._pipeline.stations[name].alarm.note(now_ms, words)
            for name, _, words in (note.partition(": ") for note in self._forgotten)
            if name in self._pipeline.stations
        )

    def _take_over(self, now_ms: int) -> None:
        """Go on with the rows over which an earlier run was killed."""
        left = self.outbox.spool.take_left()
        for row in left.rows:
            known = self._pipeline.stations.get(row[0])
            if known is not None and row[-1] == stamp(known.channels):
                self.batch.add_row(*row[:-1])
        self._carried_rows += self.batch.held
        if left.rows or left.messages:
            log.warning("taken over from a run that was killed: %d messages, %d of %d rows: those "
                        "of channels as they are configured now",
                        len(left.messages), self.batch.held, len(left.rows))  # fmt: skip
        self.flush(now_ms)
        self.outbox.flush()
        self._spool.begin()

    def take(self, outcome: Outcome, source: str, received_ms: int) -> None:
        """Take what became of one reading: commit what changed, gather the rest."""
        if not self.accounts.readings_in:
            took_s = time.monotonic() - self._started_s
            log.info("first reading processed %.3f s after start", took_s)
        self.accounts.readings_in += 1
        if outcome.reason:
            self.accounts.reject(outcome.reason)
            log.debug("%s: %s", source, outcome.reason)
        else:
            stamps = self._stamps
            self._spool.gathered([(*row, stamps[row[0]]) for row in self.batch.add(outcome)])
            self.publisher.add(outcome, received_ms)
        if outcome.changes:
            self.commit(outcome.changes)

    def drop(self, source: str, reason: str, detail: str) -> None:
        """Count a row that came and gave no reading."""
        self.accounts.readings_in += 1
        self.accounts.reject(reason)
        log.debug("%s: %s: %s", source, reason, detail)

    def commit(self, changes: Iterable[AlarmChange]) -> None:
        """Store alarm changes with the state that led to them, in one transaction."""
        messages: list[Message] = []
        for change in changes:
            self.alarms += 1
            messages += alarm_messages(change, self._prefix, self._config.name)
            messages += self.publisher.alarm(change)
            self.second.take(change)
            log.warning("%s: level %d: %s", change.station, change.level, change.reason)
        if messages:
            self.put(messages, self.state())

    def flush(self, now_ms: int) -> None:
        """Store what was gathered."""
        if not self.batch.empty:
            gathered = self.batch.flush(self._pipeline.stations, now_ms)
            self.put([*gathered, *self.publisher.flush(now_ms)])
            self._spool.rows_out()

    def gather_ms(self, every_ms: int) -> int:
        """Say how long rows are gathered now, if ``every_ms`` is asked for."""
        return every_ms if self.relay.connected else max(every_ms, AWAY_GATHER_MS)

    def put(self, messages: list[Message], state: dict[str, bytes] | None = None) -> bool:
        """Store messages and state; whether the disk took all.

        What was gathered so far outlives a kill meanwhile: the row that raised an alarm, too.
        """
        self._spool.commit()
        if not (messages or state) or self.outbox.put(messages, state):
            return True
        log.error("disk: %s", self.outbox.notes[-1] if self.outbox.notes else "full")
        return False

    def state(self) -> dict[str, bytes]:
        """Return all that must outlive this program."""
        found = {}
        try:
            found = cut(_PIPELINE, self._pipeline.snapshot())
        except ValueError as error:  # no alarm may wait for a state that cannot be written
            log.error("state: %s: a restart would go on from the one before", error)
        return found | self.publisher.state() | self.second.state()

    def health(self, now_ms: int, more: More) -> Message:
        """Return the health message; ``more``: what the loop has to say."""
        uptime_s = time.monotonic() - self._started_s
        values = health_values(
            self._config.name, now_ms, uptime_s, self._pipeline, self.outbox,
            self.relay.health(), self.totals(), self.latency,
        )  # fmt: skip
        for name, signature in self._signatures.items():
            values["stations"][name] |= signature
        values |= more()
        values["disk"] = self.outbox.disk.values()
        values["second_path"] = self.second.values(now_ms)
        return Message(f"{self._prefix}/health", to_json(values), HEALTH, retain=True)

    def totals(self) -> dict[str, Any]:
        """Return the accounts: in + carried = published + rejected + waiting."""
        return account_values(self.accounts, self.outbox, self.relay.published_rows) | {
            "carried_over": self._carried_rows,
            "waiting": self.outbox.rows + self.batch.held,
            "alarms": self.alarms,
        }

    @property
    def _hold_ms(self) -> int:
        return HOLD_MS if self.relay.connected else AWAY_HOLD_MS

    def wait_ms(self) -> float:
        """Say how long the loop may sleep for all that leaves here."""
        restless = self.relay.restless or self.second.is_configured
        return min(POLL_MS if restless else QUIET_MS, self.outbox.wait_ms(self._hold_ms))

    def turn(self, now_ms: int, more: More) -> None:
        """Let go out what may, and tell the log."""
        told = outbox_alarms(self.outbox, self._prefix, self._config.name, now_ms)
        self.put(told)
        self._spool.commit()  # what is on the air must not come from here once more
        self.relay.pump()  # first: what is acknowledged by now need not be written
        self.outbox.settle(self._hold_ms)
        self._spool.commit()
        if self.second.look(now_ms, self.relay.connected):
            self.put([], self.second.state())
        self.metrics.look(now_ms, lambda: self.health(now_ms, more).payload)
        self._report()

    def _report(self) -> None:
        for lines, urgency in (
            (self.relay.log, logging.INFO), (self.outbox.notes, logging.ERROR),
            (self.publisher.notes, logging.WARNING), (self.second.log, logging.WARNING),
            (self.metrics.log, logging.WARNING),
        ):  # fmt: skip
            if lines:
                for line in lines:
                    log.log(urgency, "%s", line)
                lines.clear()

    def close(self, now_ms: int, more: More) -> None:
        """Send what still goes, store the rest, leave."""
        self.flush(now_ms)
        self.relay.drain(LEAVE_S)
        self.put([self.health(now_ms, more)], self.state())
        self.relay.stop()
        self._report()
        for each in (self.second, self.metrics, self.outbox):
            each.close()


def _labels(opened: Mapping[str, Opened]) -> dict[str, str | None]:
    return {n: None if isinstance(b, str) else b.manifest.label for n, b in opened.items()}
