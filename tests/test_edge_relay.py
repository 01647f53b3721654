"""The relay at a real broker that stops, hangs and dies: at least once, alarms first, all of it."""

from __future__ import annotations

import json
import queue
import signal
import subprocess
import sys
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.message import ALARM, TELEMETRY, Message
from edge.outbox import Outbox
from edge.parse_mqtt import MqttConfig
from edge.relay import MAX_AIR_BYTES, WINDOW, Relay
from export.local_broker import Mosquitto, mosquitto_path

PATIENCE_S = 60.0

if mosquitto_path() is None:
    pytest.skip("NOT TESTED: mosquitto is not installed", allow_module_level=True)

CHILD = """
import sys
from pathlib import Path
from edge.parse_mqtt import MqttConfig
from edge.outbox import Outbox
from edge.relay import Relay

config = MqttConfig("127.0.0.1", int(sys.argv[2]), "talus", 60, "", "", "", "", "")
relay = Relay(config, Path(sys.argv[1]), "g", Outbox(Path(sys.argv[1]), 10**9))
relay.start()
while True:
    relay.pump()
    if relay.health().connected:
        print("connected", flush=True)
"""


class Ear:
    """A subscriber with a session of its own; it keeps every arrival in order.

    It acknowledges nothing: a broker that dies with acknowledgements unread resets the
    connection, and what it had delivered would be lost between its socket and ours.
    """

    def __init__(self, port: int, name: str = "ear") -> None:
        self.heard: list[mqtt.MQTTMessage] = []
        self.subscribed: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2, name, clean_session=False, manual_ack=True
        )
        self._client.on_connect = lambda c, *_: c.subscribe("talus/#", qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.put(True)
        self._client.on_message = lambda _, __, message: self.heard.append(message)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        self.subscribed.get(timeout=PATIENCE_S)

    def numbers(self, kind: str) -> list[int]:
        return [int(m.payload.split()[0]) for m in list(self.heard) if m.topic.endswith(kind)]

    def online(self) -> list[bool]:
        return [json.loads(m.payload)["online"] for m in list(self.heard) if "status" in m.topic]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def until(what, relay: Relay | None = None) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end, relay and (relay.health(), relay.log)
        if relay is not None:
            relay.pump()
        time.sleep(0.001)


def telemetry(n: int, size: int = 0) -> Message:
    return Message("talus/g/s/telemetry", b"%d " % n + bytes(size), TELEMETRY, rows=2)


def alarm(n: int) -> Message:
    return Message("talus/g/s/alarm", b"%d" % n, ALARM)


def make(outbox: Outbox, port: int) -> Relay:
    config = MqttConfig("127.0.0.1", port, "talus", 60, "", "", "", "", "")
    relay = Relay(config, outbox.path.parent, "g", outbox)
    relay.start()
    return relay


@pytest.fixture
def kept_broker(tmp_path):
    """A broker that keeps subscriptions over a restart, as one in an operations room does."""
    folder = tmp_path / "kept"
    folder.mkdir()
    settings = f"allow_anonymous true\npersistence true\npersistence_location {folder}/\nuser root"
    with Mosquitto(folder, settings=settings) as running:
        ear = Ear(running.port)
        ear.close()
        running.stop()
        running.start()
        yield running


@pytest.fixture
def ear(kept_broker):
    opened = Ear(kept_broker.port)
    yield opened
    opened.close()


@pytest.fixture
def outbox(tmp_path):
    opened = Outbox(tmp_path / "outbox", 10**9)
    yield opened
    opened.close()


@pytest.fixture
def relay(outbox, kept_broker, ear):
    made = make(outbox, kept_broker.port)
    yield made
    kept_broker.thaw()
    made.stop(0.2)


def test_a_message_is_deleted_only_when_the_broker_has_acknowledged_it(
    outbox, kept_broker, ear, relay
) -> None:
    until(lambda: relay.health().connected, relay)
    until(lambda: ear.online() == [True])
    kept_broker.freeze()
    outbox.put([alarm(1), telemetry(2)])
    until(lambda: relay.health().on_the_air == 2, relay)
    for _ in range(500):
        assert relay.pump() == 2
    assert (outbox.messages, relay.published_messages, len(ear.heard)) == (2, 0, 1)
    kept_broker.thaw()
    until(lambda: not outbox.messages, relay)
    until(lambda: len(ear.heard) == 3)
    assert (ear.numbers("alarm"), ear.numbers("telemetry")) == ([1], [2])
    assert {m.qos for m in ear.heard} == {1}
    assert (relay.published_messages, relay.published_rows) == (2, 2)


def test_a_retained_state_stands_for_those_who_come_later(outbox, kept_broker, relay) -> None:
    outbox.put([Message("talus/g/s/state", b"1", ALARM, retain=True), alarm(1)])
    until(lambda: relay.health().connected and not outbox.messages, relay)
    late = Ear(kept_broker.port, "late")
    until(lambda: late.numbers("state") == [1] and late.online() == [True])
    assert all(m.retain for m in late.heard)
    assert late.numbers("alarm") == []  # an event is not repeated to those who come later
    late.close()


def test_a_relay_killed_is_offline_by_its_last_will(tmp_path, kept_broker, ear) -> None:
    command = [sys.executable, "-c", CHILD, str(tmp_path), str(kept_broker.port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"connected\n"
    until(lambda: ear.online() == [True])
    process.kill()
    process.communicate()
    until(lambda: ear.online() == [True, False])
    late = Ear(kept_broker.port, "late")
    until(lambda: late.online() == [False])  # it is retained
    late.close()


def test_a_relay_that_stops_says_offline_and_leaves_nothing_behind(
    outbox, kept_broker, ear
) -> None:
    relay = make(outbox, kept_broker.port)
    until(lambda: relay.health().connected, relay)
    outbox.put([telemetry(n) for n in range(300)])
    relay.stop(PATIENCE_S)
    assert outbox.messages == 0
    until(lambda: ear.online() == [True, False])
    assert ear.numbers("telemetry") == list(range(300))


def test_a_broker_that_appears_later_gets_everything_alarms_first(tmp_path, outbox) -> None:
    broker = Mosquitto(tmp_path)
    relay = make(outbox, broker.port)
    outbox.put([telemetry(n) for n in range(200)])
    outbox.put([alarm(n) for n in range(3)])
    until(lambda: "refused" in relay.health().reason, relay)
    assert relay.health().reason.startswith(f"no connection to 127.0.0.1:{broker.port}: ")
    assert (outbox.messages, relay.health().on_the_air) == (203, 0)
    with broker:
        ear = Ear(broker.port)
        until(lambda: not outbox.messages, relay)
        until(lambda: len(ear.heard) == 204)
        kinds = [m.topic.rsplit("/", 1)[1] for m in ear.heard]
        assert kinds == ["status"] + ["alarm"] * 3 + ["telemetry"] * 200
        assert ear.numbers("telemetry") == list(range(200))
        assert relay.health().connections == 1
        relay.stop()
        ear.close()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_lost_when_the_broker_goes_amid_the_stream(
    outbox, kept_broker, ear, relay, how
) -> None:
    outbox.put([telemetry(n, 2000) for n in range(400)])
    until(lambda: relay.published_messages > 60, relay)
    kept_broker.stop(how)
    outbox.put([alarm(n) for n in range(5)])
    until(lambda: not relay.health().connected, relay)
    assert 0 < outbox.messages <= 345
    assert "127.0.0.1" in relay.health().reason
    kept_broker.start()
    until(lambda: not outbox.messages and not relay.health().on_the_air, relay)
    until(lambda: set(ear.numbers("telemetry")) == set(range(400)))
    until(lambda: set(ear.numbers("alarm")) == set(range(5)))
    # Of the telemetry only what was on the air already may come before the alarms.
    kinds = [m.topic.rsplit("/", 1)[1] for m in ear.heard]
    assert kinds[::-1].index("alarm") > 345 - 2 * WINDOW
    assert relay.published_rows == 800
    assert relay.health().connections == 2


def test_nothing_is_lost_while_the_broker_hangs(outbox, kept_broker, ear, relay) -> None:
    until(lambda: relay.health().connected, relay)
    for round_ in range(3):
        kept_broker.freeze()
        outbox.put([telemetry(100 * round_ + n) for n in range(100)])
        until(lambda: relay.health().on_the_air >= WINDOW // 2, relay)
        kept_broker.thaw()
        until(lambda n=relay.published_messages: relay.published_messages > n, relay)
    until(lambda: not outbox.messages, relay)
    until(lambda: len(ear.numbers("telemetry")) == 300)
    assert ear.numbers("telemetry") == list(range(300))  # no loss, no repetition


def test_the_messages_on_the_air_are_bounded_in_number_and_bytes(
    outbox, kept_broker, ear, relay
) -> None:
    until(lambda: relay.health().connected, relay)
    kept_broker.freeze()
    outbox.put([telemetry(n, 6_000) for n in range(40)])
    for _ in range(200):
        assert 8 <= (waiting := relay.pump()) <= MAX_AIR_BYTES / 6_000 + 1
    outbox.put([alarm(1)])
    assert relay.pump() == waiting + 1  # an alarm does not wait for room
    kept_broker.thaw()
    until(lambda: not outbox.messages, relay)
    kept_broker.freeze()
    outbox.put([telemetry(n) for n in range(500)])
    assert max(relay.pump() for _ in range(200)) == WINDOW
    kept_broker.thaw()
    until(lambda: not outbox.messages, relay)
    until(lambda: len(ear.numbers("telemetry")) == 540)


def test_a_message_larger_than_the_bound_still_gets_through(outbox, ear, relay) -> None:
    outbox.put([telemetry(1, 2 * MAX_AIR_BYTES), telemetry(2)])
    until(lambda: not outbox.messages and relay.health().connected, relay)
    until(lambda: ear.numbers("telemetry") == [1, 2])


def test_stopping_at_a_broker_that_hangs_is_quick_and_the_will_says_offline(
    outbox, kept_broker, ear
) -> None:
    relay = make(outbox, kept_broker.port)
    until(lambda: relay.health().connected, relay)
    until(lambda: ear.online() == [True])
    kept_broker.freeze()
    outbox.put([telemetry(n) for n in range(200)])
    until(lambda: relay.health().on_the_air == WINDOW, relay)
    began = time.monotonic()
    relay.stop(0.2)
    assert time.monotonic() - began < 5.0
    assert outbox.messages == 200
    kept_broker.thaw()
    until(lambda: ear.online() == [True, False])
    relay = make(outbox, kept_broker.port)  # the next start sends what stayed
    until(lambda: not outbox.messages, relay)
    until(lambda: set(ear.numbers("telemetry")) == set(range(200)))
    relay.stop()


def test_stopping_without_a_broker_is_quick_and_loses_nothing(tmp_path, outbox) -> None:
    outbox.put([alarm(1)])
    relay = make(outbox, Mosquitto(tmp_path).port)
    until(lambda: relay.log != [], relay)
    began = time.monotonic()
    relay.stop()
    assert time.monotonic() - began < 5.0
    assert outbox.messages == 1
