"""The schemas of what is said to a gateway and what it answers, and of its alarm about itself."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from remote_parts import KEY, OTHER, Side, bundle_chunks, signed

from edge.outbox import Outbox
from edge.outbox_alarm import outbox_alarms
from edge.remote_command import FIELDS, Command, decode_command
from edge.schema_commands import load_schema
from export.command_sign import make_command

VALIDATORS = {n: Draft202012Validator(load_schema(n)) for n in ("command", "reply", "alarm")}
STATION = {"station": "slope"}
HEAD = {"gateway": "bluff", "who": "ana"}
SOUND: dict[str, dict[str, Any]] = {
    "acknowledge": STATION | {"why": "seen"},
    "shelve": STATION | {"rule": "models", "until_ms": 5},
    "drill": STATION | {"level": 2},
    "rezero": STATION | {"channel": "crack"},
    "health_now": {},
    "telemetry_rate": {"every_ms": 500, "until_ms": 5},
    "backfill": {"from_ms": 1, "to_ms": 2},
    "install_bundle": {"bundle": "b", "name": "gru.onnx", "index": 0, "total": 1,
                       "sha256": "a" * 64, "data": "AAAA"},
    "commit_bundle": {"station": "*", "bundle": "running", "now": 1},
    "install_config": {"name": "gateway.toml", "index": 0, "total": 1, "sha256": "a" * 64,
                       "data": "AAAA"},
    "install_package": {"name": "a.deb.minisig", "index": 0, "total": 1, "sha256": "a" * 64,
                        "data": "AAAA"},
    "commit_update": {"update": "package"},
}  # fmt: skip


def faults(kind: str, values: Any) -> list[str]:
    found = VALIDATORS[kind].iter_errors(values)
    return [f"{list(each.path)}: {each.message[:200]}" for each in found]


def command(what: str, key: Any = KEY, **more: Any) -> dict[str, Any]:
    data = make_command({**HEAD, "what": what, **SOUND[what], **more}, key, 1_700_000_000_000)
    return dict(json.loads(data))


@pytest.mark.parametrize("what", FIELDS)
@pytest.mark.parametrize("key", [KEY, None])
def test_each_command_as_it_is_sent_is_as_its_schema_says(what: str, key) -> None:
    assert set(SOUND) == set(FIELDS)
    values = command(what, key)
    assert faults("command", values) == []
    for name in values:
        less = {k: v for k, v in values.items() if k != name}
        read = isinstance(decode_command(json.dumps(less).encode()), Command)
        assert (faults("command", less) == []) == read, name


@pytest.mark.parametrize(
    ("what", "damage"),
    [
        ("drill", {"level": 0}),
        ("drill", {"level": 5}),
        ("drill", {"level": "3"}),
        ("drill", {"level": True}),
        ("drill", {"rule": "models"}),
        ("drill", {"a_field_of_tomorrow": 1}),
        ("drill", {"what": "reboot"}),
        ("drill", {"id": "a b"}),
        ("drill", {"who": ""}),
        ("drill", {"who": "a" * 201}),
        ("drill", {"nonce": "short"}),
        ("drill", {"time_ms": -1}),
        ("shelve", {"rule": ""}),
        ("rezero", {"channel": ""}),
        ("telemetry_rate", {"every_ms": 99}),
        ("telemetry_rate", {"every_ms": 3_600_001}),
        ("telemetry_rate", {"until_ms": 2**53}),
        ("install_bundle", {"name": "../x"}),
        ("install_bundle", {"bundle": ".hidden"}),
        ("install_bundle", {"index": 2048, "total": 2049}),
        ("install_bundle", {"sha256": "A" * 64}),
        ("install_bundle", {"data": "A" * 43_696}),
        ("commit_bundle", {"bundle": "a/b"}),
        ("commit_bundle", {"now": 2}),
        ("commit_bundle", {"now": True}),
        ("drill", {"now": 1}),
    ],
)
def test_what_the_gateway_would_not_read_is_refused_by_the_schema(what, damage) -> None:
    values = command(what) | damage
    assert not isinstance(decode_command(json.dumps(values).encode()), Command)
    assert faults("command", values)


def test_every_answer_is_as_its_schema_says(tmp_path) -> None:
    side = Side(tmp_path)
    side.say(what="health_now")
    side.say(what="telemetry_rate", every_ms=200, until_ms=side.now_ms() + 1000)
    side.say(what="backfill", from_ms=1, to_ms=2)
    side.say(what="health_now", key=None)
    side.say(what="health_now", key=OTHER)
    side.say(what="health_now", gateway="other")
    side.send(b"[]")
    side.send(b'{"id":"a-b","what":"nothing"}')
    parts = list(bundle_chunks(signed(tmp_path / "new", 6, version=2)))
    for values in parts[:3]:
        side.say(**values)
    assert side.install(tmp_path / "new")["done"]
    side.say(what="commit_bundle", station="slope", bundle="next")
    side.say(what="commit_bundle", station="nowhere", bundle="next")
    replies = side.replies()
    assert [faults("reply", each) for each in replies] == [[]] * len(replies)
    known = set(load_schema("reply")["properties"])
    assert {key for each in replies for key in each} == known - {"replayed", "next"}  # of updates
    for each in replies:
        for key in ("format", "gateway", "time_ms", "id", "done", "text"):
            assert faults("reply", {k: v for k, v in each.items() if k != key}), key
    assert faults("reply", replies[0] | {"reason": "replayed"})  # done and refused
    assert faults("reply", {k: v for k, v in replies[0].items() if k != "what"})


def test_the_alarm_of_a_damaged_outbox_is_an_alarm_of_the_gateway_itself(tmp_path) -> None:
    Outbox(tmp_path, 10**6).close()
    (tmp_path / "outbox.db").write_bytes(b"no database" * 500)
    outbox = Outbox(tmp_path, 10**6)
    (message,) = outbox_alarms(outbox, "talus/bluff", "bluff", time.time_ns() // 1_000_000)
    outbox.close()
    values = json.loads(message.payload)
    assert message.topic == "talus/bluff/alarm"
    assert (values["station"], values["kind"]) == (None, "outbox")
    assert faults("alarm", values) == []
    assert faults("alarm", values | {"replayed": True}) == []
    assert faults("alarm", values | {"station": "slope"})  # that has a level
    assert faults("alarm", values | {"level": 0})
    for key in values:
        assert faults("alarm", {k: v for k, v in values.items() if k != key}), key
