"""A gateway as a process that publishes all there is, killed in the middle and started again."""

from __future__ import annotations

import json

from cap_rules import text_of, wrong_in
from jsonschema import Draft202012Validator
from publish_parts import WANTED, Listener

from edge.order import Order
from edge.order_box import put_order
from edge.schema_commands import NAMES, load_schema
from export.demo import make_node, write_config


def test_a_kill_breaks_no_chain_of_references_and_every_message_is_sound(
    tmp_path, broker, talus
) -> None:
    ear = Listener(broker.port)
    node = make_node(300.0)
    config = write_config(tmp_path, node.device, broker.port)
    quick = WANTED.replace("every_s = 3600", "every_s = 0")
    with config.open("a", encoding="utf-8") as file:
        file.write(quick)
    gateway = talus(config)
    with node:
        gateway.wait_log("level 2")
        gateway.kill()
        again = talus(config)
        again.wait_log("level 4")
        put_order(tmp_path / "talus-data", Order("1", "drill", "slope", "ana", level=3))
        again.wait_log("DRILL")
        ear.until(lambda: any(b"Exercise" in m.payload for m in ear.under("/slope/cap")))
        ear.until(lambda: ear.under("/forecast") and ear.under("/Observations"))
        again.stop()
    ear.until(lambda: any(not json.loads(m.payload)["online"] for m in ear.under("/status")))
    late = Listener(broker.port, "late")
    late.until(lambda: len(late.under("/config")) == 12 and late.under("/forecast"))
    late.close()
    ear.close()

    said = list(dict.fromkeys(message.payload for message in ear.under("/slope/cap")))
    assert [wrong_in(payload) for payload in said] == [[]] * len(said)
    drills = [each for each in said if text_of(each, "status") == "Exercise"]
    assert len(drills) == 1
    assert text_of(drills[0], "info", "parameter", "value") == "demo"
    real = [each for each in said if each not in drills]
    out: list[str] = []
    for each in real:
        assert (text_of(each, "msgType") == "Alert") == (not out)
        assert text_of(each, "references").split() == out
        out.append(",".join(text_of(each, key) for key in ("sender", "identifier", "sent")))
        if text_of(each, "msgType") == "Cancel":
            out = []
    told = {text_of(each, "identifier") for each in real}
    levels = {}
    for message in ear.under("/slope/alarm"):
        values = json.loads(message.payload)
        if values["kind"] == "level" and (values["level"] or values["previous_level"]):
            levels[f"demo-{values['id']}"] = values["level"]
    assert {1, 2, 3, 4} <= set(levels.values())
    assert set(levels) <= told  # every change of level became a message

    kinds = set()
    for message in ear.heard:
        kind = message.topic.rsplit("/", 1)[1]
        if message.topic.startswith("talus/") and kind in NAMES:
            kinds.add(kind)
            validator = Draft202012Validator(load_schema(kind))
            assert [e.message for e in validator.iter_errors(json.loads(message.payload))] == []
    assert kinds == set(NAMES) - {"reply", "command", "bench"}


def test_a_room_that_comes_late_sees_the_level_before_anything_changes(
    tmp_path, broker, talus
) -> None:
    gateway = talus(write_config(tmp_path, "/dev/none", broker.port))  # nothing of [publish]
    gateway.wait_log("broker: connected")
    gateway.stop()
    late = Listener(broker.port, "late")
    late.until(lambda: late.under("/slope/state"))
    (state,) = late.under("/slope/state")
    values = json.loads(state.payload)
    assert (state.retain, values["level"], values["level_name"]) == (True, 0, "normal")
    assert list(Draft202012Validator(load_schema("state")).iter_errors(values)) == []
    late.close()


def test_the_room_takes_what_is_no_json_as_well(tmp_path, broker, room, talus) -> None:
    node = make_node(1500.0)
    config = write_config(tmp_path, node.device, broker.port)
    with config.open("a", encoding="utf-8") as file:
        file.write(WANTED)
    gateway = talus(config)
    with node:
        room.wait(lambda: 4 in room.levels() and room.of("cap"))
    gateway.stop()
    for told in room.of("cap"):
        assert wrong_in(told["text"].encode()) == []
