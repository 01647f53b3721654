"""The texts of the reference broker: mosquitto.conf, its access list, a gateway's [mqtt] table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.home_assistant import COMPONENTS, PREFIX, in_topic
from edge.sensorthings import ROOT as THINGS_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ROOM = "room"
"""The user name of the operations room: no gateway may bear it."""
ENROL = "enrol"
"""The user name of what signs the certificates of new gateways, and their topic; as ROOM."""
MAX_PACKET_BYTES = 1024 * 1024

_CONF = """\
# Made by talus-export broker. TLS alone; at this port nobody without a certificate of this CA.
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
_CONF_ENROL = """
# New gateways, which have no certificate yet: TLS, a password that is good for their request alone.
listener {port}
cafile {folder}/ca.crt
certfile {folder}/server.crt
keyfile {folder}/server.key
tls_version tlsv1.2
require_certificate false
use_identity_as_username false
password_file {folder}/enrol.passwd
"""
_ACL = """\
# Made by talus-export broker. The name of a user is the CN of its certificate. To shut a gateway
# out: talus-export broker --remove NAME, copy this file here, kill -HUP $(pidof mosquitto). Lines
# that are deleted by hand are back when the file is made the next time.
# MQTT 5: a message that this list forbids is answered "not authorized". MQTT 3.1.1 knows no such
# answer: the broker acknowledges the message and drops it.

user {room}
topic read {topic}/#
topic write {topic}/+/command
topic read {discovery}/#
topic read {root}/#
"""
_ACL_GATEWAY = """
user {gateway}
topic read {topic}/{gateway}/command
"""
_OF_GATEWAY = ("status", "health", "reply", "alarm")
_OF_STATION = ("alarm", "state", "telemetry", "forecast", "cap")
"""What a gateway says. Not its own commands: whoever has its key must not command it."""
_ACL_ENROL = """
user {enrol}
topic read {topic}/{enrol}/+
topic write {topic}/{enrol}/+/certificate
"""
_ACL_NEW = """
user {enrol}/{gateway}
topic write {topic}/{enrol}/{gateway}
topic read {topic}/{enrol}/{gateway}/certificate
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


def conf_text(folder: Path, data: Path, port: int, user: str, enrol_port: int = 0) -> str:
    """Return mosquitto.conf; ``folder``: where the broker finds its files, ``data``: its own."""
    text = _CONF.format(
        folder=folder, data=data, port=port, user=user, max_packet_bytes=MAX_PACKET_BYTES
    )
    return text + (_CONF_ENROL.format(folder=folder, port=enrol_port) if enrol_port else "")


def _writes(topic: str, gateway: str, datastreams: Iterable[str]) -> list[str]:
    """Return the topics of a gateway, one pattern each: all that it may say, with [publish]."""
    own = f"{topic}/{gateway}"
    found = [f"{own}/{kind}" for kind in _OF_GATEWAY]
    found += [f"{own}/+/{kind}" for kind in _OF_STATION]
    name = in_topic(gateway)
    found += [f"{PREFIX}/{component}/{name}/+/config" for component in COMPONENTS]
    return found + [f"{THINGS_ROOT}/Datastreams({each})/Observations" for each in datastreams]


def acl_text(
    topic: str,
    gateways: Iterable[str],
    *,
    enrols: bool = False,
    datastreams: Iterable[tuple[str, str]] = (),
) -> str:
    """Return who may do what: a gateway speaks for itself alone, the room hears and commands.

    ``datastreams``: which gateway may write which, its id as it stands between the brackets.
    ``enrols``: a new gateway, known by its token, may ask for its certificate and hear the answer.
    """
    text = _ACL.format(room=ROOM, topic=topic, discovery=PREFIX, root=THINGS_ROOT)
    datastreams = tuple(datastreams)
    text += _ACL_ENROL.format(enrol=ENROL, topic=topic) if enrols else ""
    for gateway in sorted(gateways):
        text += _ACL_GATEWAY.format(topic=topic, gateway=gateway)
        streams = [stream for owner, stream in datastreams if owner == gateway]
        text += "".join(f"topic write {each}\n" for each in _writes(topic, gateway, streams))
        text += _ACL_NEW.format(enrol=ENROL, topic=topic, gateway=gateway) if enrols else ""
    return text


def snippet(gateway: str, host: str, port: int, topic: str) -> str:
    """Return the [mqtt] table of a gateway."""
    return _SNIPPET.format(gateway=gateway, host=host, port=port, topic=topic)
