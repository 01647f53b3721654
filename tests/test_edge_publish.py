"""What is published beside the gateway's own messages: configured, stored, sent, restarted."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from cap_rules import text_of, wrong_in
from jsonschema import Draft202012Validator
from publish_parts import PATIENCE_S, WANTED, Listener, configured

from edge.alarm import LEVELS
from edge.batch import Batch
from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.cap import CERTAINTY, SEVERITY, URGENCY
from edge.config import Config
from edge.message import alarm_messages
from edge.outbox import Outbox
from edge.parse_publish import NOTHING
from edge.pipeline import Outcome, Pipeline, Row
from edge.publish import PUBLISHED, Publisher
from edge.relay import Relay
from edge.schema_commands import NAMES, load_schema
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

BUNDLE = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
START_MS = 1_704_067_200_000
PREFIX = "talus/demo"
MIDDLE = 1380


def readings(first: int = 0) -> list[Reading]:
    slope = generate(9.9, seed=7, failure_day=10.0)
    found = [
        Reading("node", int(t), i, CHANNELS, tuple(row), START_MS + i * 600_000)
        for i, (t, row) in enumerate(zip(slope.time_ms, slope.values.tolist(), strict=True))
    ]
    return found[first:]


def faults(name: str, payload: bytes) -> list[str]:
    found = Draft202012Validator(load_schema(name)).iter_errors(json.loads(payload))
    return [each.message for each in found]


class Desk:
    """Pipeline, publisher and outbox as the gateway puts them together, from its saved state."""

    def __init__(self, config: Config, folder: Path, now_ms: int) -> None:
        self.outbox = Outbox(folder / "data", 10**8)
        self.pipeline = Pipeline(config, {"slope": BUNDLE})
        saved = self.outbox.load_state("pipeline")
        if saved is not None:
            assert self.pipeline.restore(json.loads(saved), now_ms) == []
        self.batch = Batch(PREFIX, "demo")
        self.publisher = Publisher(config, PREFIX, self.outbox.load_state(PUBLISHED))
        self.put(self.publisher.birth(self.pipeline.stations, now_ms))

    def state(self) -> dict[str, bytes]:
        snapshot = json.dumps(self.pipeline.snapshot()).encode()
        return {"pipeline": snapshot} | self.publisher.state()

    def put(self, messages) -> None:
        assert self.outbox.put(messages, self.state())

    def take(self, items: list[Reading]) -> None:
        for item in items:
            outcome = self.pipeline.receive(item)
            self.batch.add(outcome)
            self.publisher.add(outcome, item.received_ms)
            messages = []
            for change in outcome.changes:
                messages += alarm_messages(change, PREFIX, "demo")
                messages += self.publisher.alarm(change)
            if messages:
                self.put(messages)
            if self.batch.full:
                self.flush(item.received_ms)
        self.flush(items[-1].received_ms)

    def flush(self, now_ms: int) -> None:
        gathered = self.batch.flush(self.pipeline.stations, now_ms)
        self.put([*gathered, *self.publisher.flush(now_ms)])


def sent(config: Config, folder: Path, outbox: Outbox) -> None:
    """Let a relay send all that waits."""
    relay = Relay(config.mqtt, folder, "demo", outbox)
    relay.start()
    end = time.monotonic() + PATIENCE_S
    while outbox.messages:
        assert time.monotonic() < end, relay.health()
        relay.pump()
        time.sleep(0.001)
    relay.stop()


def test_all_of_it_goes_through_the_outbox_to_a_broker_and_on_after_a_cut(tmp_path, broker) -> None:
    here = ('host = "localhost"\nport = 1883', f'host = "127.0.0.1"\nport = {broker.port}')
    config = configured(tmp_path, WANTED, here)
    ear = Listener(broker.port)
    items = readings()
    desk = Desk(config, tmp_path, START_MS)
    desk.take(items[:MIDDLE])
    assert desk.pipeline.stations["slope"].alarm.level == 2  # an alert is out
    desk.outbox.close()  # and nothing else: what is in memory is gone

    desk = Desk(config, tmp_path, items[MIDDLE].received_ms)
    assert desk.publisher.notes == []
    desk.take(items[MIDDLE:])
    sent(config, tmp_path, desk.outbox)
    ear.until(lambda: len(ear.under("/telemetry")) >= 28 and ear.under("/forecast"))
    ear.until(lambda: len(ear.under("/Observations")) >= 2)
    late = Listener(broker.port, "late")
    late.until(lambda: late.under("/forecast") and late.under("/state") and late.under("/config"))
    ear.close()
    late.close()

    said = [message.payload for message in ear.under("/slope/cap")]
    kinds = [text_of(each, "msgType") for each in said]
    assert kinds.count("Alert") == kinds.count("Cancel") + 1  # the last one is still out
    out: list[str] = []
    for each in said:
        assert text_of(each, "references").split() == out
        names = ("sender", "identifier", "sent")
        out.append(",".join(text_of(each, name) for name in names))
        if text_of(each, "msgType") == "Cancel":
            out = []
    alarms = [json.loads(message.payload) for message in ear.under("/slope/alarm")]
    rose = [f"demo-{alarm['id']}" for alarm in alarms if alarm["kind"] == "level"]
    assert len(rose) == 4
    assert [each for each in rose if each in {text_of(e, "identifier") for e in said}] == rose

    (forecast,) = late.under("/slope/forecast")
    assert forecast.retain
    assert faults("forecast", forecast.payload) == []
    found = json.loads(forecast.payload)["forecasts"]
    assert [each["channel"] for each in found] == ["crack_1"] * 3 + ["tilt_x"] * 3
    assert [each["unit"] for each in found] == ["mm"] * 3 + ["mrad"] * 3
    assert all(each["values"] == sorted(each["values"]) for each in found)
    (state,) = late.under("/slope/state")
    assert faults("state", state.payload) == []
    assert json.loads(state.payload)["level"] == 4

    observed = {message.topic for message in ear.under("/Observations")}
    assert observed == {
        "v1.1/Datastreams(17)/Observations",
        "v1.1/Datastreams('rain-7')/Observations",
    }
    for message in ear.under("/Observations"):
        values = json.loads(message.payload)
        assert set(values) == {"phenomenonTime", "resultTime", "result", "parameters"}


def test_without_the_table_nothing_is_published_and_nothing_kept(tmp_path) -> None:
    config = configured(tmp_path, "")
    assert config.publish == NOTHING
    publisher = Publisher(config, PREFIX)
    pipeline = Pipeline(config, {"slope": BUNDLE})
    (stands,) = publisher.birth(pipeline.stations, START_MS)  # but for what every gateway says
    assert (stands.topic, stands.retain) == ("talus/demo/slope/state", True)
    for item in readings(1300):
        outcome = pipeline.receive(item)
        publisher.add(outcome, item.received_ms)
        assert [m for change in outcome.changes for m in publisher.alarm(change)] == []
    assert publisher.flush(START_MS) == []
    assert publisher.state() == {}


def row(value: float, number: int = 0, received_ms: int = START_MS) -> tuple[Outcome, int]:
    values = [value, *[float("nan")] * (len(CHANNELS) - 1)]
    return Outcome("", (Row("slope", received_ms - 500, number, values),), (), ()), received_ms


def test_an_observation_is_the_newest_value_no_more_often_than_asked(tmp_path) -> None:
    config = configured(tmp_path, WANTED)
    publisher = Publisher(config, PREFIX)

    def result(now_ms: int) -> list[float]:
        return [json.loads(m.payload)["result"] for m in publisher.flush(now_ms)]

    publisher.add(*row(1.0))
    publisher.add(*row(0.0, 1))
    publisher.add(*row(float("nan"), 2))  # refused: the last value that was one stays the newest
    (message,) = publisher.flush(START_MS)
    assert message.topic == "v1.1/Datastreams(17)/Observations"
    assert not message.retain
    assert json.loads(message.payload) == {
        "phenomenonTime": "2023-12-31T23:59:59.500Z",
        "resultTime": "2024-01-01T00:00:00.000Z",
        "result": 0.0,
        "parameters": {"gateway": "demo", "station": "slope", "channel": "crack_1", "sequence": 1},
    }
    assert not message.payload.startswith(b"{")  # the relay would add to it what it is marked by
    hour_ms = 3_600_000
    publisher.add(*row(2.0))
    assert result(START_MS + hour_ms - 1) == []
    assert result(START_MS + hour_ms) == [2.0]
    assert result(START_MS + 9 * hour_ms) == []  # nothing new
    publisher.add(*row(3.0))
    assert result(START_MS - 90 * hour_ms) == [3.0]  # the clock was set back: no silence for days


@pytest.mark.parametrize(
    ("saved", "why"),
    [
        (b"\xff", "cannot be used"),
        (b"[]", "cannot be used"),
        (b'{"cap":{"slope":[1]},"discovered":[]}', "cannot be used"),
        (b'{"cap":{"slope":[1,false,["x"]]},"discovered":[]}', "cannot be read"),
        (b'{"cap":{},"discovered":["talus/#","a/config"]}', ""),
    ],
)
def test_a_damaged_state_is_told_and_does_no_harm(tmp_path, saved: bytes, why: str) -> None:
    config = configured(tmp_path, WANTED)
    publisher = Publisher(config, PREFIX, saved)
    assert [why in note for note in publisher.notes] == [True] * bool(why)
    pipeline = Pipeline(config, {"slope": BUNDLE})
    topics = [m.topic for m in publisher.birth(pipeline.stations, START_MS)]
    assert "talus/#" not in topics
    assert ("a/config" in topics) == (not why)


def test_cap_switched_off_and_on_again_still_knows_what_is_out(tmp_path) -> None:
    kept = b'{"cap":{"slope":[2,false,["a,b,2024-01-01T00:00:00-00:00"]]},"discovered":[]}'
    off = Publisher(configured(tmp_path, "[publish]\nforecast = true\n"), PREFIX, kept)
    again = Publisher(configured(tmp_path, WANTED), PREFIX, off.state()[PUBLISHED])
    assert json.loads(again.state()[PUBLISHED])["cap"] == json.loads(kept)["cap"]


def test_a_publisher_of_another_name_says_another_name(tmp_path) -> None:
    config = replace(configured(tmp_path, WANTED), name="north")
    publisher = Publisher(config, "talus/north")
    pipeline = Pipeline(config, {"slope": BUNDLE})
    for message in publisher.birth(pipeline.stations, START_MS):
        assert b"demo" not in message.payload.replace(b"demo-slope v1", b"")


DOCUMENT = (Path(__file__).parent.parent / "docs" / "messages.md").read_text(encoding="utf-8")


def example(heading: str, language: str) -> str:
    """The first block of a language under a heading of docs/messages.md."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return section.split(f"```{language}\n")[1].split("\n```")[0]


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"bench"}))  # that goes over no broker
def test_the_examples_of_the_page_are_as_the_schemas_say(name: str) -> None:
    assert faults(name, example(name, "json").encode()) == []


def test_the_rest_of_the_page_is_true_as_well(tmp_path) -> None:
    assert wrong_in(example("CAP 1.2", "xml").encode()) == []
    config = configured(tmp_path, example("Configuration", "toml"))
    assert config.publish.cap is not None
    publisher = Publisher(config, PREFIX)
    pipeline = Pipeline(config, {"slope": BUNDLE})
    told = {m.topic: json.loads(m.payload) for m in publisher.birth(pipeline.stations, START_MS)}
    shown = json.loads(example("Home Assistant", "json"))
    assert shown | {"expire_after": 7200} in told.values()
    publisher.add(*row(1.0))
    (message,) = publisher.flush(START_MS)
    assert set(json.loads(message.payload)) == set(json.loads(example("SensorThings", "json")))
    for i, words in enumerate(zip(URGENCY, SEVERITY, CERTAINTY, strict=True)):
        first = f"{i} {LEVELS[i]}" if i else "all clear"
        assert f"| {first} | {' | '.join(words)} |" in DOCUMENT
