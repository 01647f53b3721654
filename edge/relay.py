"""From the outbox to the broker: QoS 1, a message is done when its PUBACK has come.

A connection has a thread of its own, which only puts what happened on a queue; the loop takes it
from there. Nothing is kept from one connection to the next but the outbox.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from edge.message import TELEMETRY
from edge.mqtt_air import MAX_AIR_BYTES, MAX_HELD, WINDOW, Air, Patience
from edge.mqtt_birth import Birth, RelayHealth
from edge.mqtt_client import make_client
from edge.mqtt_heard import Ear, refusals
from edge.mqtt_reasons import plain
from edge.mqtt_route import Route
from edge.mqtt_wrap import is_late, packet_bytes, wire_payload, wire_properties

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edge.mqtt_link import Event, Link
    from edge.outbox import Outbox, Stored
    from edge.parse_mqtt import MqttConfig
    from edge.wake import Wake

__all__ = ["MAX_AIR_BYTES", "MAX_HELD", "WINDOW", "Relay", "RelayHealth", "make_client"]

_LOOK_S = 0.5
_LAND_S = 2.0
"""Before a broker is left for a preferred one, what is on the air has so long to land."""


class Relay:
    """The MQTT side of one gateway. ``bundles``: what each station is watched by, for the birth."""

    def __init__(
        self,
        config: MqttConfig,
        folder: Path,
        gateway: str,
        outbox: Outbox,
        bundles: Mapping[str, str | None] | None = None,
    ) -> None:
        for broker in config.brokers:  # what is wrong in a file is wrong at the start
            make_client(config, folder, "", broker)
        self._config = config
        self._outbox = outbox
        self._birth = Birth(f"{config.topic}/{gateway}/status", gateway, bundles or {})
        will = (self._birth.topic, self._birth.payload(online=False))
        self._route = Route(config, folder, f"talus-{gateway}", will)
        self._air = Air()
        self._patience = Patience(config.keepalive_s)
        self._ear = Ear()
        self._link: Link | None = None
        self._reason = "not connected yet"
        self._connections = 0
        self._began_s = self._connected_s = time.monotonic()
        self._looked_s = 0.0
        self._leaving_s = 0.0
        self._parted = ""
        """What is said of the end that we make ourselves."""
        self.published_messages = 0
        self.published_rows = 0
        self.log: list[str] = []

    def renew(self, bundles: Mapping[str, str | None]) -> None:
        """Say what watches each station from now on."""
        self._birth.renew(bundles)
        if self._link is not None:
            self._birth.say(self._link, online=True)

    def subscribe(self, topic: str) -> None:
        """Hear what is published under a topic from the next connection on."""
        self._ear.topics.append(topic)

    def inbox(self) -> list[tuple[str, bytes]]:
        """Give what was published to this gateway since the last time: topic and payload."""
        return self._ear.take()

    def start(self) -> None:
        """Begin to connect, in the background and for as long as it takes."""
        self._route.start()
        self._route.turn(time.monotonic())

    def pump(self) -> int:
        """Take what happened and send what may go; returns how many messages are on the air."""
        now_s = time.monotonic()
        acknowledged = len(self._air.acknowledged)
        for event in self._route.turn(now_s):
            self._take(event, now_s)
        self.published_messages += len(self._air.acknowledged) - acknowledged
        self._delete()
        if now_s - self._looked_s >= _LOOK_S:
            self._look(now_s)
        link = self._link
        if link is not None and self._route.wanted_back is not None:
            self._go_back(link, now_s)
        elif link is not None and (self._outbox.messages or self._outbox.unsaved):
            self._send(link, now_s)
        air = self._air
        self._route.hurry(len(air) > 0 and not (air.room and air.takes(TELEMETRY)))
        return len(air)

    def _delete(self) -> None:
        """Let the outbox forget what was acknowledged."""
        while self._air.acknowledged:
            some = sorted(self._air.acknowledged)[:WINDOW]  # few at once: a full disk has no room
            rows = self._outbox.done(some)
            if rows is None:
                break
            self.published_rows += rows
            self._air.let_go(some)

    def _look(self, now_s: float) -> None:
        """Give a connection up that takes everything and answers nothing."""
        self._looked_s = now_s
        self._air.forgive(now_s)
        link = self._link
        flying = len(self._air) + self._birth.waits
        if link is not None and self._patience.over(flying, link.moving(), now_s):
            where, keepalive_s = link.broker.where, self._config.keepalive_s
            text = f"lost the connection to {where}: nothing was acknowledged for {keepalive_s} s"
            self._lose(text)
            self._route.cut(now_s)

    def _send(self, link: Link, now_s: float) -> None:
        """Send until the air is full: what is stored is larger than what is sent of it."""
        air, before = self._air, -1
        while air.room and before != len(air):
            before = len(air)
            self._send_some(link, now_s)

    def _send_some(self, link: Link, now_s: float) -> None:
        air = self._air
        for stored in self._outbox.waiting(air.room, air.out(), air.bytes_left):
            if not air.takes(stored.message.priority):
                return
            if air.max_packet_bytes and packet_bytes(stored.message) > air.max_packet_bytes:
                air.refuse(stored.id, "larger than the broker takes", now_s)
            elif not self._send_one(link, stored, now_s):
                return

    def _send_one(self, link: Link, stored: Stored, now_s: float) -> bool:
        """Send a message; whether the next one may be sent."""
        m = stored.message
        late = not m.retain and is_late(
            self._outbox.age_ms(stored),
            (now_s - self._connected_s) * 1000,
            (now_s - self._began_s) * 1000,
        )
        payload = wire_payload(m, self._config, replayed=late)
        properties = wire_properties(m, self._config, replayed=late)
        try:
            mid = link.publish(m.topic, payload, retain=m.retain, properties=properties)
        except ValueError as error:
            self._air.refuse(stored.id, str(error), now_s)
            return True
        if mid is None:
            return False
        self._air.sent(mid, stored.id, len(payload))
        return True

    def _take(self, event: Event, now_s: float) -> None:
        if event.kind == "acknowledged":
            self._landed(event, now_s)
        elif event.kind == "heard":
            self._ear.hear(event.value)
        elif event.kind == "subscribed":
            for code in refusals(event):
                self._refused("subscription", code)
        elif event.kind == "connected":
            self._connected(event, now_s)
        elif event.kind == "refused":
            self._say(f"refused by the broker: {plain(event.reason)}")
        else:
            self._ended(event)

    def _landed(self, event: Event, now_s: float) -> None:
        self._patience.answered()
        self._birth.answered(event.value)
        number = self._air.landed(event.value)
        if event.reason.is_failure:
            self._refused("message", event.reason)
            if number:
                self._air.refuse(number, plain(event.reason), now_s)
        elif number:
            self._air.acknowledged.add(number)
            if not self._air.refused:
                self._say("")

    def _refused(self, what: str, reason: Any) -> None:
        self._say(f"connected, but the broker refuses a {what}: {plain(reason)}")

    def _connected(self, event: Event, now_s: float) -> None:
        self._link, self._connected_s = event.link, now_s
        self._connections += 1
        given = event.value
        self._air.begin(
            getattr(given, "ReceiveMaximum", 0) or 0, getattr(given, "MaximumPacketSize", 0) or 0
        )
        self._patience.answered()
        self._birth.say(event.link, online=True)
        self._ear.subscribe(event.link)
        self._say("")

    def _ended(self, event: Event) -> None:
        link, words = event.link, event.value or "no answer in time: is this an MQTT broker?"
        if self._link is not None and self._parted:
            self._lose(self._parted)
        elif self._link is not None:
            self._lose(f"lost the connection to {link.broker.where}: {words}")
        elif not (link.was_connected or link.was_refused):  # else it is said already why
            self._say(f"no connection to {link.broker.where}: {words}")

    def _lose(self, text: str) -> None:
        self._link = None
        self._birth.forget()
        self._leaving_s = 0.0
        self._air.end()
        self._say(text)

    def _say(self, reason: str) -> None:
        if reason != self._reason:
            self._reason = reason
            self.log.append(f"broker: {reason or self._where()}")

    def _where(self) -> str:
        place, where = self._route.place, self._route.broker.where
        return f"connected to {where} (choice {place + 1})" if place else "connected"

    def _go_back(self, link: Link, now_s: float) -> None:
        """Leave for a preferred broker: nothing more is sent, and what flies may land."""
        if not self._leaving_s:
            self._leaving_s = now_s
            self.log.append("broker: a preferred one answers again; going back to it")
        if not self._air or now_s - self._leaving_s > _LAND_S:
            self._birth.say(link, online=False)
            self._route.leave(now_s)
            self._lose("on the way back to the preferred broker")

    @property
    def connected(self) -> bool:
        """Whether a broker takes what is sent now."""
        return self._link is not None

    @property
    def wake(self) -> Wake:
        """What to select on: readable when `pump` has something to take."""
        return self._route.wake

    @property
    def restless(self) -> bool:
        """Whether `pump` is to be called soon though nothing wakes the loop."""
        return self._link is None or self._route.wanted_back is not None or bool(self._ear)

    def health(self) -> RelayHealth:
        """Give the state of the connection."""
        return RelayHealth(
            self.connected, self._reason, self._connections, self.published_messages,
            len(self._air), self._route.broker.where, self._route.place,
            tuple(self._air.why_refused.items()), self._ear.dropped,
        )  # fmt: skip

    def drain(self, wait_s: float) -> None:
        """Send what may still go within this time; what is not acknowledged stays."""
        end = time.monotonic() + wait_s
        while self._link is not None and time.monotonic() < end:
            if not self.pump() and not self._outbox.messages:
                break
            time.sleep(0.005)

    def stop(self, wait_s: float = 1.0) -> None:
        """Say offline, and leave: where the broker does not take it, the last will says it."""
        self.drain(wait_s)
        self._route.stop()
        link = self._route.link
        if self._link is not None and link is self._link:
            self._birth.say(link, online=False)
            end = time.monotonic() + wait_s
            while self._birth.waits and time.monotonic() < end:
                self.pump()
                time.sleep(0.002)
            if self._link is not None and not self._birth.waits:
                self._parted = "left in order"
                link.leave()
                link.join(wait_s)
        self.pump()
        self._parted = self._parted or "left without a goodbye: the last will says offline"
        if self._route.link is not None:  # no DISCONNECT: the broker would forget the will
            self._route.cut(time.monotonic())
            self._route.link.join(wait_s)
        self.pump()
        self._route.wake.close()
