"""The TW1 driver where it must ask: layouts unknown or changed, reboots, contradictions."""

from __future__ import annotations

import random

from tw1_pair import CHANNELS, NOW_MS, met, only_dropped, only_reading, pair, sent

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import (
    RESPONSE,
    VERSION,
    Frame,
    FrameDecoder,
    encode,
)
from firmware_bridge.interview import FIRST_WAIT_MS, MAX_WAIT_MS, RECHECK_MS
from firmware_bridge.messages import HELLO, DType
from firmware_bridge.reading import Channel, Dropped, Quantity, Reading, Unit
from firmware_bridge.samples import HELD
from firmware_bridge.sim_faults import Faults, FaultyWire
from firmware_bridge.sim_node import SimulatedNode, describe


def test_questions_are_repeated_ever_more_slowly() -> None:
    driver = Tw1Driver("n")
    driver.opened(NOW_MS)
    asked = [now for now in range(NOW_MS, NOW_MS + 60_000, 50) if driver.write_next(now)]
    waits = [b - a for a, b in zip(asked, asked[1:], strict=False)]
    assert waits[:4] == [FIRST_WAIT_MS * 2**i for i in range(4)]
    assert set(waits[6:]) == {MAX_WAIT_MS}


def test_the_layout_is_found_over_a_bad_line() -> None:
    rng = random.Random(3)
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("n")
    wire = FaultyWire(Faults(drop_rate=0.3, flip_rate=0.3, garbage_rate=0.3, seed=3))
    for now in range(NOW_MS, NOW_MS + 120_000, 100):
        asked = driver.write_next(now)
        if asked and rng.random() < 0.7:
            driver.receive(wire.carry(node.receive(asked)), now)
        if driver.layout:
            break
    assert driver.layout == CHANNELS


def test_another_layout_is_asked_for_and_its_sample_waits() -> None:
    node, driver = pair()
    driver.receive(sent(node), NOW_MS)
    wider = (*CHANNELS, Channel("battery", Quantity.BATTERY_VOLTAGE, Unit.V, 0.0, 5.0, 0))
    node.reboot(describe(wider))  # its HELLO is lost
    assert driver.receive(sent(node, (1.0, 2.0, 3.6)), NOW_MS + 1000) == []
    met(node, driver, NOW_MS + 1000)
    assert driver.layout == wider
    assert dict(driver.health().dropped) == {}
    reading = only_reading(driver.receive(sent(node, (1.0, 2.0, 3.6), 1), NOW_MS + 2000))
    assert reading.values == (1.0, 2.0, 3.6)
    assert driver.health().reboots == 1
    assert driver.health().gaps == 0  # the sample that waited did arrive


def test_samples_of_a_layout_that_never_becomes_known_are_refused_and_counted() -> None:
    node, driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("n")
    for _ in range(HELD):
        assert driver.receive(sent(node), NOW_MS) == []
    assert only_dropped(driver.receive(sent(node), NOW_MS)).reason == "schema"
    assert dict(driver.health().dropped) == {"schema": 1}


def test_a_node_that_contradicts_itself_is_not_asked_without_pause() -> None:
    liar = SimulatedNode(describe(CHANNELS))
    other = SimulatedNode(describe(CHANNELS, DType.F32, 0))
    driver = Tw1Driver("n", clock="arrival")
    asked = 0
    found: list[Reading | Dropped] = []
    for now in range(NOW_MS, NOW_MS + 20_000, 10):
        question = driver.write_next(now)
        asked += bool(question)
        if question:
            answer = liar if question[4:5] == b"\x01" or len(question) == 12 else other
            found += driver.receive(answer.receive(question), now)
    assert driver.layout is None
    assert 3 <= asked <= 20
    assert {item.reason for item in found if isinstance(item, Dropped)} == {"message"}


def test_a_reboot_shows_on_the_next_frame() -> None:
    node, driver = pair()
    first = only_reading(driver.receive(sent(node, second=500), NOW_MS))
    driver.receive(node.reboot(), NOW_MS + 3000)
    second = only_reading(driver.receive(sent(node, second=0), NOW_MS + 4000))
    assert second.time_ms == NOW_MS + 4000 > first.time_ms
    assert driver.health().reboots == 1
    assert driver.write_next(NOW_MS + 4000) == b""  # the HELLO told all


def test_a_reboot_whose_counter_stands_still_is_found_by_asking() -> None:
    node, driver = pair()
    driver.receive(sent(node, second=9), NOW_MS)
    restarted = SimulatedNode(describe(CHANNELS))
    restarted.reboot()
    restarted.boot, hello = 0, restarted.hello()  # a new boot id under the old counter
    assert only_dropped(driver.receive(sent(restarted), NOW_MS + 60_000)).reason == "duplicate"
    question = driver.write_next(NOW_MS + 60_000)
    assert [item.type for item in FrameDecoder().receive(question)] == [HELLO]
    boot_1 = bytearray(FrameDecoder().receive(hello)[0].payload)
    boot_1[0] ^= 0x55
    driver.receive(encode(Frame(VERSION, RESPONSE, HELLO, 1, 0, bytes(boot_1))), NOW_MS + 60_001)
    assert driver.health().reboots == 1
    restarted.sample_index = 0
    assert only_reading(driver.receive(sent(restarted), NOW_MS + 61_000)).sequence == 0


def test_doubt_does_not_flood_the_line() -> None:
    node, driver = pair()
    frame = sent(node)
    asked = 0
    for now in range(NOW_MS, NOW_MS + 60_000, 100):
        driver.receive(frame, now)
        question = driver.write_next(now)
        asked += bool(question)
        driver.receive(node.receive(question), now)
    assert 1 <= asked <= 60_000 // RECHECK_MS
