"""Several brokers, links that swallow, and what waited: nothing lost, never two at once."""

from __future__ import annotations

import contextlib
import json
import socket
import time

import mqtt_parts as parts
import pytest
from mqtt_parts import alarm, telemetry, until

from edge import mqtt_wrap
from edge.mqtt_client import Client
from edge.parse_mqtt import Broker
from export.local_broker import Mosquitto, mosquitto_path

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)

PATIENCE_S = 1.0


def numbers(ear: parts.Hearer, kind: str) -> list[int]:
    return [json.loads(payload)["n"] for payload in ear.payloads(kind)]


@pytest.fixture
def gateways(tmp_path):
    some = parts.Gateways(tmp_path)
    yield some
    some.close()


@pytest.fixture
def two(tmp_path):
    """Two brokers, each behind a proxy and with a hearer."""
    sides = []
    for name in ("preferred", "second"):
        folder = tmp_path / name
        folder.mkdir()
        broker = Mosquitto(folder)
        broker.start()
        sides.append((broker, parts.Proxy(broker.port), parts.Hearer(broker.port, name=name)))
    yield sides
    for broker, proxy, ear in sides:
        proxy.close()
        ear.close()
        broker.stop()


def both(sides, **more):
    (_, one, _), (_, other, _) = sides
    more = {"patience_s": PATIENCE_S, "probe_s": 0.2} | more
    return parts.config(one.port, others=(Broker("127.0.0.1", other.port),), **more)


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


# ---- what waited is flagged ----


def test_what_waited_through_an_outage_is_flagged_and_what_comes_after_is_not(
    two, gateways, monkeypatch
) -> None:
    monkeypatch.setattr(mqtt_wrap, "LIVE_MS", 200)
    (_, proxy, ear), _ = two
    proxy.refuse = True
    relay, outbox = gateways.start(parts.config(proxy.port, protocol="5"))
    outbox.put([alarm(1), telemetry(1)])
    end = time.monotonic() + 0.5
    until(lambda: time.monotonic() > end, relay)
    proxy.refuse = False
    until(lambda: not outbox.messages and relay.health().connected, relay)
    outbox.put([alarm(2), telemetry(2)])
    until(lambda: len(ear.payloads("alarm")) == 2 and len(ear.payloads("telemetry")) == 2, relay)
    for kind, made in (("alarm", alarm), ("telemetry", telemetry)):
        late, live = ear.payloads(kind)
        assert live == made(2).payload  # byte for byte
        assert late == made(1).payload[:-1] + b',"replayed":true}'
    flags = [dict(m.properties.UserProperty)["replayed"] for m in ear.heard if "/s/" in m.topic]
    assert sorted(flags) == ["false", "false", "true", "true"]


def test_what_an_earlier_run_left_is_flagged(two, gateways) -> None:
    (broker, _, ear), _ = two
    relay, outbox = gateways.start(parts.config(parts.free_port()))
    outbox.put([alarm(1)])
    relay.stop(0.1)
    time.sleep(0.1)
    again = parts.Relay(parts.config(broker.port), outbox.path.parent, "gw1", outbox)
    again.start()
    until(lambda: not outbox.messages, again)
    outbox.put([alarm(2)])
    until(lambda: len(ear.payloads("alarm")) == 2, again)
    again.stop()
    assert [json.loads(p).get("replayed") for p in ear.payloads("alarm")] == [True, None]


# ---- MQTT 5, and the birth ----


def test_on_5_telemetry_expires_and_alarms_do_not(two, gateways) -> None:
    (broker, _, ear), _ = two
    wanted = parts.config(broker.port, protocol="5", telemetry_expiry_s=500)
    relay, outbox = gateways.start(wanted)
    outbox.put([alarm(1), telemetry(1)])
    until(lambda: ear.payloads("alarm") and ear.payloads("telemetry"), relay)
    found = {m.topic.rsplit("/", 1)[1]: m.properties for m in ear.heard}
    assert 400 < found["telemetry"].MessageExpiryInterval <= 500
    assert not hasattr(found["alarm"], "MessageExpiryInterval")
    assert dict(found["alarm"].UserProperty) == {
        "id": "s-1-1", "kind": "alarm", "replayed": "false",
    }  # fmt: skip


def test_the_birth_says_who_is_online_with_what(two, gateways) -> None:
    from edge import __version__

    (broker, _, ear), _ = two
    before_ms = time.time() * 1000
    relay, _ = gateways.start(parts.config(broker.port))
    until(lambda: ear.payloads("status"), relay)
    birth = json.loads(ear.payloads("status")[0])
    assert before_ms - 1000 <= birth.pop("started_ms") <= time.time() * 1000
    assert birth == {
        "format": 1, "gateway": "gw1", "online": True, "version": __version__,
        "bundles": {"s": "demo v1"},
    }  # fmt: skip
    late = parts.Hearer(broker.port, name="late")
    until(lambda: late.payloads("status"))
    late.close()


def test_a_small_broker_is_not_sent_more_than_it_takes(tmp_path, gateways) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    settings = "allow_anonymous true\nmax_packet_size 5000"
    with Mosquitto(folder, settings=settings) as broker:
        ear = parts.Hearer(broker.port)
        relay, outbox = gateways.start(parts.config(broker.port, protocol="5"))
        outbox.put([telemetry(1, size=10_000), telemetry(2), alarm(3)])
        until(lambda: numbers(ear, "telemetry") == [2] and numbers(ear, "alarm") == [3], relay)
        assert relay.health().connections == 1  # it went past what would have ended it
        assert dict(relay.health().refused) == {"larger than the broker takes": 1}
        until(lambda: outbox.messages == 1, relay)
        ear.close()


def test_the_window_of_the_broker_is_kept_to(tmp_path, gateways) -> None:
    folder = tmp_path / "narrow"
    folder.mkdir()
    with Mosquitto(folder) as broker:
        conf = folder / "mosquitto.conf"
        text = conf.read_text(encoding="utf-8")
        conf.write_text(text.replace("max_inflight_messages 0", "max_inflight_messages 5"))
        broker.stop()
        broker.start()
        ear = parts.Hearer(broker.port)
        relay, outbox = gateways.start(parts.config(broker.port, protocol="5"))
        until(lambda: relay.health().connected, relay)
        outbox.put([telemetry(n) for n in range(300)])
        most = 0
        while outbox.messages:
            most = max(most, relay.pump())
        assert 1 < most <= 4
        until(lambda: numbers(ear, "telemetry") == list(range(300)))
        assert relay.health().connections == 1
        ear.close()
