"""The driver for GNSS receivers: NMEA 0183 and UBX on one line, position to displacement in mm.

NMEA is guarded by eight bits only: one damaged sentence in some hundreds passes. Prefer UBX.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

from firmware_bridge.gnss_clock import ReceiverClock
from firmware_bridge.gnss_epoch import Epoch, GnssValue, epoch_of, key_of, partner_type
from firmware_bridge.gnss_plan import DISPLACEMENT, GnssFormat
from firmware_bridge.gnss_stream import BadBytes, GnssStream
from firmware_bridge.messages import Malformed
from firmware_bridge.nmea import DAY_MS, Gst, Rmc, Sentence, decode_sentence
from firmware_bridge.reading import Dropped, LinkHealth, Reading
from firmware_bridge.ubx import (
    ACK_ACK,
    ACK_NAK,
    CFG_VALSET,
    NAV_HPPOSLLH,
    NAV_PVT,
    NAV_RELPOSNED,
    WEEK_MS,
    Pvt,
    UbxMessage,
    UtcTime,
    configuration,
    decode_message,
)

SILENCE_MS = 500
"""So long without a byte, and the frame that has begun never ends."""
PARTNER_MS = 1000
"""So long an epoch waits for the message that completes it."""
CONFIGURE_TRIES = 3
CONFIGURE_MS = 1000
PLAUSIBLE_MS = DAY_MS
"""A receiver's time that is further from arrival (1980, or 1024 weeks off) is not believed."""

__all__ = ["GnssDriver", "GnssFormat"]

_ROWS: dict[str, tuple[int, int] | str] = {
    "relposned": NAV_RELPOSNED,
    "hpposllh": NAV_HPPOSLLH,
    "pvt": NAV_PVT,
    "gga": "GGA",
}
_Found = list[Reading | Dropped]


class GnssDriver:
    """One receiver on one port; see `reading.Driver`.

    One message type gives readings (``format.source``); others complete them: NAV-PVT gives
    NAV-HPPOSLLH its fix quality, and satellites to it and NAV-RELPOSNED; GST gives GGA its
    accuracy; NAV-PVT, NAV-TIMEUTC and, for GGA, RMC give the date. It writes nothing unless
    ``format.configure``.
    """

    def __init__(self, source: str, format: GnssFormat) -> None:
        self.source = source
        self._format = format
        self._partner_type = partner_type(format)
        self._stream = GnssStream()
        self._clock = ReceiverClock(DAY_MS if format.source == "gga" else WEEK_MS)
        self._partner: Pvt | Gst | None = None
        self._waiting: Epoch | None = None
        self._byte_ms = 0  # when the last byte came
        self._tries_left = 0
        self._asked_ms: int | None = None
        self._frames_ok = self._duplicates = 0
        self._dropped: Counter[str] = Counter()
        self._rejected: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()

    def opened(self, now_ms: int) -> None:
        """Forget the half frame; configure anew, where that is wanted."""
        self._stream.reset()
        self._byte_ms = now_ms
        self._asked_ms = None
        self._tries_left = CONFIGURE_TRIES if self._format.configure else 0

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set."""
        self._clock.shift(step_ms)
        self._byte_ms += step_ms
        if self._waiting is not None:
            self._waiting = replace(self._waiting, received_ms=self._waiting.received_ms + step_ms)
        if self._asked_ms is not None:
            self._asked_ms += step_ms

    def due_ms(self, now_ms: int) -> int | None:
        """Say when silence settles what is held, or the configuration is to be sent again."""
        due = []
        if self._stream.unsettled:
            due.append(_due_ms(self._byte_ms, SILENCE_MS, now_ms))
        if self._waiting is not None:
            due.append(_due_ms(self._waiting.received_ms, PARTNER_MS, now_ms))
        if self._tries_left:
            due.append(_due_ms(self._asked_ms, CONFIGURE_MS, now_ms))
        return min(due, default=None)

    def write_next(self, now_ms: int) -> bytes:
        """Give nothing, or the configuration until it is acknowledged or was sent thrice."""
        if not self._tries_left or _due_ms(self._asked_ms, CONFIGURE_MS, now_ms) > now_ms:
            return b""
        self._tries_left -= 1
        self._asked_ms = now_ms
        return configuration(self._format.source)

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all, none to let a deadline pass; never raises."""
        items = self._stream.receive(data)
        if data:
            self._byte_ms = now_ms
        elif self._stream.unsettled and _due_ms(self._byte_ms, SILENCE_MS, now_ms) <= now_ms:
            items += self._stream.give_up()
        found: _Found = []
        for item in items:
            if isinstance(item, BadBytes):
                found.append(self._drop(item.reason, item.detail, now_ms, item.size))
            else:
                self._frames_ok += 1
                self._take(item, now_ms, found)
        if (
            self._waiting is not None
            and _due_ms(self._waiting.received_ms, PARTNER_MS, now_ms) <= now_ms
        ):
            found += self._settled()
        return found

    def _take(self, item: UbxMessage | Sentence, now_ms: int, found: _Found) -> None:
        value: GnssValue | Malformed | None
        kind: tuple[int, int] | str
        if isinstance(item, Sentence):
            kind, value = item.type, decode_sentence(item)
        elif item.kind in (ACK_ACK, ACK_NAK) and item.payload == bytes(CFG_VALSET):
            self._tries_left = 0
            if item.kind == ACK_NAK:
                what = "the receiver refuses its configuration"
                found.append(self._drop("message", what, now_ms, item.size))
            return
        else:
            kind, value = item.kind, decode_message(item)
        if isinstance(value, Malformed):
            reason = "format" if kind == _ROWS[self._format.source] else "message"
            found.append(self._drop(reason, value.detail, now_ms, item.size))
        elif value is None or not self._use(value, item.size, now_ms, found):
            self._ignored["type"] += 1

    def _use(self, value: GnssValue, size: int, now_ms: int, found: _Found) -> bool:
        """Take a value for all it is good for; False if for nothing."""
        used = self._note_time(value, now_ms)
        if isinstance(value, Pvt | Gst) and type(value) is self._partner_type:
            used = True
            self._partner = value
            if self._waiting is not None and self._waiting.key_ms == key_of(value):
                found += self._settled()
        epoch = epoch_of(value, self._format, size, now_ms)
        if epoch is None:
            return used
        if epoch.key_ms is not None and self._clock.is_old(epoch.key_ms):
            self._duplicates += 1
            what = f"epoch {epoch.key_ms} ms came before, or a later one"
            found.append(self._drop("duplicate", what, now_ms, size))
            return True
        found += self._settled()
        self._waiting = epoch
        partner = self._partner
        if (
            self._partner_type is None
            or epoch.key_ms is None
            or (partner is not None and key_of(partner) == epoch.key_ms)
        ):
            found += self._settled()
        return True

    def _note_time(self, value: GnssValue, now_ms: int) -> bool:
        by_day = self._format.source == "gga"
        if not isinstance(value, Pvt | UtcTime | Rmc):
            return False
        if isinstance(value, Rmc) and not by_day:
            return False  # leap seconds lie between its time and the time of week
        if value.utc_ms is not None:
            key_ms = value.utc_ms % DAY_MS
            if not by_day and not isinstance(value, Rmc):
                key_ms = value.tow_ms
            self._clock.note(key_ms, value.utc_ms, now_ms)
        return True

    def _settled(self) -> _Found:
        """Give the epoch that waits, if one does, as complete as it is."""
        epoch, self._waiting = self._waiting, None
        if epoch is None:
            return []
        partner = self._partner
        if partner is not None and epoch.key_ms is not None and key_of(partner) == epoch.key_ms:
            epoch = epoch.completed(partner)
        names, values = self._format.channels, epoch.values(self._format)
        if all(map(math.isnan, values)):
            what = f"fix quality {epoch.quality}, accuracy {epoch.accuracy_mm:g} mm: not believed"
            return [self._drop("empty", what, epoch.received_ms, epoch.size)]
        for name, value in zip(names, values, strict=True):
            if math.isnan(value):
                self._rejected["invalid" if name in DISPLACEMENT else "missing"] += 1
        time_ms = self._time_ms(epoch)
        return [Reading(self.source, time_ms, -1, names, values, epoch.received_ms)]

    def _time_ms(self, epoch: Epoch) -> int:
        time_ms = self._clock.time_ms(epoch.key_ms, epoch.received_ms)
        if time_ms is None:
            self._ignored["undated"] += 1
        elif abs(time_ms - epoch.received_ms) > PLAUSIBLE_MS:
            self._ignored["time"] += 1
        else:
            return time_ms
        return epoch.received_ms

    def _drop(self, reason: str, detail: str, now_ms: int, size: int) -> Dropped:
        self._dropped[reason] += 1
        return Dropped(self.source, reason, detail, now_ms, size)

    def health(self) -> LinkHealth:
        """Give the counters so far.

        ``ignored``: "type" messages that are not read here; readings that have the time of arrival
        as the receiver told no date ("undated") or one that is more than a day off ("time").
        """
        return LinkHealth(
            source=self.source,
            frames_ok=self._frames_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted(self._rejected.items())),
            gaps=0,  # its epochs have a time and no number
            duplicates=self._duplicates,
            reboots=0,
            battery_mv=None,
            node_uid=None,
            firmware=None,
            ignored=tuple(sorted(self._ignored.items())),
        )


def _due_ms(since_ms: int | None, wait_ms: int, now_ms: int) -> int:
    """Give when a wait is over; now, if our clock was set back in it."""
    if since_ms is None or now_ms < since_ms:
        return now_ms
    return since_ms + wait_ms
