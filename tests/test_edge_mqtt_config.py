"""The [mqtt] table: one broker the simple way, several in order, and what is refused."""

from __future__ import annotations

import tomllib

import pytest

from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_mqtt import Broker, MqttConfig, parse_mqtt


def parse(text: str) -> MqttConfig:
    mistakes = Mistakes("gateway.toml")
    found = parse_mqtt(Table(tomllib.loads(text), "mqtt", mistakes))
    mistakes.raise_if_any()
    return found


def wrong(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    return "\n".join(caught.value.mistakes)


def test_one_broker_is_two_lines_and_all_else_has_a_default() -> None:
    mqtt = parse('host = "broker.example"\nport = 8883\n')
    assert mqtt.brokers == (Broker("broker.example", 8883),)
    assert (mqtt.protocol, mqtt.telemetry_encoding) == ("3.1.1", "json")
    assert parse("").brokers == (Broker("localhost", 1883),)


def test_several_stand_in_order_of_preference_and_share_what_is_common() -> None:
    mqtt = parse("""
protocol = 5
ca_file = "ca.crt"
cert_file = "gw.crt"
key_file = "gw.key"
port = 8883
[[broker]]
host = "one.example"
[[broker]]
host = "two.example"
port = 9883
ca_file = "other-ca.crt"
""")
    one, two = mqtt.brokers
    assert (one.host, one.port, one.ca_file) == ("one.example", 8883, "ca.crt")
    assert (two.host, two.port, two.ca_file) == ("two.example", 9883, "other-ca.crt")
    assert one.key_file == two.key_file == "gw.key"
    assert (one.path, two.path) == ("mqtt.broker[0]", "mqtt.broker[1]")
    assert mqtt.protocol == "5"


def test_tls_at_one_and_plain_at_another_is_refused() -> None:
    text = '[[broker]]\nhost = "a"\nca_file = "ca.crt"\n[[broker]]\nhost = "b"\n'
    assert "who blocks one would get the other" in wrong(text)


@pytest.mark.parametrize(("text", "said"), [
    ('host = "a"\n[[broker]]\nhost = "b"', "mqtt.host: stands in each"),
    ("[[broker]]\nport = 1", "mqtt.broker[0].host: missing"),
    ('[[broker]]\nhost = "a"\nhots = "b"', "did you mean 'host'"),
    ('[[broker]]\nhost = "a"\n[[broker]]\nhost = "a"', "the same host and port"),
    ("\n".join(f'[[broker]]\nhost = "h{i}"' for i in range(9)), "8 brokers at most"),
    ("protocol = 4", "mqtt.protocol"),
    ('protocol = "6"', "mqtt.protocol"),
    ('telemetry_encoding = "cbor"', "mqtt.telemetry_encoding"),
    ("patience_s = 0", "mqtt.patience_s"),
    ("keepalive_s = 1", "mqtt.keepalive_s"),
    ('topic = "a//b"', "mqtt.topic"),
    ('topic = "talus/#"', "mqtt.topic"),
    ('topic = "/talus"', "mqtt.topic"),
    ('topic = "talus/"', "mqtt.topic"),
    ('topic = "$SYS"', "mqtt.topic"),
    ('topic = "ta\\nlus"', "mqtt.topic"),
    ('topic = ""', "mqtt.topic"),
])  # fmt: skip
def test_what_cannot_be_meant_is_named(text, said) -> None:
    assert said in wrong(text)
