"""From the outbox to the broker: QoS 1, a message is done when its PUBACK has come.

paho's network thread only puts what happened on a queue; the loop takes it from there.
"""

from __future__ import annotations

import queue
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import TalusError
from edge.message import ALARM, to_json

if TYPE_CHECKING:
    from pathlib import Path

    from edge.outbox import Outbox
    from edge.parse_mqtt import MqttConfig

WINDOW = 64
"""Messages on the air at most: they wait in memory for their PUBACK."""
MAX_AIR_BYTES = 64 * 1024
"""Bytes on the air beyond which only alarms are sent: on a slow link these stand before them."""
MAX_UNDELETED = 16 * WINDOW
"""Acknowledged messages that the disk does not let go: beyond these only alarms are sent."""
RETRY_MIN_S = 1
RETRY_MAX_S = 10


@dataclass(frozen=True, slots=True)
class RelayHealth:
    """How the way to the broker stands."""

    connected: bool
    reason: str
    connections: int
    published: int
    on_the_air: int


def make_client(config: MqttConfig, folder: Path, client_id: str) -> mqtt.Client:
    """Return a client with the credentials of the configuration. Raises TalusError."""
    try:
        config.host.encode("idna")
    except UnicodeError as error:
        raise TalusError(f"mqtt.host: {config.host!r} is not a host name: {error}") from error
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    if config.username:
        client.username_pw_set(config.username, _password(config, folder))
    if config.ca_file:
        try:
            client.tls_set(
                ca_certs=str(folder / config.ca_file),
                certfile=str(folder / config.cert_file) if config.cert_file else None,
                keyfile=str(folder / config.key_file) if config.key_file else None,
            )
        except (OSError, ValueError) as error:
            named = [f for f in (config.ca_file, config.cert_file, config.key_file) if f]
            absent = ", ".join(str(folder / f) for f in named if not (folder / f).is_file())
            what = f"no such file: {absent}" if absent else f"cannot be used: {error}"
            msg = f"mqtt.ca_file, cert_file, key_file: {what}"
            raise TalusError(msg) from error
    return client


def _password(config: MqttConfig, folder: Path) -> str | None:
    if not config.password_file:
        return None
    path = folder / config.password_file
    try:
        if path.stat().st_mode & 0o077:
            raise TalusError(f"mqtt.password_file: {path} can be read by others; chmod 600 {path}")
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise TalusError(f"mqtt.password_file: {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise TalusError(f"mqtt.password_file: {path}: not UTF-8 text") from None


class Relay:
    """The MQTT side of one gateway."""

    def __init__(self, config: MqttConfig, folder: Path, gateway: str, outbox: Outbox) -> None:
        self._config = config
        self._outbox = outbox
        self._gateway = gateway
        self._status_topic = f"{config.topic}/{gateway}/status"
        self._events: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._flying: dict[int, tuple[int, int]] = {}  # mid -> id in the outbox, bytes
        self._air_bytes = 0
        self._undeleted: set[int] = set()
        self._connected = False
        self._reason = "not connected yet"
        self._connections = 0
        self.published_messages = 0
        self.published_rows = 0
        self.log: list[str] = []
        self._client = make_client(config, folder, f"talus-{gateway}")
        self._client.will_set(self._status_topic, self._status(online=False), qos=1, retain=True)
        self._client.reconnect_delay_set(RETRY_MIN_S, RETRY_MAX_S)
        self._client.max_queued_messages_set(2 * WINDOW)
        self._client.on_connect = lambda *a: self._events.put(("connected", a[3]))
        # paho calls this while it handles the error, and does not pass it on.
        self._client.on_connect_fail = lambda *_: self._events.put(("failed", sys.exception()))
        self._client.on_disconnect = lambda *a: self._events.put(("disconnected", a[3]))
        self._client.on_publish = lambda *a: self._events.put(("acknowledged", a[2]))

    def start(self) -> None:
        """Begin to connect, in the background and for as long as it takes."""
        self._client.connect_async(self._config.host, self._config.port, self._config.keepalive_s)
        self._client.loop_start()

    def pump(self) -> int:
        """Take what happened and send what may go; returns how many messages are on the air."""
        acknowledged: list[int] = []
        while True:
            try:
                kind, value = self._events.get_nowait()
            except queue.Empty:
                break
            if kind == "acknowledged":
                stored, size = self._flying.pop(value, (0, 0))
                self._air_bytes -= size
                if stored:
                    acknowledged.append(stored)
            else:
                self._note(kind, value)
        if acknowledged:
            self.published_messages += len(acknowledged)
            self._undeleted.update(acknowledged)
        while self._undeleted:
            some = sorted(self._undeleted)[:WINDOW]  # few at once, as a full disk has little room
            rows = self._outbox.done(some)
            if rows is None:
                break
            self.published_rows += rows
            self._undeleted.difference_update(some)
        if self._connected and len(self._flying) < WINDOW // 2:
            self._send()
        return len(self._flying)

    def _send(self) -> None:
        out = frozenset(each for each, _ in self._flying.values()) | self._undeleted
        room = max(1, MAX_AIR_BYTES - self._air_bytes)
        for stored in self._outbox.waiting(WINDOW - len(self._flying), out, room):
            m = stored.message
            full = self._air_bytes >= MAX_AIR_BYTES or len(self._undeleted) >= MAX_UNDELETED
            if m.priority != ALARM and full:
                return
            info = self._client.publish(m.topic, m.payload, qos=1, retain=m.retain)
            if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
                return
            self._flying[info.mid] = (stored.id, len(m.payload))
            self._air_bytes += len(m.payload)

    def _note(self, kind: str, value: Any) -> None:
        was = self._connected, self._reason
        if kind == "connected":
            failed = value.is_failure
            self._connected = not failed
            self._reason = f"refused by the broker: {value}" if failed else ""
            self._connections += not failed
            if not failed:
                online = self._status(online=True)
                self._client.publish(self._status_topic, online, qos=1, retain=True)
        else:
            self._connected = False
            where = f"{self._config.host}:{self._config.port}"
            if kind == "failed":
                self._reason = f"no connection to {where}: {value}"
            elif not self._reason.startswith("refused"):
                self._reason = f"lost the connection to {where}: {value}"
        if was != (self._connected, self._reason):
            self.log.append(f"broker: {self._reason or 'connected'}")

    def _status(self, *, online: bool) -> bytes:
        return to_json({"format": 1, "gateway": self._gateway, "online": online})

    def health(self) -> RelayHealth:
        """Give the state of the connection."""
        return RelayHealth(
            self._connected,
            self._reason,
            self._connections,
            self.published_messages,
            len(self._flying),
        )

    def drain(self, wait_s: float) -> None:
        """Send what may still go within this time; what is not acknowledged stays."""
        end = time.monotonic() + wait_s
        while self._connected and time.monotonic() < end:
            if not self.pump() and not self._outbox.messages:
                break
            time.sleep(0.005)

    def stop(self, wait_s: float = 1.0) -> None:
        """Say offline, and leave: where the broker does not take it, the last will says it."""
        self.drain(wait_s)
        said = False
        if self._connected:
            text = self._status(online=False)
            offline = self._client.publish(self._status_topic, text, qos=1, retain=True)
            with suppress(RuntimeError, ValueError):  # the connection went in the same moment
                offline.wait_for_publish(wait_s)
                said = offline.is_published()
        self.pump()
        if said or not self._connected:
            self._client.disconnect()
        elif isinstance(found := self._client.socket(), socket.socket):
            with suppress(OSError):  # no DISCONNECT: the broker would forget the will
                found.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()
