"""Gaps that are asked for again: filled in order, never waited for longer than allowed."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.commands import RESEND, Refusal
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.filling import AGAIN_MS, HOLD_MS, HOLD_SAMPLES
from firmware_bridge.framing import ERROR, RESPONSE, Frame, FrameDecoder, encode
from firmware_bridge.reading import Channel, Dropped, Quantity, Reading, Unit
from firmware_bridge.sim_node import KEPT, SimulatedNode, describe

CHANNELS = (Channel("tilt", Quantity.TILT, Unit.MRAD, -260.0, 260.0, 1000),)
NOW_MS = 1_700_000_000_000
WRAP = 1 << 32


class Line:
    """A node, its driver, and the time between them."""

    def __init__(self, start: int = 0) -> None:
        self.node, self.driver = SimulatedNode(describe(CHANNELS)), Tw1Driver("n", clock="arrival")
        self.node.sample_index = start
        self.now_ms = NOW_MS
        self.items: list[Reading | Dropped] = []
        self.driver.opened(self.now_ms)
        while self.ask():
            pass

    def ask(self, *, answered: bool = True) -> bytes:
        question = self.driver.write_next(self.now_ms)
        if question and answered:
            self.items += self.driver.receive(self.node.receive(question), self.now_ms)
        return question

    def sample(self, *, lost: bool = False, tick_ms: int = 10) -> None:
        self.now_ms += tick_ms
        second = self.node.sample_index % WRAP
        frames = b"".join(self.node.sample((0.001 * (second % 100_000),), 10_000 * second))
        if not lost:
            self.items += self.driver.receive(frames, self.now_ms)

    def twice(self) -> None:
        """Let the last sample arrive again."""
        index = (self.node.sample_index - 1) % WRAP
        frame = self.node._send(index, [self.node._kept[index]], 0)
        self.items += self.driver.receive(frame, self.now_ms)

    def wait(self, ms: int) -> None:
        self.now_ms += ms
        self.items += self.driver.receive(b"", self.now_ms)

    @property
    def sequences(self) -> list[int]:
        return [item.sequence for item in self.items if isinstance(item, Reading)]


def test_a_gap_is_asked_for_and_filled_in_order() -> None:
    line = Line()
    for i in range(10):
        line.sample(lost=i in (3, 4, 7))
    assert line.sequences == [0, 1, 2]  # what came after waits
    while line.ask():
        pass
    assert line.sequences == list(range(10))
    assert line.driver.health().gaps == 0
    assert line.node.resent == 3


def test_what_is_lost_again_on_its_way_is_asked_for_once_more() -> None:
    line = Line()
    for i in range(6):
        line.sample(lost=i in (2, 3))
    question = line.ask(answered=False)
    answers = line.node.receive(question).split(b"\0\0")  # the promise, sample 2, sample 3
    line.items += line.driver.receive(answers[0] + b"\0\0" + answers[2] + b"\0", line.now_ms)
    assert line.sequences == [0, 1]
    assert line.ask() == b""  # it may still come
    due_ms = line.driver.due_ms(line.now_ms)
    assert due_ms is not None
    assert due_ms <= line.now_ms + AGAIN_MS
    line.now_ms += AGAIN_MS
    while line.ask():
        pass
    assert line.sequences == list(range(6))
    assert line.driver.health().gaps == 0


def test_the_gap_may_be_where_the_numbers_wrap() -> None:
    line = Line(start=WRAP - 3)
    for i in range(8):
        line.sample(lost=2 <= i <= 4)
    while line.ask():
        pass
    assert line.sequences == [(WRAP - 3 + i) % WRAP for i in range(8)]


def test_what_the_node_no_longer_has_is_not_waited_for() -> None:
    line = Line()
    line.sample()
    for _ in range(5):
        line.sample(lost=True)
    line.node._kept.clear()
    line.sample()
    while line.ask():
        pass
    assert line.sequences == [0, 6]
    assert line.driver.health().gaps == 5


def test_half_of_a_gap_may_be_gone() -> None:
    line = Line()
    line.sample()
    for _ in range(5):
        line.sample(lost=True)
    line.node._kept.pop(1)
    line.node._kept.pop(2)
    line.sample()
    while line.ask():
        pass
    assert line.sequences == [0, 3, 4, 5, 6]
    assert line.driver.health().gaps == 2


def test_a_node_that_never_answers_holds_nothing_up_for_longer_than_allowed() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    line.sample()
    due = line.driver.due_ms(line.now_ms)
    assert due is not None
    asked = 0
    for _ in range(34):  # 250, 500 and 1000 ms of waiting for an answer
        line.wait(50)
        asked += bool(line.ask(answered=False))
    assert line.sequences == [0]
    assert asked == 3
    line.wait(HOLD_MS - 34 * 50)
    assert line.sequences == [0, 2]
    assert line.driver.health().gaps == 1


def test_a_node_of_old_firmware_is_asked_once() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    line.sample()
    (question,) = FrameDecoder().receive(line.ask(answered=False))
    assert question.type == RESEND
    refusal = bytes((Refusal.UNKNOWN,))
    answer = Frame(1, RESPONSE | ERROR, RESEND, question.seq, 0, refusal)
    line.items += line.driver.receive(encode(answer), line.now_ms)
    assert line.sequences == [0, 2]
    line.sample(lost=True)
    line.sample()
    assert line.sequences == [0, 2, 4]
    assert line.ask() == b""


def test_a_long_outage_is_a_gap_and_nothing_is_held() -> None:
    line = Line()
    line.sample()
    for _ in range(KEPT * 2):
        line.sample(lost=True)
    line.sample()
    assert line.sequences == [0, KEPT * 2 + 1]
    assert line.driver.health().gaps == KEPT * 2


def test_a_flood_behind_a_gap_is_bounded() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    for _ in range(HOLD_SAMPLES + 5):
        line.sample(tick_ms=0)
    assert len(line.sequences) > HOLD_SAMPLES


def test_a_clock_set_back_does_not_hold_samples_for_ever() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    line.sample()
    line.now_ms -= 86_400_000
    line.sample()
    assert line.sequences == [0, 2, 3]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["sample", "lost", "ask", "silence", "twice"]), max_size=80),
    st.integers(0, WRAP - 1),
)
def test_whatever_is_lost_the_order_holds_and_the_accounts_balance(
    steps: list[str], start: int
) -> None:
    line = Line(start)
    line.sample()
    for step in steps:
        if step in ("sample", "lost"):
            line.sample(lost=step == "lost")
        elif step == "twice" and line.sequences:
            line.twice()
        else:
            line.ask(answered=step == "ask")
        line.wait(30)
    line.sample()
    line.wait(HOLD_MS + 100)
    line.wait(HOLD_MS + 100)
    order = [(sequence - start) % WRAP for sequence in line.sequences]
    assert order == sorted(set(order))
    assert len(order) + line.driver.health().gaps == (line.node.sample_index - start) % WRAP


def test_a_node_that_loses_its_count_behind_a_gap_holds_nothing_up() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    line.sample()  # held: 1 is missing
    line.node.sample_index = 2_000_000_000
    line.sample()  # too far ahead to be asked for; held behind 2
    line.node._kept.clear()
    line.ask()  # the node has 1 no longer: what is held leaves, and not index by index
    assert line.sequences == [0, 2, 2_000_000_000]


def test_a_node_that_restarts_and_counts_again_behind_a_gap_loses_none() -> None:
    line = Line()
    line.sample()
    line.sample(lost=True)
    line.sample()  # held: 1 is missing
    line.items += line.driver.receive(line.node.reboot(), line.now_ms)
    line.node.sample_index = 2
    line.sample()  # 2 once more, of the next boot
    line.wait(HOLD_MS + 1)
    assert sorted(line.sequences) == [0, 2, 2]
