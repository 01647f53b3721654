"""Several brokers, and links that swallow: nothing lost, never two at once."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import mqtt_parts as parts
import pytest
from failover_parts import PATIENCE_S, both, numbers, two_brokers
from mqtt_parts import alarm, telemetry, until

from edge.mqtt_client import Client
from export.local_broker import mosquitto_path

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)


@pytest.fixture
def gateways(tmp_path):
    some = parts.Gateways(tmp_path)
    yield some
    some.close()


@pytest.fixture
def two(tmp_path):
    with two_brokers(tmp_path) as sides:
        yield sides


def test_the_second_takes_over_and_the_preferred_is_gone_back_to(two, gateways) -> None:
    (_, one, ear_one), (_, other, ear_other) = two
    relay, outbox = gateways.start(both(two))
    outbox.put([alarm(1)])
    until(lambda: numbers(ear_one, "alarm") == [1] and not outbox.messages, relay)
    assert (relay.health().place, other.sessions) == (0, [])

    one.refuse = True
    one.cut()
    began_s = time.monotonic()
    outbox.put([alarm(2)])
    until(lambda: numbers(ear_other, "alarm") == [2] and not outbox.messages, relay)
    assert time.monotonic() - began_s >= PATIENCE_S * 0.9
    assert relay.health().place == 1
    assert relay.health().broker.endswith(str(other.port))
    assert relay.log[-1].startswith("broker: connected to ")

    one.refuse = False
    until(lambda: relay.health().place == 0 and relay.health().connected, relay)
    outbox.put([alarm(3)])
    until(lambda: numbers(ear_one, "alarm") == [1, 3], relay)
    assert numbers(ear_other, "alarm") == [2]
    online = [json.loads(p)["online"] for p in ear_other.payloads("status")]
    assert online == [True, False]  # it was told that the gateway leaves


def test_never_two_at_once_however_often_it_changes(two, gateways) -> None:
    (_, one, ear_one), (_, other, ear_other) = two
    relay, outbox = gateways.start(both(two, probe_s=3600.0))
    sent = 0
    for round_ in range(4):
        now, away = ((one, other), (other, one))[round_ % 2]
        away.refuse, now.refuse = True, False
        away.cut()
        until(lambda: relay.health().connected and relay.health().place == round_ % 2, relay)  # noqa: B023
        outbox.put([alarm(sent + i) for i in range(20)])
        sent += 20
        until(lambda: not outbox.messages, relay)
    for session in one.sessions + other.sessions:
        assert one.open_at(session.began_s) + other.open_at(session.began_s) == 1
    until(lambda: len(numbers(ear_one, "alarm")) + len(numbers(ear_other, "alarm")) >= 80)
    assert sorted({*numbers(ear_one, "alarm"), *numbers(ear_other, "alarm")}) == list(range(80))


def test_asking_the_preferred_one_disturbs_nobody(two, gateways) -> None:
    (_, one, ear_one), (_, _, ear_other) = two
    one.refuse = True
    relay, outbox = gateways.start(both(two))
    until(lambda: relay.health().connected, relay)
    one.refuse, one.swallow = False, True  # it takes connections, and never answers one
    sent = 0
    while not one.sessions or sent < 50:
        outbox.put([alarm(sent), telemetry(sent)])
        until(lambda: not outbox.messages, relay)
        sent += 1
    assert relay.health().place == 1
    assert relay.health().connections == 1  # it held all the time
    until(lambda: len(numbers(ear_other, "alarm")) == sent)
    assert numbers(ear_other, "alarm") == list(range(sent))
    assert ear_one.heard == []  # those who ask publish nothing, and leave no will


def test_a_link_that_swallows_is_given_up_and_nothing_is_lost(two, gateways) -> None:
    (_, proxy, ear), _ = two
    keepalive_s = 4
    relay, outbox = gateways.start(parts.config(proxy.port, keepalive_s=keepalive_s))
    until(lambda: relay.health().connected, relay)
    for n in range(50):
        outbox.put([alarm(n), telemetry(n)])
        relay.pump()
    proxy.swallow = True
    began_s = time.monotonic()
    sent = 50
    while relay.health().connected:
        outbox.put([alarm(sent), telemetry(sent)])
        sent += 1
        until(lambda: True, relay)
        relay.pump()
        time.sleep(0.02)
        assert time.monotonic() - began_s < 60
    assert time.monotonic() - began_s < keepalive_s * 1.5 + 2.0  # generous: the machine is shared
    assert "nothing was acknowledged for 4 s" in relay.health().reason
    proxy.swallow = False
    until(lambda: not outbox.messages, relay)
    until(lambda: set(numbers(ear, "alarm")) == set(range(sent)))
    until(lambda: set(numbers(ear, "telemetry")) == set(range(sent)))
    first = list(dict.fromkeys(numbers(ear, "alarm")))
    assert first == list(range(sent))  # in order, but for what came twice
    assert relay.published_rows == 2 * sent


def test_an_idle_link_that_swallows_is_given_up_too(two, gateways) -> None:
    (_, proxy, _), _ = two
    relay, _ = gateways.start(parts.config(proxy.port, keepalive_s=2))
    until(lambda: relay.health().connected and relay.health().on_the_air == 0, relay)
    proxy.swallow = True
    began_s = time.monotonic()
    until(lambda: not relay.health().connected, relay)
    assert time.monotonic() - began_s < 2 * 1.5 + 2.0
    assert "no answer to a ping" in relay.health().reason
    proxy.swallow = False
    until(lambda: relay.health().connections == 2, relay)


def test_a_slow_link_is_not_taken_for_a_dead_one(two, gateways, monkeypatch) -> None:
    """One message takes far longer than the keepalive to leave, and gets through."""
    (broker, _, ear), _ = two
    slow = SlowProxy(broker.port, bytes_a_second=40_000)
    relay, outbox = gateways.start(parts.config(slow.port, keepalive_s=2))
    # A small buffer in the kernel, as a modem has: else loopback takes the whole of it at once.
    original = Client._create_socket_connection

    def small(self):
        made = original(self)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        return made

    monkeypatch.setattr(Client, "_create_socket_connection", small)
    relay._route.cut(time.monotonic())
    until(lambda: not relay.health().connected, relay)
    until(lambda: relay.health().connected, relay)
    connections = relay.health().connections
    outbox.put([telemetry(1, size=200_000)])
    until(lambda: not outbox.messages, relay)
    until(lambda: numbers(ear, "telemetry") == [1])
    assert relay.health().connections == connections
    slow.close()


class SlowProxy(parts.Proxy):
    """Takes so many bytes a second from the gateway, through a small window."""

    def __init__(self, to_port: int, bytes_a_second: int) -> None:
        self._rate = bytes_a_second
        super().__init__(to_port)
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)  # else all is taken

    def _pass(self, a, b, session) -> None:
        with contextlib.suppress(OSError):
            while data := a.recv(2_000):
                time.sleep(len(data) / self._rate)
                b.sendall(data)
        self._end(session)


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_two_gateways_of_one_name_are_told_that_there_is_another(two, gateways, protocol) -> None:
    (broker, _, _), _ = two
    wanted = parts.config(broker.port, protocol=protocol)
    pair = [gateways.start(wanted)[0] for _ in range(2)]
    until(lambda: any("another client" in line for each in pair for line in each.log), *pair)
