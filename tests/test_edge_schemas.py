"""The published schemas: a real gateway keeps to them, and they refuse what is damaged."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from edge.order import Order
from edge.order_box import put_order
from edge.schema_commands import NAMES, format_of, load_schema
from export.demo import make_node, write_config

KINDS = ("alarm", "state", "health", "telemetry", "status")
VALIDATORS = {name: Draft202012Validator(load_schema(name)) for name in NAMES}
RULES = '\n[station.decision]\nprofile = "general"\n'


def faults(kind: str, values: Any) -> list[str]:
    found = VALIDATORS[kind].iter_errors(values)
    return [f"{'/'.join(map(str, each.path))}: {each.message[:200]}" for each in found]


def undescribed(values: Any, schema: dict[str, Any], root: dict[str, Any]) -> list[str]:
    """Fields that a schema says nothing of."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rsplit("/", 1)[1]]
    found = []
    if isinstance(values, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties")
        for key, each in values.items():
            if key not in known and others is None and (known or "type" not in schema):
                found.append(key)
            found += undescribed(each, known.get(key, others or {"type": "any"}), root)
    elif isinstance(values, list):
        places = schema.get("prefixItems", [])
        for i, each in enumerate(values):
            inner = places[i] if i < len(places) else schema.get("items", {"type": "any"})
            found += undescribed(each, inner, root)
    return found


@pytest.fixture(params=["models", "rules"])
def run(request, tmp_path, broker, room, talus) -> tuple[str, list[tuple[str, Any]]]:
    """All that a gateway publishes of a slope that fails, with orders, rules and a lost port."""
    node = make_node(1500.0)
    config = write_config(tmp_path, node.device, broker.port)
    if request.param == "rules":  # they see the slope fail before the models do
        with config.open("a", encoding="utf-8") as file:
            file.write(RULES)
    gateway = talus(config)
    with node:
        room.wait(lambda: node.rows_sent == 1426 and 4 in room.levels())
        until_ms = int(time.time() * 1000) + 3_600_000
        for order in (
            Order("1", "drill", "slope", "ana", level=2),
            Order("2", "acknowledge", "slope", "ana"),
            Order("3", "shelve", "slope", "ana", "a try", rule="models", until_ms=until_ms),
        ):
            put_order(tmp_path / "talus-data", order)
        room.wait(lambda: room.of("alarm")[-1]["kind"] == "shelved" and room.of("health"))
    room.wait(lambda: any(alarm["no_data"] for alarm in room.of("alarm")))
    gateway.stop()
    room.wait(lambda: any(not status["online"] for status in room.of("status")))
    messages = [(topic.rsplit("/", 1)[1], values) for topic, values, _ in room.messages]
    return request.param, messages


def test_every_message_of_a_real_run_is_as_its_schema_says(run) -> None:
    watched_by, run = run
    assert {kind for kind, _ in run} == set(KINDS)
    for kind, values in run:
        assert faults(kind, values) == [], kind
        schema = load_schema(kind)
        assert undescribed(values, schema, schema) == [], kind
    alarms = [values for kind, values in run if kind == "alarm"]
    assert {"level", "silence", "drill", "acknowledged", "shelved"} <= {a["kind"] for a in alarms}
    assert any(alarm["rules" if watched_by == "rules" else "forecasts"] for alarm in alarms)
    assert any(alarm["acknowledged_by"] == "ana" and alarm["shelved"] for alarm in alarms)
    assert any(v["steps"] and v["steps"][-1]["forecasts"] for k, v in run if k == "telemetry")

    richest: dict[str, Any] = {}
    for kind, values in run:
        if len(json.dumps(values)) > len(json.dumps(richest.get(kind, ""))):
            richest[kind] = values
    for kind, values in richest.items():
        few = {key: each[:2] for key, each in values.items() if key in ("rows", "steps")}
        refuses_damage(kind, values | few)


def refuses_damage(kind: str, values: dict[str, Any]) -> None:
    """Take away each field that is required, and put a wrong kind of value at every place."""
    schema = load_schema(kind)
    branch = "then" if Draft202012Validator(schema.get("if", True)).is_valid(values) else "else"
    also = schema.get(branch, {}).get("required", [])
    for key in [*schema["required"], *also]:
        assert faults(kind, {k: v for k, v in values.items() if k != key}), f"{kind} without {key}"
    for place in places(values):
        damaged = copy.deepcopy(values)
        inside: Any = damaged
        for step in place[:-1]:
            inside = inside[step]
        was = inside[place[-1]]
        inside[place[-1]] = {"wrong": [True]} if not isinstance(was, dict) else ["wrong"]
        assert not VALIDATORS[kind].is_valid(damaged), f"{kind}: {place} may be anything"


def places(values: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to every value; of long lists the first and the last."""
    if isinstance(values, dict):
        inner = list(values.items())
    elif isinstance(values, list) and values:
        inner = list({0: values[0], len(values) - 1: values[-1]}.items())
    else:
        return []
    found = []
    for key, each in inner:
        found += [(*before, key), *places(each, (*before, key))]
    return found


ALARM: dict[str, Any] = {
    "format": 1, "id": "slope-1-1", "gateway": "demo", "station": "slope", "time_ms": 1,
    "received_ms": 2, "level": 3, "level_name": "warning", "previous_level": 2, "no_data": False,
    "silent": [], "quality": {}, "kind": "level", "reason": "r", "bundle": "none", "version": "1",
    "latched": False, "acknowledged_by": "", "shelved": {}, "rules": [], "ages_ms": {},
    "evidence": [], "forecasts": [],
}  # fmt: skip
FORECAST: dict[str, Any] = {
    "format": 1, "gateway": "demo", "station": "slope", "time_ms": 1,
    "forecasts": [{"channel": "c", "horizon_ms": 600_000, "model": "gru", "unit": "mm",
                   "quantiles": [0.1, 0.5, 0.9], "values": [0.0, 1.0, None]}],
}  # fmt: skip
STATUS: dict[str, Any] = {
    "format": 1, "gateway": "demo", "online": True, "version": "1", "started_ms": 1,
    "bundles": {"slope": "demo v1", "bluff": None},
}  # fmt: skip
BACKFILLED: dict[str, Any] = {
    "format": 1, "id": "slope-1-1", "gateway": "demo", "station": "slope", "replayed": True,
    "backfill": "a command", "fields": ["time_ms", "sequence", "crack"], "rows": [[1, 2, None]],
}  # fmt: skip
THINNED: dict[str, Any] = {
    **{key: value for key, value in BACKFILLED.items() if key not in ("backfill", "replayed")},
    "level": 0, "no_data": False, "forecast_fields": [], "steps": [],
    "score_fields": ["kind", "channel", "value", "threshold", "armed"],
    "thinned": {"every": 10, "rows": 40, "from_ms": 1, "to_ms": 2, "min": [0.0], "max": [None]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "good", "damage"),
    [
        ("alarm", ALARM, {"format": 2}),
        ("alarm", ALARM, {"level": 5}),
        ("alarm", ALARM, {"level": -1}),
        ("alarm", ALARM, {"level": 3.5}),
        ("alarm", ALARM, {"level": True}),
        ("alarm", ALARM, {"level_name": "alarm"}),  # the number says warning
        ("alarm", ALARM, {"level_name": "red"}),
        ("alarm", ALARM, {"id": ""}),
        ("alarm", ALARM, {"reason": ""}),
        ("alarm", ALARM, {"station": "a/b"}),
        ("alarm", ALARM, {"quality": {"crack": "good"}}),
        ("alarm", ALARM, {"evidence": [{"kind": "velocity"}]}),
        ("alarm", ALARM, {"time_ms": "2024-01-01T00:00:00Z"}),
        ("forecast", FORECAST, {"forecasts": []}),
        ("forecast", FORECAST, {"forecasts": [FORECAST["forecasts"][0] | {"quantiles": [1.0]}]}),
        ("forecast", FORECAST, {"forecasts": [FORECAST["forecasts"][0] | {"horizon_ms": 0}]}),
        ("status", STATUS, {"online": "yes"}),
        ("status", STATUS, {"gateway": ""}),
        ("telemetry", BACKFILLED, {"replayed": "yes"}),
        ("telemetry", BACKFILLED, {"fields": ["sequence", "time_ms", "crack"]}),
        ("telemetry", BACKFILLED, {"rows": [[1, 2]]}),
        ("telemetry", BACKFILLED, {"rows": [[1.5, 2, 0.0]]}),
        ("telemetry", THINNED, {"thinned": {"every": 10}}),
        ("telemetry", THINNED, {"score_fields": ["channel", "kind"]}),
    ],
)
def test_a_value_that_means_nothing_is_refused(kind, good, damage) -> None:
    assert faults(kind, good) == []
    assert faults(kind, good | {"a_field_of_tomorrow": 1}) == []
    assert faults(kind, good | damage)


@pytest.mark.parametrize("name", NAMES)
def test_the_schemas_are_sound_and_say_their_format(name) -> None:
    schema = load_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:talus:schema:{name}:{format_of(schema)}"
    assert ("format" in schema["required"]) == (name != "command")
    assert faults(name, {"wrong": 1})


def test_the_command_prints_them() -> None:
    command = [sys.executable, "-m", "edge", "schemas"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [line.split()[:3] for line in listed.splitlines()] == [[n, "format", "1"] for n in NAMES]
    one = subprocess.run([*command, "alarm"], capture_output=True, text=True, check=True).stdout
    assert json.loads(one) == load_schema("alarm")
    unknown = subprocess.run([*command, "no"], capture_output=True, text=True, check=False)
    assert unknown.returncode == 2
    assert "invalid choice: 'no'" in unknown.stderr
