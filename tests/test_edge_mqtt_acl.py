"""The access list of the reference broker, at a real one: all that a gateway says, no more."""

from __future__ import annotations

import queue
import ssl

import paho.mqtt.client as mqtt
import pytest
from mqtt_parts import PATIENCE_S, ReferenceBroker, talus_export
from paho.mqtt.enums import CallbackAPIVersion
from publish_parts import WANTED
from tiny_bundle import TOML

from edge.config import load_config
from edge.home_assistant import discovery
from edge.parse_publish import SensorThingsConfig
from edge.sensorthings import Observations
from export.local_broker import mosquitto_path

NOT_AUTHORIZED = 0x87


class Voice:
    """A client with a certificate, which publishes and is told what the broker makes of it."""

    def __init__(self, broker: ReferenceBroker, who: str) -> None:
        room = who == "room"
        folder = broker.out / "room" if room else broker.out / "gateways" / who
        name = "room" if room else "gateway"
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
        self._answers: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, f"{who}-voice", protocol=mqtt.MQTTv5)
        self.client.tls_set_context(context)
        self.client.on_connect = lambda *_: ready.put(True)
        self.client.on_publish = lambda *a: self._answers.put((a[2], a[3].value))
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        ready.get(timeout=PATIENCE_S)

    def may(self, topic: str) -> bool:
        """Whether the broker takes a message under this topic."""
        number = self.client.publish(topic, b"{}", 1).mid
        found, reason = self._answers.get(timeout=PATIENCE_S)
        assert (found, reason in (0, 0x10, NOT_AUTHORIZED)) == (number, True)
        return reason != NOT_AUTHORIZED

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    if mosquitto_path() is None:
        pytest.skip("NOT TESTED: mosquitto is not installed")
    found = ReferenceBroker(tmp_path_factory.mktemp("acl") / "broker", ("gw1", "gw.2"))
    words = ["--renew", "--gateway", "gw1", "--datastream", "gw1=17", "--datastream", "gw1=rain-7"]
    talus_export("broker", "--out", str(found.out), *words)
    with found as running:
        yield running


@pytest.fixture
def voice(reference):
    opened: list[Voice] = []

    def speak(who: str) -> Voice:
        opened.append(Voice(reference, who))
        return opened[-1]

    yield speak
    for each in opened:
        each.close()


def published(tmp_path, gateway: str) -> list[str]:
    """The topics of all that [publish] can make a gateway say."""
    text = TOML.replace('"bluff"', f'"{gateway}"', 1).replace("TRUST", "allow_unsigned = true")
    wanted = WANTED[: WANTED.index("[publish.sensorthings]")].replace("crack_1", "crack")
    (tmp_path / "gateway.toml").write_text(text + wanted, encoding="utf-8")
    config = load_config(tmp_path / "gateway.toml")
    kinds = ("alarm", "state", "telemetry", "forecast", "cap")
    found = [f"talus/{gateway}/slope/{kind}" for kind in kinds]
    found += [f"talus/{gateway}/{kind}" for kind in ("status", "health", "reply", "alarm")]
    return found + [m.topic for m in discovery(config, f"talus/{gateway}")]


@pytest.mark.parametrize("gateway", ["gw1", "gw.2"])
def test_all_that_a_gateway_says_is_let_through(tmp_path, voice, gateway: str) -> None:
    speaker = voice(gateway)
    topics = published(tmp_path, gateway)
    assert sum(topic.startswith("homeassistant/") for topic in topics) > 5
    assert [topic for topic in topics if not speaker.may(topic)] == []
    other = voice("gw1" if gateway == "gw.2" else "gw.2")
    assert [topic for topic in topics if other.may(topic)] == []


def test_a_stolen_key_of_a_gateway_commands_nobody(voice) -> None:
    thief = voice("gw1")
    for topic in ("talus/gw1/command", "talus/gw.2/command", "talus/room/command", "talus/command",
                  "talus/gw1", "talus/gw1/slope/command", "talus/gw1/slope/a/command"):  # fmt: skip
        assert not thief.may(topic), topic
    assert voice("room").may("talus/gw1/command")


def test_observations_are_let_through_under_the_datastreams_that_were_given(voice) -> None:
    config = SensorThingsConfig("v1.1", 0, (("s", "a", "17"), ("s", "b", "'rain-7'")))
    Observations(config, {"s": ("a", "b")}, "gw1")  # it takes these ids
    given = ["v1.1/Datastreams(17)/Observations", "v1.1/Datastreams('rain-7')/Observations"]
    one, two, room = voice("gw1"), voice("gw.2"), voice("room")
    assert [one.may(topic) for topic in given] == [True, True]
    assert [two.may(topic) for topic in given] == [False, False]
    assert [room.may(topic) for topic in given] == [False, False]
    assert not one.may("v1.1/Datastreams(18)/Observations")
    assert not one.may("v1.1/Things")


def test_the_room_speaks_as_no_gateway(tmp_path, voice) -> None:
    room = voice("room")
    assert [topic for topic in published(tmp_path, "gw1") if room.may(topic)] == []
