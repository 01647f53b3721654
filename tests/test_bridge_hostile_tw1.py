"""TW1 nodes that restart, share a line, or announce what cannot be."""

from __future__ import annotations

from collections import Counter

from hostile_peer import CHANNELS, NOW_MS, Items, Talk, readings, reasons

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import RESPONSE, VERSION, Frame, FrameDecoder, encode
from firmware_bridge.messages import DESCRIBE, HELLO, MAX_CHANNELS, Hello
from firmware_bridge.reading import Dropped
from firmware_bridge.sim_node import NodeIdentity, SimulatedNode, describe


def only(kind: int, frames: bytes) -> list[Frame]:
    found = FrameDecoder().receive(frames)
    return [item for item in found if isinstance(item, Frame) and item.type == kind]


def test_a_node_that_restarts_in_the_middle_of_a_frame() -> None:
    talk = Talk("tw1")
    items = talk.driver.receive(talk.row(0), NOW_MS)
    cut = talk.row(1)[:11]
    items += talk.driver.receive(cut + talk.node.reboot() + talk.row(0), NOW_MS + 1000)
    items += talk.answer(NOW_MS + 1000) + talk.driver.receive(talk.row(1), NOW_MS + 2000)
    assert [reading.values[0] for reading in readings(items)] == [0.0, 0.0, 0.25]
    assert sum(reasons(items).values()) == 1
    assert talk.driver.health().reboots == 1


def test_two_nodes_on_one_line_are_told_and_cost_neither_memory_nor_a_flood() -> None:
    one = SimulatedNode(describe(CHANNELS), NodeIdentity(uid=b"NODE-AAA"))
    other = SimulatedNode(describe(CHANNELS[:1]), NodeIdentity(uid=b"NODE-BBB"))
    other.reboot()
    driver = Tw1Driver("port-1", clock="arrival")
    driver.opened(NOW_MS)
    items: Items = []
    asked = 0
    for i in range(600):
        now_ms = NOW_MS + 500 * i
        question = driver.write_next(now_ms)
        asked += bool(question)
        for node in (one, other):  # both hear it, and both answer
            items += driver.receive(node.receive(question), now_ms)
        items += driver.receive(b"".join(one.sample((1.0, 2.0), i * 500_000)), now_ms)
        items += driver.receive(b"".join(other.sample((-9.0,), i * 500_000)), now_ms + 250)
    told = [item for item in items if isinstance(item, Dropped) and item.reason == "message"]
    assert any("speak on one line" in item.detail for item in told)
    assert any("4e4f44452d414141" in i.detail and "4e4f44452d424242" in i.detail for i in told)
    assert asked <= 600
    # No value of one is ever read with the layout of the other.
    for reading in readings(items):
        assert reading.values == ((1.0, 2.0) if len(reading.channels) == 2 else (-9.0,))
    assert dict(reasons(items)) == dict(driver.health().dropped)


def test_a_peer_that_announces_more_channels_than_there_can_be_is_not_believed() -> None:
    driver = Tw1Driver("port-1")
    driver.opened(NOW_MS)
    hello = Hello(1, b"12345678", (9, 9, 9), bytes(8), 0xFFFF, 65_535, 255)
    items = driver.receive(encode(Frame(VERSION, RESPONSE, HELLO, 1, 0, hello.encode())), NOW_MS)
    asked: Counter[int] = Counter()
    for i in range(2000):
        now_ms = NOW_MS + 100 * i
        for question in only(DESCRIBE, driver.write_next(now_ms)):
            asked[question.payload[0]] += 1
            answer = describe([CHANNELS[0]])[0].encode()
            huge = bytes((question.payload[0], 255)) + answer[2:]
            frame = encode(Frame(VERSION, RESPONSE, DESCRIBE, question.seq, 0, huge))
            items += driver.receive(frame, now_ms)
    assert driver.layout is None
    assert max(asked, default=0) < MAX_CHANNELS
    assert 3 <= sum(asked.values()) <= 200  # in 200 s: it goes on asking, and not all the time
    assert readings(items) == []
