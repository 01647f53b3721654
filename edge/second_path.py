"""Alarms that go another way while the broker is away: text messages, and outputs such as a siren.

The way to the broker is left alone: what went out here still goes there. Without a broker for
`after_ms`, what was taken since it went (or just before: it may not have left) takes each path
once, higher levels first. A broker that stays back ends that: what still waits has gone there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edge.message import to_json
from edge.second_choice import is_seen, is_sounded, is_texted
from edge.second_queue import HOUR_MS, Hour, Queue
from edge.second_text import more_text, notice_of, sms_text
from edge.second_told import Told

if TYPE_CHECKING:
    from pathlib import Path

    from edge.alarm import AlarmChange
    from edge.config import Config
    from edge.parse_second_path import OutputConfig, SmsConfig
    from edge.second_output import Output
    from edge.second_sms import SmsPort
    from edge.second_text import Notice
    from firmware_bridge.modem_steps import SmsResult

STATE = "second_path"
SETTLED_MS = 60_000
"""A broker that is back for so long has what waited for it."""
SMS_AGE_MS = 24 * HOUR_MS
OUTPUT_AGE_MS = HOUR_MS
"""After so long (and `after_ms`) an alarm is no news any more for a path that could not be had."""
MAX_DOUBTFUL = 3
"""Texts of which nobody knows whether they went, for one alarm and number."""
_RETRY_MS, _RETRY_MAX_MS = 15_000, 600_000
_OUTPUT_RETRY_MS = 5_000
_MORE = "more"


def _sms_port(config: SmsConfig, folder: Path) -> SmsPort:
    from edge.second_sms import SmsPort  # loaded where there is a modem, but then at the start

    return SmsPort(config, folder)


def _output(config: OutputConfig) -> Output:
    from edge.second_output import Output

    return Output(config)


class SecondPath:
    """The second path of one gateway; without a table [second_path] it does nothing."""

    def __init__(self, config: Config, saved: bytes | None, now_ms: int) -> None:
        self._config = config.second_path
        self._gateway = config.name
        self._recent_ms = config.mqtt.keepalive_s * 2000 + 10_000
        sms = self._config.sms
        self._sms = None if sms is None else _sms_port(sms, config.folder)
        numbers = () if sms is None else sms.numbers
        self._hours = {f"sms {n}": Hour(sms.max_per_hour if sms else 0) for n in numbers}
        self._outputs = {f"output {each.name}": _output(each) for each in self._config.outputs}
        self._queue = Queue()
        self._told = Told((*self._hours, *self._outputs))
        self._away_ms: int | None = None
        self._back_ms: int | None = None
        self._changed = False
        self.log: list[str] = []
        if saved is not None:
            self._restore(saved, now_ms)

    def take(self, change: AlarmChange) -> None:
        """Take what the operations room must hear of."""
        for path in self._told.paths if change.kind == "acknowledged" else ():
            self._changed |= self._queue.drop(path, lambda n: is_seen(n, change)) > 0
        paths = [*self._hours] if is_texted(change, self._config) else []
        paths += [path for path, o in self._outputs.items() if is_sounded(change, o.config)]
        if paths:
            notice = notice_of(change, change.received_ms)
            self._told.given_up("no room", self._queue.add(notice, paths))
            self._changed = True

    def look(self, now_ms: int, broker_connected: bool) -> bool:
        """Do what is due; whether `state` should be saved."""
        self._note_broker(now_ms, broker_connected)
        if self._sms is not None:
            results, said = self._sms.look(now_ms)
            self._say(said)
            for result in results:
                self._take_result(result, now_ms)
            if self.is_open(now_ms) and self._sms.modem.is_ready:
                self._text(now_ms)
        for path, output in self._outputs.items():
            self._sound(path, output, now_ms)
        if self._queue:
            self._tidy(now_ms)
        changed, self._changed = self._changed, False
        return changed

    def _note_broker(self, now_ms: int, connected: bool) -> None:
        if not connected:
            self._back_ms = None
            if self._away_ms is None:
                self._away_ms, self._changed = now_ms, self.is_configured
        elif self._back_ms is None:
            if self.is_open(now_ms):
                self._say("the broker is back: the second path is closed")
            self._back_ms, self._away_ms = now_ms, None

    @property
    def is_configured(self) -> bool:
        """Whether there is a second path."""
        return bool(self._hours or self._outputs)

    def is_open(self, now_ms: int) -> bool:
        """Whether the broker has been away for long enough."""
        return self._away_ms is not None and now_ms - self._away_ms >= self._config.after_ms

    def _text(self, now_ms: int) -> None:
        """Give the modem what is most urgent, whoever it is for."""
        found = [(n, path) for path in self._hours if (n := self._allowed(path, now_ms))]
        if found:
            notice, path = min(found, key=lambda each: each[0].rank)
            self._send(path, notice.id, sms_text(notice, self._gateway), now_ms)
            return
        for path, hour in self._hours.items():
            held_back = self._queue.next(path, now_ms)
            if held_back is not None and hour.may_say_more(now_ms):
                count = len(self._queue.waiting(path))
                self._send(path, _MORE, more_text(count, held_back, self._gateway), now_ms)
                return

    def _allowed(self, path: str, now_ms: int) -> Notice | None:
        hour = self._hours[path]
        return self._queue.next(path, now_ms, lambda n: hour.allows(n.urgency, now_ms))

    def _send(self, path: str, alarm_id: str, text: str, now_ms: int) -> None:
        from firmware_bridge.modem_steps import Sms

        assert self._sms is not None
        if self._sms.send(Sms(f"{path}\n{alarm_id}", path.removeprefix("sms "), text), now_ms):
            self._told.trying(path)

    def _take_result(self, result: SmsResult, now_ms: int) -> None:
        path, _, alarm_id = result.ref.partition("\n")
        hour, gone = self._hours[path], result.sent or result.doubtful
        self._changed = True
        if not result.sent:
            self._say(self._told.failed(path, alarm_id, result.reason, doubtful=result.doubtful))
        if alarm_id == _MORE:
            hour.more_said(now_ms, gone=gone)
            return
        if gone:
            hour.add(self._queue.urgency(alarm_id), now_ms)
        if result.sent:
            self._went(path, alarm_id, now_ms)
            return
        one = self._queue.tried(alarm_id, path)
        if one is not None:
            one.doubtful += result.doubtful
            one.failed += 1
            one.due_ms = now_ms + min(_RETRY_MS << min(one.failed - 1, 10), _RETRY_MAX_MS)
            if one.doubtful >= MAX_DOUBTFUL:
                self._give_up(path, alarm_id, "nobody knows whether it went, three times")

    def _went(self, path: str, alarm_id: str, now_ms: int) -> None:
        self._say(self._told.went(path, alarm_id, now_ms))
        self._queue.settle(alarm_id, path)
        self._changed = True

    def _give_up(self, path: str, alarm_id: str, why: str) -> None:
        self._queue.settle(alarm_id, path)
        self._told.given_up(why, 1, path)
        self._say(f"{self._told.name(path)}: {alarm_id} is given up: {why}")

    def _sound(self, path: str, output: Output, now_ms: int) -> None:
        """Run an output for the most urgent alarm; once it has, it has for all below that."""
        alarm_id = output.running
        ended = output.look(now_ms)
        if ended is not None and alarm_id is not None:
            self._ended(path, output, alarm_id, ended, now_ms)
        if output.running is None and (output.config.always or self.is_open(now_ms)):
            notice = self._queue.next(path, now_ms)
            if notice is not None:
                self._told.trying(path)
                wrong = output.start(notice, now_ms)
                if wrong:
                    self._ended(path, output, notice.id, wrong, now_ms)

    def _ended(self, path: str, output: Output, alarm_id: str, ended: str, now_ms: int) -> None:
        self._changed = True
        if not ended:
            urgency = self._queue.urgency(alarm_id)
            self._went(path, alarm_id, now_ms)
            for other in self._queue.waiting(path):
                if other.urgency <= urgency:
                    self._queue.settle(other.id, path)
            return
        self._say(self._told.failed(path, alarm_id, ended, doubtful=False))
        one = self._queue.tried(alarm_id, path)
        if one is not None:
            one.failed += 1
            one.due_ms = now_ms + _OUTPUT_RETRY_MS * one.failed
            if one.failed >= output.config.tries:
                self._give_up(path, alarm_id, f"{one.failed} tries failed")

    def _tidy(self, now_ms: int) -> None:
        """Let go of what has reached the broker, and of what is too old to be news."""
        back = self._back_ms is not None and now_ms - self._back_ms >= SETTLED_MS
        for path in self._told.paths:
            output = self._outputs.get(path)
            if back and not (output and output.config.always):
                self._queue.drop_before(path, now_ms - self._recent_ms)
            age_ms = self._config.after_ms + (OUTPUT_AGE_MS if output else SMS_AGE_MS)
            gone = self._queue.drop_before(path, now_ms - age_ms)
            self._told.given_up("too old", gone, path)

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `look` is to be called next, but for the usual turns of the loop."""
        return None if self._sms is None else self._sms.modem.due_ms(now_ms)

    def fileno(self) -> int | None:
        """Give what to select on; None while there is nothing to read."""
        return None if self._sms is None else self._sms.port.fileno()

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self._queue.shift(step_ms)
        if self._sms is not None:
            self._sms.modem.shift(step_ms)
        for hour in self._hours.values():
            hour.shift(step_ms)
        for output in self._outputs.values():
            output.shift(step_ms)
        self._away_ms = None if self._away_ms is None else self._away_ms + step_ms
        self._back_ms = None if self._back_ms is None else self._back_ms + step_ms

    def values(self, now_ms: int) -> dict[str, Any]:
        """Return the object ``second_path`` of the health message; numbers are not told whole."""
        values: dict[str, Any] = {
            "open": self.is_configured and self.is_open(now_ms),
            "away_s": None if self._away_ms is None else max(0, now_ms - self._away_ms) // 1000,
            **self._told.values({p: len(self._queue.waiting(p)) for p in self._told.paths}),
        }
        if self._sms is not None:
            values["modem"] = self._sms.values()
        return values

    def state(self) -> dict[str, bytes]:
        """Return what outlives this program, to be stored beside the outbox."""
        if not self.is_configured:
            return {}
        values = {
            "format": 1,
            "away_ms": self._away_ms,
            "queue": self._queue.snapshot(),
            "went": self._told.snapshot(),
            "hours": {path: hour.snapshot() for path, hour in self._hours.items()},
            "sms": None if self._sms is None else self._sms.snapshot(),
        }
        return {STATE: to_json(values)}

    def _restore(self, saved: bytes, now_ms: int) -> None:
        try:
            values = json.loads(saved)
            away_ms = values["away_ms"]
            for path, hour in self._hours.items():
                if path in values["hours"]:
                    hour.restore(values["hours"][path])
            if self._sms is not None and values["sms"] is not None:
                self._sms.restore(values["sms"])
            self._told.restore(values["went"])
            self._queue.restore(values["queue"], self._told.paths, now_ms)
            self._away_ms = None if away_ms is None else min(int(away_ms), now_ms)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._say(f"the saved state cannot be used ({error!r})")

    def _say(self, line: str) -> None:
        if line:
            self.log.append(f"second path: {line}")

    def close(self) -> None:
        """Close the port, and end what runs."""
        if self._sms is not None:
            self._sms.close()
        for output in self._outputs.values():
            output.close()
