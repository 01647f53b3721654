"""What waited is flagged, what expires says so, and no broker is sent more than it takes."""

from __future__ import annotations

import json
import time

import mqtt_parts as parts
import pytest
from failover_parts import numbers, two_brokers
from mqtt_parts import alarm, telemetry, until

from edge import mqtt_wrap
from export.local_broker import Mosquitto, mosquitto_path

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
