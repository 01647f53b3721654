"""What a token lets in at the reference broker, and what stays shut."""

from __future__ import annotations

from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from enrol_parts import broker_needed, enrolling_for_gw7
from flash_site import csr_of
from mqtt_parts import PATIENCE_S, until

from export.provision.firstboot.request import (
    broker_word,
    parse_answer,
    parse_ticket,
    request_bytes,
)


@pytest.fixture
def enrolling(tmp_path):
    with enrolling_for_gw7(tmp_path) as broker:
        yield broker


def connection(port: int, ca: Path, user: str, word: str) -> tuple[mqtt.Client, list[object]]:
    """Connect with a password as a new gateway does; returns what the broker says to it."""
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "x", protocol=mqtt.MQTTv5)
    client.tls_set(ca_certs=str(ca))
    client.username_pw_set(user, word)
    said: list[object] = []
    client.on_connect = lambda *a: said.append(a[3])
    client.on_publish = lambda *a: said.append(a[3])
    client.on_message = lambda *a: said.append(a[2].payload)
    client.connect("127.0.0.1", port)
    client.loop_start()
    until(lambda: said)
    return client, said


def close(client: mqtt.Client) -> None:
    client.disconnect()
    client.loop_stop()


@broker_needed
def test_a_token_opens_one_door_and_nothing_behind_it(enrolling) -> None:
    ca = enrolling.out / "authority/ca.crt"
    ticket = parse_ticket((enrolling.out / "enrol/gw7.json").read_bytes())
    port, word = enrolling.enrol_port, broker_word(ticket.token)
    wrong_ones = (("enrol/gw7", ticket.token), ("enrol/gw7", word[:-1]), ("gw7", word), ("gw1", ""),
                  ("room", word), ("enrol", word), ("enrol/gw1", word))  # fmt: skip
    for user, wrong in wrong_ones:
        client, said = connection(port, ca, user, wrong)
        assert said[0].is_failure, user
        close(client)
    client, said = connection(port, ca, "enrol/gw7", word)
    assert not said[0].is_failure
    for topic, allowed in (
        ("talus/enrol/gw7", True), ("talus/gw7/s/alarm", False), ("talus/gw1/s/alarm", False),
        ("talus/enrol/gw1", False), ("talus/enrol/gw7/certificate", False),
        ("talus/gw1/command", False),
    ):  # fmt: skip
        said.clear()
        client.publish(topic, b"x", qos=1)
        until(lambda: said)
        assert said[0].is_failure != allowed, topic
    said.clear()
    client.subscribe("#", qos=1)
    client.subscribe("talus/gw1/#", qos=1)
    enrolling.config("gw1")  # puts its files in their place
    gw1 = enrolling.hear("gw1", "talus/gw1/command")
    gw1.client.publish("talus/gw1/status", b"secret", qos=1).wait_for_publish(PATIENCE_S)
    gw1.close()
    said.clear()
    client.publish("talus/enrol/gw7", b"x", qos=1)
    until(lambda: said)
    assert b"secret" not in said
    close(client)


@broker_needed
def test_a_second_token_needs_no_restart(enrolling) -> None:
    ticket = enrolling.ticket("gw8")
    enrolling.reload()
    ca = enrolling.out / "authority/ca.crt"

    def is_in() -> bool:
        client, said = connection(enrolling.enrol_port, ca, "enrol/gw8", broker_word(ticket.token))
        close(client)
        return not said[0].is_failure

    until(is_in)


@broker_needed
def test_garbage_and_strangers_do_not_stop_the_signer(enrolling) -> None:
    enrolling.serve()
    ca = enrolling.out / "authority/ca.crt"
    ticket = parse_ticket((enrolling.out / "enrol/gw7.json").read_bytes())
    client, said = connection(enrolling.enrol_port, ca, "enrol/gw7", broker_word(ticket.token))
    client.subscribe("talus/enrol/gw7/certificate", qos=1)
    for payload in (b"", b"\x00" * 100, b"[" * 5000, b"x" * 100_000, b'{"format":1}'):
        client.publish("talus/enrol/gw7", payload, qos=1)
    csr = csr_of()
    client.publish("talus/enrol/gw7", request_bytes(ticket, csr), qos=1)

    def signed() -> bool:
        answers = [parse_answer(each) for each in list(said) if isinstance(each, bytes)]
        return any(each.certificate for each in answers)

    until(signed)
    close(client)
