"""What is stored beside an alarm may fail; the alarm may not. What a restart forgot is told."""

from __future__ import annotations

import json
from pathlib import Path

from edge.config import load_config
from edge.desk import Desk
from edge.message import ALARM, to_json
from edge.outbox import Outbox
from edge.pipeline import Pipeline
from edge.qc import QualityControl
from edge.qc_plan import QcChannel
from firmware_bridge.reading import Reading

T0_MS = 1_700_000_000_000
TOML = """
[gateway]
name = "g"
[mqtt]
host = "localhost"
[[port]]
name = "node"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "slope"
step_s = 600
[station.decision]
profile = "none"
[[station.rule]]
name = "wide"
level = 3
when = [{ evidence = "value", above = 5.0, channels = ["crack"] }]
[[station.channel]]
name = "crack"
port = "node"
unit = "mm"
quantity = "displacement"
"""


def made(folder: Path) -> tuple[Desk, Pipeline, Outbox]:
    path = folder / "gateway.toml"
    path.write_text(TOML, encoding="utf-8")
    config = load_config(path)
    opened = {"slope": "no bundle"}
    pipeline = Pipeline(config, opened)
    outbox = Outbox(folder / "data", 10**7)
    return Desk(config, pipeline, outbox, opened), pipeline, outbox


def feed(desk: Desk, pipeline: Pipeline, values: list[float], first: int = 0) -> None:
    for i, value in enumerate(values, first):
        at_ms = T0_MS + i * 600_000
        reading = Reading("node", at_ms, i, ("crack",), (value,), at_ms)
        desk.take(pipeline.receive(reading), "node", at_ms)


def alarms(outbox: Outbox) -> list[dict]:
    found = outbox.waiting(1000, frozenset(), 10**9)
    told = [s.message for s in found if s.message.priority == ALARM and not s.message.retain]
    return [json.loads(message.payload) for message in told]


def test_an_alarm_is_stored_though_its_state_cannot_be_written(tmp_path, monkeypatch) -> None:
    desk, pipeline, outbox = made(tmp_path)
    feed(desk, pipeline, [1.0] * 10)
    endless = {"stations": {"slope": {"x": float("inf")}}}
    monkeypatch.setattr(pipeline, "snapshot", lambda: endless)
    feed(desk, pipeline, [6.0] * 10, 10)
    outbox.close()
    again = Outbox(tmp_path / "data", 10**7)
    assert [alarm["level"] for alarm in alarms(again)] == [3]
    again.close()


def test_the_room_hears_that_rules_begin_anew(tmp_path) -> None:
    desk, pipeline, outbox = made(tmp_path)
    feed(desk, pipeline, [1.0] * 10)
    state = pipeline.snapshot()
    del state["stations"]["slope"]["rules"]["decider"]["movement"]
    outbox.put([], {"pipeline": to_json(state)})
    outbox.close()
    desk, _, outbox = made(tmp_path)
    desk.start(T0_MS + 10**7)
    told = [alarm["reason"] for alarm in alarms(outbox) if alarm["kind"] == "quality"]
    assert [words for words in told if "state of the rules cannot be used" in words]
    desk.relay.stop(0.0)
    outbox.close()


def test_a_state_of_a_program_that_kept_less_is_taken_over(tmp_path) -> None:
    _, pipeline, outbox = made(tmp_path)
    outbox.close()
    state = pipeline.snapshot()
    del state["stations"]["slope"]["order"]
    del state["stations"]["slope"]["rules"]["decider"]["movement"]["recent"]
    assert pipeline.restore(state, T0_MS) == []


def test_a_jump_over_no_known_limit_does_not_spoil_the_state() -> None:
    quality = QualityControl((QcChannel("a", max_rate_per_h=10.0), QcChannel("b")), {})
    for i in range(4):
        quality.apply(T0_MS + i * 600_000, [1.0 + 0.01 * i, 2.0 - 0.01 * i])
    quality.apply(T0_MS + 4 * 600_000, [51.0, 2.0])
    saved = json.loads(to_json(quality.snapshot()))
    after = QualityControl((QcChannel("a", max_rate_per_h=10.0), QcChannel("b")), {})
    after.restore(saved)
    assert to_json(after.snapshot()) == to_json(quality.snapshot())
