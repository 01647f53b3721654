"""paho's client for one connection, bounded in what a broker can make it hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import TalusError
from edge.mqtt_tls import password, tls_context

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from edge.parse_mqtt import Broker, MqttConfig

MAX_PACKET_BYTES = 128 * 1024
"""What a broker may send in one packet: a larger one ends the connection before it is read."""
MAX_HALF_HEARD = 16
"""Messages at QoS 2 that are not finished; none was asked for."""


class Client(mqtt.Client):
    """paho's client; it takes no packet of any size, and can be torn out of a handshake."""

    complaint = ""
    cut: socket.socket | None = None

    def _sock_recv(self, bufsize: int) -> bytes:
        if bufsize > MAX_PACKET_BYTES:
            self.complaint = f"the broker announced a packet of {bufsize} bytes"
            raise ConnectionAbortedError(self.complaint)
        return super()._sock_recv(bufsize)

    def hoards(self) -> bool:
        """Whether the broker fills this memory with messages that it does not finish."""
        return len(self._in_messages) > MAX_HALF_HEARD

    def push(self) -> bool:
        """Write what waits for as far as the socket takes it; whether something is left.

        For any thread, one at a time. An error is left to the thread that reads: it meets it too.
        """
        self._packet_write()
        return self.want_write()

    def touch(self) -> None:
        """Take it as a sign of life that bytes leave: on a slow link a ping waits behind them."""
        with self._msgtime_mutex:
            self._last_bytes_received = time.monotonic()
        self._ping_t = 0.0

    def _create_socket_connection(self) -> socket.socket:
        made = super()._create_socket_connection()
        self.cut = made.dup()  # TLS takes the other one
        return made


def make_client(
    config: MqttConfig, folder: Path, client_id: str, broker: Broker | None = None
) -> Client:
    """Return a client with the credentials of a broker, or the first one. Raises TalusError."""
    broker = broker or config.brokers[0]
    try:
        broker.host.encode("idna")
    except UnicodeError as error:
        what = f"{broker.host!r} is not a host name: {error}"
        raise TalusError(f"{broker.path}.host: {what}") from error
    protocol = mqtt.MQTTv5 if config.protocol == "5" else mqtt.MQTTv311
    client = Client(
        CallbackAPIVersion.VERSION2, client_id, protocol=protocol, reconnect_on_failure=False
    )
    if broker.username:
        client.username_pw_set(broker.username, password(broker, folder))
    context = tls_context(broker, folder)
    if context is not None:
        client.tls_set_context(context)
    return client
