"""Orders as texts, and what the alarm makes of them: latched, acknowledged, shelved, drilled."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_edge_alarm import NOW, T0_MS, levels, run, score

from edge.alarm import Alarm
from edge.order import MAX_ORDER_BYTES, WHATS, Order, OrderError, decode_order, encode_order
from edge.order_box import OrderBox, await_reply, put_order
from edge.picture import Line, Panel, draw

texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "Zs")), max_size=40)
ORDER = Order("a1", "shelve", "slope", "ana", "why", rule="fast", until_ms=5)


@given(texts, texts, st.integers(0, 2**40))
def test_an_order_is_read_as_it_was_written(why: str, rule: str, until_ms: int) -> None:
    order = replace(ORDER, why=why.replace("\xa0", " "), rule=rule + "r", until_ms=until_ms)
    try:
        assert decode_order(encode_order(order)) == order
    except OrderError:
        assert not (order.why.isprintable() and order.rule.isprintable())


@given(st.binary(max_size=200))
def test_any_bytes_are_an_order_or_an_order_error(data: bytes) -> None:
    try:
        decode_order(data)
    except OrderError:
        return
    raise AssertionError("random bytes were taken for an order")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"what": "explode"}, f"not one of {', '.join(WHATS)}"),
        ({"id": "../../etc"}, "id: letters"),
        ({"who": ""}, "who: missing"),
        ({"level": 9, "what": "drill"}, "level: 1 to 4"),
        ({"level": True}, "level: a whole number"),
        ({"rule": ""}, "which rule"),
        ({"what": "rezero"}, "channel: which"),
        ({"why": "a\nb"}, "printable"),
        ({"more": 1}, "unknown key 'more'"),
        ({"why": "x" * 500}, "at most 200"),
    ],
)
def test_an_order_that_cannot_be_is_named(change: dict, said: str) -> None:
    with pytest.raises(OrderError, match=said):
        decode_order(json.dumps({**json.loads(encode_order(ORDER)), **change}))
    with pytest.raises(OrderError, match="longer"):
        decode_order(b" " * (MAX_ORDER_BYTES + 1))


def test_a_box_gives_each_order_once_it_is_due_and_its_answer_back(tmp_path) -> None:
    box = OrderBox(tmp_path)
    assert box.look(0) == []
    put_order(tmp_path, ORDER)
    (tmp_path / "orders" / "0-bad.order").write_bytes(b"\xff")
    assert box.look(100) == []  # not so often
    assert box.look(600) == [ORDER]
    box.answer(ORDER, 600, done=True, text="as you say")
    reply = await_reply(tmp_path, ORDER, 1.0)
    assert reply is not None
    assert (reply.done, reply.text) == (True, "as you say")
    assert box.look(1200) == []
    assert len((tmp_path / "orders.log").read_text().splitlines()) == 2
    assert list((tmp_path / "orders").iterdir()) == []


def latching() -> Alarm:
    return Alarm("slope", NOW, "bundle v1", latch_level=3)


def test_a_latched_level_stays_until_it_is_acknowledged() -> None:
    one = latching()
    assert levels(one, 4.0, 0.1, 0.1) == [3, 3, 3]
    assert one.latched
    event = one.acknowledge(T0_MS, "ana")
    assert (event.kind, event.level, event.acknowledged_by) == ("acknowledged", 3, "ana")
    assert levels(one, 0.1, start=3) == [0]
    assert levels(one, 4.0, 0.1, start=4) == [3, 3]  # what was seen then is not seen now


def test_below_the_latch_a_level_falls_by_itself_and_a_higher_one_must_be_seen_anew() -> None:
    one = latching()
    assert levels(one, 2.0, 0.1) == [2, 0]
    levels(one, 4.0, start=2)
    one.acknowledge(T0_MS, "ana")
    assert levels(one, 8.0, 0.1, start=3) == [4, 4]


def test_what_is_shelved_asks_for_nothing_until_its_time_and_that_is_told() -> None:
    one = latching()
    event = one.shelve(T0_MS, "models", T0_MS + 60_000, "ana", "digging")
    assert (event.kind, event.shelved) == ("shelved", (("models", T0_MS + 60_000),))
    assert levels(one, 8.0) == [0]
    assert one.expire(T0_MS + 59_999) == []
    (over,) = one.expire(T0_MS + 60_000)
    assert over.reason == "models is no longer shelved: its time is over"
    assert levels(one, 8.0, start=2) == [4]


def test_a_drill_changes_nothing() -> None:
    one = latching()
    (rise,) = run(one, (score(4.0),))
    before = one.snapshot()
    event = one.drill(T0_MS, 4, "ana")
    assert (event.kind, event.level, event.previous_level) == ("drill", 4, 3)
    assert {**one.snapshot(), "count": 0} == {**before, "count": 0}
    assert rise is not None


def test_what_the_rules_ask_for_counts_beside_the_scores() -> None:
    one = latching()
    change = one.rule(T0_MS, T0_MS, 2)
    assert change is not None
    assert change.level == 2
    assert levels(one, 0.1) == [2]
    fallen = one.rule(T0_MS + 99_999, T0_MS, 0)
    assert fallen is not None
    assert fallen.reason == "level fell to 0 (normal): no rule asks for more"


@given(st.lists(st.floats(), max_size=50))
def test_any_series_can_be_drawn(values: list[float]) -> None:
    line = Line("<a>", [T0_MS + i * 1000 for i in range(len(values))], values)
    text = draw("a & b", [Panel("x", "mm", (line,), limit=2.0)], [(T0_MS, "level <4>")])
    import xml.etree.ElementTree as ET

    ET.fromstring(text)
