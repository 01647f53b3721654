"""The [mqtt] table of gateway.toml: the broker, and by which files it is trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The broker. Secrets are named by file, never written here."""

    host: str
    port: int
    topic: str
    keepalive_s: int
    username: str
    password_file: str
    ca_file: str
    cert_file: str
    key_file: str


def parse_mqtt(t: Table) -> MqttConfig:
    """Read the table."""
    mqtt = MqttConfig(
        host=t.text("host", "localhost"),
        port=t.integer("port", 1883, low=1, high=65535),
        topic=t.text("topic", "talus"),
        keepalive_s=t.integer("keepalive_s", 15, low=2, high=3600),
        username=t.text("username", ""),
        password_file=t.text("password_file", ""),
        ca_file=t.text("ca_file", ""),
        cert_file=t.text("cert_file", ""),
        key_file=t.text("key_file", ""),
    )
    if any(c in mqtt.topic for c in "+#\0 ") or mqtt.topic.startswith(("/", "$")):
        t.wrong("topic", "must be a plain topic prefix such as 'talus'")
    if not mqtt.host.strip() or "/" in mqtt.host:
        t.wrong(
            "host", f"{mqtt.host!r}: a host name or address alone, such as 'broker.example.org'"
        )
    if mqtt.password_file and not mqtt.username:
        t.wrong("username", "missing: a password_file needs one")
    if bool(mqtt.cert_file) != bool(mqtt.key_file):
        t.wrong("key_file", "cert_file and key_file go together")
    if mqtt.cert_file and not mqtt.ca_file:
        t.wrong("ca_file", "a client certificate needs ca_file too (TLS)")
    t.done()
    return mqtt
