"""The texts of the reference broker: mosquitto.conf, its access list, a gateway's [mqtt] table."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOM = "room"
"""The user name of the operations room: no gateway may bear it."""
MAX_PACKET_BYTES = 1024 * 1024

_CONF = """\
# Made by talus-export broker. TLS alone, and nobody without a certificate of this CA.
per_listener_settings false
listener {port}
cafile {folder}/ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {folder}/acl
user {user}

# What was acknowledged is still there after a restart, for subscribers with a session.
persistence true
persistence_location {data}/
autosave_interval 60
persistent_client_expiration 30d

# Bounds: one gateway gone mad must not take the broker from the others.
max_packet_size {max_packet_bytes}
max_queued_messages 200000
max_queued_bytes 268435456
max_keepalive 3600
"""
_ACL = """\
# Made by talus-export broker. The name of a user is the CN of its certificate. To shut a gateway
# out, delete its lines and reload: kill -HUP $(pidof mosquitto).
# MQTT 5: a message that this list forbids is answered "not authorized". MQTT 3.1.1 knows no such
# answer: the broker acknowledges the message and drops it.

user {room}
topic read {topic}/#
topic write {topic}/+/command
"""
_ACL_GATEWAY = """
user {gateway}
topic write {topic}/{gateway}/#
topic read {topic}/{gateway}/command
"""
_SNIPPET = """\
# For gateway.toml of {gateway}. Put ca.crt, gateway.crt and gateway.key into tls/ beside it:
# chmod 600 tls/gateway.key, and let them belong to the user that talus runs as.
# The name of the gateway must be "{gateway}": the broker lets it write nothing else.
[mqtt]
host = "{host}"
port = {port}
topic = "{topic}"
protocol = 5          # so that the broker can say what it refuses
ca_file = "tls/ca.crt"
cert_file = "tls/gateway.crt"
key_file = "tls/gateway.key"
"""


def conf_text(folder: Path, data: Path, port: int, user: str) -> str:
    """Return mosquitto.conf; ``folder``: where the broker finds its files, ``data``: its own."""
    return _CONF.format(
        folder=folder, data=data, port=port, user=user, max_packet_bytes=MAX_PACKET_BYTES
    )


def acl_text(topic: str, gateways: Iterable[str]) -> str:
    """Return who may do what: a gateway speaks for itself alone, the room hears and commands."""
    text = _ACL.format(room=ROOM, topic=topic)
    for gateway in sorted(gateways):
        text += _ACL_GATEWAY.format(topic=topic, gateway=gateway)
    return text


def snippet(gateway: str, host: str, port: int, topic: str) -> str:
    """Return the [mqtt] table of a gateway."""
    return _SNIPPET.format(gateway=gateway, host=host, port=port, topic=topic)
