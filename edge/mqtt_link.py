"""One connection to one broker, from its first packet to its end, in a thread of its own.

The thread only puts what happened on a queue. A connection is never mended: the next one is
another Link, and what was not acknowledged is sent again from the outbox.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.errors import TalusError
from edge.mqtt_client import MAX_PACKET_BYTES, Client, make_client
from edge.mqtt_reasons import clean, error_words, plain
from edge.mqtt_tls import certificate_words
from edge.wake import Wake

if TYPE_CHECKING:
    import queue
    from pathlib import Path

    from edge.parse_mqtt import Broker, MqttConfig

MAX_QUEUED = 256
"""Messages that paho holds at most."""
MAX_EVENTS = 10_000
"""Events that wait for the loop: a broker that sends more is one that floods."""
CONNECT_S = 10.0
"""The longest that a connection may take, from its first packet to the broker's answer."""
_LOOK_S = 0.25
SOON_S = 30.0
"""A connection that breaks off sooner than this may have been taken over."""
_KEEPALIVE = 0x8D
_BYTES_ACKED = 120
"""Where in struct tcp_info (Linux) the number of bytes stands that the other end has taken."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened on a connection: connected, refused, acknowledged, heard, or ended."""

    kind: str
    link: Link
    value: Any = None
    reason: Any = None


class Link:
    """A connection. ``will``: topic and payload that the broker publishes if it is lost."""

    def __init__(
        self,
        config: MqttConfig,
        folder: Path,
        client_id: str,
        broker: Broker,
        events: queue.SimpleQueue[Event],
        wake: Wake,
        will: tuple[str, bytes] | None = None,
    ) -> None:
        self.broker = broker
        self.was_connected = self.was_refused = False
        self._config = config
        self._folder = folder
        self._client_id = client_id
        self._events = events
        self._loop = wake
        self._will = will
        self._lost = ""
        self._connected_s = 0.0
        self._cut = False
        self._flooded = False
        self._looked_s, self._taken = 0.0, 0
        self._client: Client | None = None
        self._wake = Wake()
        self._at_socket = threading.Lock()
        """Held by whoever reads or writes: TLS bears no two at once."""
        self._thread = threading.Thread(target=self._live, daemon=True, name=f"mqtt-{broker.host}")

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def _live(self) -> None:
        words, error = "", None
        try:
            self._client = client = self._make()
            self._connect(client)
            while (sock := client.socket()) is not None and not self._cut:
                self._turn(client, sock)
            words = client.complaint or self._lost
        except TalusError as found:
            words = str(found)
        except Exception as found:  # whatever a peer makes paho raise ends this connection alone
            error = found
            words = error_words(found)
        if self._cut:
            words = ""  # whoever cut it knows why
        else:
            words = certificate_words(self.broker, self._folder, error, CONNECT_S / 2) or words
        self._close()
        self._events.put(Event("ended", self, words))
        self._loop.call()

    def _make(self) -> Client:
        """Return a client; files that were renewed in the meantime are read anew."""
        client = make_client(self._config, self._folder, self._client_id, self.broker)
        if self._will is not None:
            client.will_set(*self._will, qos=1, retain=True)
        client.max_inflight_messages_set(MAX_QUEUED)
        client.max_queued_messages_set(MAX_QUEUED)
        client.connect_timeout = CONNECT_S / 2
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = lambda *a: self._tell("acknowledged", a[2], a[3])
        client.on_message = lambda *a: self._tell("heard", a[2])
        client.on_subscribe = lambda *a: self._tell("subscribed", None, a[3])
        client.on_socket_register_write = lambda *_: None  # else paho writes without the lock
        return client

    def _connect(self, client: Client) -> None:
        # paho pings after a keepalive of silence and gives up after another: 1.5 in all.
        keepalive_s = max(1, self._config.keepalive_s * 3 // 4)
        properties = None
        if self._config.protocol == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = MAX_PACKET_BYTES
        client.connect(self.broker.host, self.broker.port, keepalive_s, properties=properties)

    def _turn(self, client: Client, sock: Any) -> None:
        """Wait for the socket and let paho read or write."""
        with self._at_socket:
            ready = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        writing = [sock] if client.want_write() else []
        read, write, _ = select.select([sock, self._wake], writing, [], 0 if ready else _LOOK_S)
        if self._wake in read:
            self._wake.clear()
        with self._at_socket:
            if sock in read or ready:
                client.loop_read()
            if client.socket() is not None and (write or client.want_write()):
                client.loop_write()
            self._look(client)
            client.loop_misc()
        if self._flooded or client.hoards():
            raise ConnectionAbortedError("the broker sends more than anybody asked for")

    def _look(self, client: Client) -> None:
        """See whether the other end goes on taking what waits to leave."""
        now_s = time.monotonic()
        if now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            waiting, taken = self.moving() or (0, 0)
            if waiting and taken != self._taken:
                client.touch()
            self._taken = taken

    def _on_connect(self, *args: Any) -> None:
        reason = args[3]
        self.was_connected, self.was_refused = not reason.is_failure, reason.is_failure
        self._connected_s = time.monotonic()
        kind = "refused" if reason.is_failure else "connected"
        self._tell(kind, args[4], reason)

    def _tell(self, kind: str, value: Any, reason: Any = None) -> None:
        if self._events.qsize() < MAX_EVENTS:
            self._events.put(Event(kind, self, value, reason))
        else:
            self._flooded = True
        if kind != "acknowledged" or self._loop.hurry:
            self._loop.call()

    def _on_disconnect(self, *args: Any) -> None:
        flags, reason = args[2], args[3]
        if flags.is_disconnect_packet_from_server:
            self._lost = f"closed by the broker: {plain(reason)}"
        elif reason.value == _KEEPALIVE:
            self._lost = "no answer to a ping"
        else:
            self._lost = self._broke_off()

    def _broke_off(self) -> str:
        """Say so; few brokers tell that they gave the place to a namesake, and 3.1.1 cannot."""
        stood_s = time.monotonic() - self._connected_s
        if not self.was_connected or stood_s > SOON_S:
            return "it broke off"
        return f"it broke off after {stood_s:.0f} s: is there another client {self._client_id!r}?"

    def _close(self) -> None:
        client = self._client
        if client is not None:
            for sock in (client.socket(), client.cut):
                if sock is not None:
                    with suppress(OSError), self._at_socket:  # its number is soon another file's
                        sock.close()
        self._wake.close()

    def publish(
        self, topic: str, payload: bytes, *, retain: bool, properties: Properties | None = None
    ) -> int | None:
        """Send at QoS 1; returns the number its acknowledgement will bear, None if it cannot go.

        Raises ValueError for a topic that is none.
        """
        client = self._client
        if client is None:
            return None
        info = client.publish(topic, payload, 1, retain, properties)
        if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            return None
        self._push(client)
        return info.mid

    def _push(self, client: Client) -> None:
        """Write at once, as to wake the other thread takes longer; what is left is for that."""
        left = True
        if self._at_socket.acquire(blocking=False):
            try:
                left = client.push()
            finally:
                self._at_socket.release()
        if left:
            self._wake.call()

    def subscribe(self, topic: str) -> None:
        """Ask for what is published under a topic."""
        if self._client is not None:
            self._client.subscribe(topic, 1)
            self._wake.call()

    def leave(self) -> None:
        """Say goodbye, behind all that was sent; the broker forgets the will."""
        if self._client is not None:
            self._client.disconnect()
            self._wake.call()

    def cut(self) -> None:
        """End it at once, without a word: the broker publishes the will."""
        self._cut = True
        client = self._client
        if client is not None and client.cut is not None:
            with suppress(OSError):
                client.cut.shutdown(socket.SHUT_RDWR)
        self._wake.call()

    def join(self, wait_s: float) -> bool:
        """Wait for the thread; whether it has ended."""
        if self._thread.ident is not None:
            self._thread.join(wait_s)
        return not self._thread.is_alive()

    def moving(self) -> tuple[int, int] | None:
        """Return bytes that wait to leave, and bytes that the other end has taken (Linux)."""
        client = self._client
        if client is None or client.cut is None:
            return None
        try:
            import fcntl
            import termios

            waiting = fcntl.ioctl(client.cut.fileno(), termios.TIOCOUTQ, bytes(4))
            info = client.cut.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
            (taken,) = struct.unpack_from("Q", info, _BYTES_ACKED)
            return struct.unpack("i", waiting)[0] + client.want_write(), taken
        except (OSError, ValueError, AttributeError, struct.error):
            return None


def heard_topic(message: mqtt.MQTTMessage) -> str:
    """Return the topic of a message, "" where the broker sent none that can be read."""
    try:
        return clean(message.topic)
    except UnicodeDecodeError:
        return ""
