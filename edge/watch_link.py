"""A subscriber for people and scripts: connects, connects again, and takes what comes."""

from __future__ import annotations

import json
import select
import time
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.errors import TalusError
from edge.mqtt_reasons import clean, error_words, plain
from edge.relay import make_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.parse_mqtt import MqttConfig

MAX_UNPACKED = 16 * 1024 * 1024
SESSION_S = 7 * 86_400
"""How long a broker keeps what comes for a durable session that is away."""
_PAUSE_S, _MAX_PAUSE_S = 0.5, 15.0
_CONNECT_S = 10.0
_CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message. ``retained``: it stood there before we asked."""

    topic: str
    payload: bytes
    retained: bool
    mid: int
    qos: int

    def values(self) -> Any:
        """Return what it holds: JSON as its values, another text as it is, bytes as null."""
        payload = unpacked(self.payload)
        try:
            return json.loads(payload)
        except (ValueError, RecursionError):
            pass
        try:
            return payload.decode("utf-8")
        except UnicodeDecodeError:
            return None


def unpacked(payload: bytes) -> bytes:
    """Undo `telemetry_encoding = "zlib"`; anything else as it is."""
    if payload[:1] != b"\x78":
        return payload
    try:
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(payload, MAX_UNPACKED)
    except zlib.error:
        return payload
    return data if unpacking.eof else payload


class Subscriber:
    """Hears topics. With a ``client_id`` of its own the broker keeps its session (MQTT 5)."""

    def __init__(
        self, config: MqttConfig, folder: Path, topics: list[str], client_id: str = ""
    ) -> None:
        self._config = replace(config, protocol="5") if client_id else config
        self._folder = folder
        self._topics = topics
        self._client_id = client_id
        self._place = 0
        self._pause_s = _PAUSE_S
        self._client = self._make()
        self._inbox: list[Arrival] = []
        self._due_s = 0.0
        self._begun_s: float | None = None
        self.connected = False
        self.was_connected = False
        self.refused = False
        """The broker said no: another try would get the same answer."""
        self.reason = "not connected yet"

    @property
    def where(self) -> str:
        """Which broker it is at, or trying."""
        return self._config.brokers[self._place].where

    def _make(self) -> Any:
        broker = self._config.brokers[self._place]
        client = make_client(self._config, self._folder, self._client_id, broker)
        client.manual_ack_set(True)
        client.connect_timeout = _CONNECT_S / 2
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_disconnect = lambda *a: self._lost(plain(a[3]))
        client.on_subscribe = self._on_subscribe
        return client

    def _on_connect(self, *args: Any) -> None:
        reason = args[3]
        if reason.is_failure:
            self.refused, self.reason = True, f"refused by the broker: {plain(reason)}"
            return
        self.connected = self.was_connected = True
        self.reason, self._pause_s = "", _PAUSE_S
        self._client.subscribe([(topic, 1) for topic in self._topics])

    def _on_subscribe(self, *args: Any) -> None:
        wrong = [code for code in args[3] if code.is_failure]
        if wrong:
            self.refused = True
            self.reason = f"the broker refuses the subscription: {plain(wrong[0])}"

    def _on_message(self, *args: Any) -> None:
        message = args[2]
        try:
            topic = clean(message.topic)
        except UnicodeDecodeError:
            topic = ""
        self._inbox.append(
            Arrival(topic, bytes(message.payload), bool(message.retain), message.mid, message.qos)
        )

    def _lost(self, words: str) -> None:
        self.connected = False
        if not self.refused:
            self.reason = f"no connection to {self.where}: {words}"

    def turn(self, wait_s: float) -> list[Arrival]:
        """Go on for a while; gives what came, each to be told `done` before the next turn."""
        try:
            self._turn(wait_s)
        except Exception as error:  # whatever a peer makes paho raise: connect anew
            self._drop(error_words(error))
        arrivals, self._inbox = self._inbox, []
        return arrivals

    def done(self, arrival: Arrival) -> None:
        """Acknowledge a message; one that is not comes again, where the session is kept."""
        if self.connected and arrival.qos:
            self._client.ack(arrival.mid, arrival.qos)

    def _turn(self, wait_s: float) -> None:
        client, now_s = self._client, time.monotonic()
        sock = client.socket()
        if sock is None:
            if now_s >= self._due_s:
                self._connect()
            else:
                time.sleep(min(wait_s, self._due_s - now_s))
            return
        if not self.connected and self._begun_s is not None and now_s - self._begun_s > _CONNECT_S:
            raise TimeoutError("no answer in time: is this an MQTT broker?")
        pending = getattr(sock, "pending", None)
        waits = 0 if pending is not None and pending() else wait_s
        writing = [sock] if client.want_write() else []
        readable, writable, _ = select.select([sock], writing, [], waits)
        if readable or not waits:
            client.loop_read()
        if writable:
            client.loop_write()
        client.loop_misc()
        if client.socket() is None:
            self._drop("")

    def _connect(self) -> None:
        self._begun_s = time.monotonic()
        broker, config = self._config.brokers[self._place], self._config
        properties, more = None, {}
        if config.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_S if self._client_id else 0
            more = {"clean_start": not self._client_id}
        self._client.connect(
            broker.host, broker.port, config.keepalive_s, properties=properties, **more
        )

    def _drop(self, words: str) -> None:
        """Begin anew after a pause, at the next broker where there are several."""
        if words:
            self._lost(words)
        self.connected = False
        self._inbox.clear()  # not acknowledged: a durable session gets it again
        self._place = (self._place + 1) % len(self._config.brokers)
        self._due_s = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _MAX_PAUSE_S)
        try:
            self._client = self._make()
        except TalusError as error:  # a file that has gone meanwhile
            self.reason = str(error)

    def close(self) -> None:
        """Say goodbye, once the broker has read what was acknowledged.

        To close while something unread has come resets the connection, and with it what the
        broker has not read: an answer to a question of no consequence shows that it has.
        """
        client = self._client
        client.on_disconnect = None
        try:
            if self.connected and self._client_id:
                answered: list[bool] = []
                client.on_unsubscribe = lambda *_: answered.append(True)
                client.unsubscribe("talus/nothing")
                self._until(lambda: bool(answered))
            client.disconnect()
            self._until(lambda: client.socket() is None)
        except Exception:  # noqa: S110 - it is over either way
            pass

    def _until(self, what: Callable[[], bool]) -> None:
        end_s = time.monotonic() + _CLOSE_S
        while not what() and (sock := self._client.socket()) and time.monotonic() < end_s:
            select.select([sock], [], [], 0.05)
            self._client.loop_read()
            if self._client.want_write():
                self._client.loop_write()
