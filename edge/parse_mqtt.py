"""The [mqtt] table of gateway.toml: the brokers, and by which files they are trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.fields import Table

MAX_BROKERS = 8
DAYS_7_S = 7 * 86400


@dataclass(frozen=True, slots=True)
class Broker:
    """One broker. Secrets are named by file, never written here. ``path``: where it stands."""

    host: str
    port: int
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    path: str = "mqtt"

    @property
    def where(self) -> str:
        """Return host and port, for a person."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """The preferred broker in the first fields, and the others after it in order."""

    host: str
    port: int
    topic: str
    keepalive_s: int
    username: str
    password_file: str
    ca_file: str
    cert_file: str
    key_file: str
    others: tuple[Broker, ...] = ()
    protocol: str = "3.1.1"
    patience_s: float = 30.0
    """A broker that fails for so long gives way to the next one."""
    probe_s: float = 60.0
    """How often it is tried whether a preferred broker answers again."""
    telemetry_expiry_s: int = DAYS_7_S
    """MQTT 5: for how long a broker keeps telemetry for a subscriber that is away; 0: for ever."""
    telemetry_encoding: str = "json"
    path: str = "mqtt"

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """Return all brokers, in order of preference."""
        first = Broker(
            self.host, self.port, self.username, self.password_file, self.ca_file,
            self.cert_file, self.key_file, self.path,
        )  # fmt: skip
        return first, *self.others


def parse_mqtt(t: Table) -> MqttConfig:
    """Read the table."""
    common = _broker(t, Broker("localhost", 1883))
    tables = t.tables("broker")
    brokers = [_broker(each, common, needed=True) for each in tables]
    if tables and t.has("host"):
        t.wrong("host", "stands in each [[mqtt.broker]] where there are several")
    if len(brokers) > MAX_BROKERS:
        t.wrong("broker", f"{MAX_BROKERS} brokers at most")
    if len({bool(each.ca_file) for each in brokers}) > 1:
        t.wrong("broker", "all with ca_file (TLS), or none: who blocks one would get the other")
    if len({each.where for each in brokers}) < len(brokers):
        t.wrong("broker", "the same host and port stands there twice")
    first, *others = brokers or [common]
    mqtt = MqttConfig(
        host=first.host,
        port=first.port,
        topic=t.text("topic", "talus"),
        keepalive_s=t.integer("keepalive_s", 15, low=2, high=3600),
        username=first.username,
        password_file=first.password_file,
        ca_file=first.ca_file,
        cert_file=first.cert_file,
        key_file=first.key_file,
        others=tuple(others),
        protocol=_protocol(t),
        patience_s=t.number("patience_s", 30.0, low=1.0, high=86400.0),
        probe_s=t.number("probe_s", 60.0, low=1.0, high=86400.0),
        telemetry_expiry_s=t.integer("telemetry_expiry_s", DAYS_7_S, low=0, high=2**32 - 2),
        telemetry_encoding=t.text("telemetry_encoding", "json", choices=("json", "zlib")),
        path=first.path,
    )
    if not _is_prefix(mqtt.topic):
        t.wrong("topic", "must be a plain topic prefix such as 'talus'")
    t.done()
    return mqtt


def _is_prefix(topic: str) -> bool:
    levels = topic.split("/")
    plain = topic.isprintable() and not any(c in topic for c in "+# ")
    return plain and all(levels) and not topic.startswith("$")


def _protocol(t: Table) -> str:
    if t.has("protocol") and not t.is_text("protocol"):  # written as a number, most often
        return "5" if t.integer("protocol", low=5, high=5) == 5 else "3.1.1"
    return t.text("protocol", "3.1.1", choices=("3.1.1", "5"))


def _broker(t: Table, common: Broker, *, needed: bool = False) -> Broker:
    """Read the keys of a broker; those it does not give are as in [mqtt]."""
    broker = Broker(
        host=t.text("host") if needed else t.text("host", common.host),
        port=t.integer("port", common.port, low=1, high=65535),
        username=t.text("username", common.username),
        password_file=t.text("password_file", common.password_file),
        ca_file=t.text("ca_file", common.ca_file),
        cert_file=t.text("cert_file", common.cert_file),
        key_file=t.text("key_file", common.key_file),
        path=t.path or "mqtt",
    )
    given = t.has("host") or not needed
    if given and (not broker.host.strip() or "/" in broker.host):
        t.wrong(
            "host", f"{broker.host!r}: a host name or address alone, such as 'broker.example.org'"
        )
    if broker.password_file and not broker.username:
        t.wrong("username", "missing: a password_file needs one")
    if bool(broker.cert_file) != bool(broker.key_file):
        t.wrong("key_file", "cert_file and key_file go together")
    if broker.cert_file and not broker.ca_file:
        t.wrong("ca_file", "a client certificate needs ca_file too (TLS)")
    if needed:
        t.done()
    return broker
