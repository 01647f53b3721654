"""Commands to a node: each carried out once, however the line loses, doubles and delays."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.asking import MAX_WAITING, Answer
from firmware_bridge.commands import (
    ENTER_UPDATE,
    GET_SET,
    MAX_RESEND,
    PING,
    REBOOT,
    Exchange,
    Key,
    Refusal,
    Setting,
    Span,
    decode_setting,
    decode_span,
    decode_sync,
    decode_sync_request,
    sync_request,
)
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import ACK_REQ, RESPONSE, Frame, FrameDecoder, encode
from firmware_bridge.messages import Malformed
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_node import SimulatedNode, describe

CHANNELS = (Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),)
NOW_MS = 1_700_000_000_000


class Line:
    """A node and its driver over a line that loses, doubles and delays, by ``seed``."""

    def __init__(self, loss: float = 0.0, doubled: float = 0.0, seed: int = 0) -> None:
        self.node, self.driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("n", clock="arrival")
        self.now_ms = NOW_MS
        self.answers: list[Answer] = []
        self._loss, self._doubled = loss, doubled
        self._random = random.Random(seed)
        self.driver.opened(NOW_MS)
        self.run(until=lambda: self.driver.layout is not None)

    def _carried(self, frame: bytes) -> bytes:
        if self._random.random() < self._loss:
            return b""
        return frame * (2 if self._random.random() < self._doubled else 1)

    def run(self, until=None, ms: int = 60_000) -> None:
        for _ in range(ms // 50):
            self.now_ms += 50
            asked = self._carried(self.driver.write_next(self.now_ms))
            if asked:
                answer = self._carried(self.node.receive(asked))
                self.driver.receive(answer, self.now_ms)
            self.answers += self.driver.answers()
            if self.answers if until is None else until():
                return


def one(line: Line) -> Answer:
    line.run()
    (answer,) = line.answers
    return answer


def test_an_echo_comes_back_as_it_was() -> None:
    line = Line()
    ticket = line.driver.ping(bytes(range(244)))
    assert one(line) == Answer(ticket, PING, bytes(range(244)), "", 0)


def test_a_setting_is_read_and_written() -> None:
    line = Line()
    line.driver.set(Key.SAMPLES_PER_FRAME, 4)
    assert decode_setting(one(line).payload) == Setting(Key.SAMPLES_PER_FRAME, 4, written=True)
    line.answers.clear()
    line.driver.get(Key.SAMPLES_PER_FRAME)
    assert decode_setting(one(line).payload) == Setting(Key.SAMPLES_PER_FRAME, 4)


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        (99, 1, Refusal.KEY),
        (Key.PERIOD_MS, 0, Refusal.RANGE),
        (Key.KEPT_SAMPLES, 9, Refusal.READ_ONLY),
    ],
)
def test_what_a_node_refuses_is_said_in_words(key: int, value: int, code: Refusal) -> None:
    line = Line()
    line.driver.set(key, value)
    answer = one(line)
    assert (answer.code, answer.refused) == (code, code.text)


def test_no_answer_is_an_answer_too() -> None:
    line = Line()
    line._loss = 1.0
    line.driver.ping()
    assert one(line).refused == "no answer"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.4), st.floats(0, 0.5))
def test_each_command_is_carried_out_once_over_a_bad_line(seed: int, loss: float, doubled: float):
    line = Line(loss, doubled, seed)
    for value in range(2, 8):
        before = line.node.commands.carried_out
        line.answers.clear()
        line.driver.set(Key.SAMPLES_PER_STATS, value)
        line.run()
        (answer,) = line.answers
        if not answer.refused:
            assert line.node.commands.settings[Key.SAMPLES_PER_STATS] == value
            assert line.node.commands.carried_out == before + 1
        else:
            assert answer.refused == "no answer"
            assert line.node.commands.carried_out <= before + 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_a_restart_happens_once_over_a_bad_line(seed: int, update: bool) -> None:
    line = Line(0.3, 0.4, seed)
    line.driver.enter_update() if update else line.driver.reboot()
    line.run()
    (answer,) = line.answers
    assert answer.type == (ENTER_UPDATE if update else REBOOT)
    assert line.node.boot == (1 if not answer.refused else line.node.boot)
    assert line.node.boot <= 1


def test_a_gateway_that_was_restarted_is_not_answered_from_memory() -> None:
    line = Line()
    line.driver.set(Key.PERIOD_MS, 500)
    line.run()
    later = Tw1Driver("n", clock="arrival")
    line.driver, line.answers = later, []
    line.now_ms += 60_000
    later.opened(line.now_ms)
    line.run(until=lambda: later.layout is not None)
    line.node.commands.settings[Key.PERIOD_MS] = 1
    later.set(Key.PERIOD_MS, 500)
    line.run()
    assert line.node.commands.settings[Key.PERIOD_MS] == 500


def test_commands_that_nobody_can_send_are_refused_at_once() -> None:
    driver = Tw1Driver("n")
    assert driver.reboot() is None
    assert driver.enter_update() is None
    tickets = [driver.ping() for _ in range(MAX_WAITING + 1)]
    assert tickets[-1] is None
    assert None not in tickets[:-1]


def test_answers_to_nothing_are_counted() -> None:
    line = Line()
    line.driver.receive(encode(Frame(1, RESPONSE, GET_SET, 7, 0, b"")), NOW_MS)
    assert dict(line.driver.health().ignored) == {"answer": 1}


def test_the_node_ignores_what_asks_nothing() -> None:
    node = SimulatedNode(describe(CHANNELS))
    assert node.receive(encode(Frame(1, 0, PING, 1, 0, b"x"))) == b""
    (answer,) = FrameDecoder().receive(node.receive(encode(Frame(1, ACK_REQ, 0x70, 1, 0, b"x"))))
    assert answer.payload == bytes((Refusal.UNKNOWN,))


@given(st.binary(max_size=30))
def test_any_payload_decodes_to_a_value(payload: bytes) -> None:
    for decode in (decode_sync, decode_setting, decode_span, decode_sync_request):
        decode(payload)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_exchange_round_trip(t1: int, t2: int, t3: int) -> None:
    assert decode_sync(Exchange(t1, t2, t3).encode()) == Exchange(t1, t2, t3)
    assert decode_sync_request(sync_request(t1)) == t1


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_span_round_trip(first: int, last: int) -> None:
    span = Span(first, last)
    found = decode_span(span.encode())
    assert found == span if span.count <= MAX_RESEND else isinstance(found, Malformed)
