"""The C node against the simulated node, byte for byte, and against docs/tw1.md."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from c_link import NEEDS_CC, loaded
from c_node import BOOT_ID, RECORDS, CNode, frames, request
from c_steps import STEPS
from hypothesis import HealthCheck, given, settings

from firmware_bridge.commands import (
    ENTER_UPDATE,
    GET_SET,
    PING,
    REBOOT,
    RESEND,
    SYNC,
    Key,
    Refusal,
    Setting,
    Span,
    decode_sync,
    reboot_request,
    sync_request,
    update_request,
)
from firmware_bridge.framing import ACK_REQ, ERROR, RESPONSE, Frame, encode
from firmware_bridge.messages import (
    DATA,
    DATA_BATCH,
    DESCRIBE,
    HELLO,
    decode_hello,
    decode_stats,
)
from firmware_bridge.sim_node import SimulatedNode

pytestmark = NEEDS_CC
link_c = loaded()


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("node") / "host_node"
    return link_c.build([link_c.VECTORS_DIR / "host_node.c"], out)


@pytest.fixture(scope="module")
def process(program: Path) -> Iterator[CNode]:
    made = CNode(program)
    yield made
    made.process.stdin.close()
    assert made.process.wait(30) == 0


@pytest.fixture
def node(process: CNode) -> CNode:
    process.put("N", 0)
    hello, *more = frames(process.begin())
    assert not more
    assert (hello.flags, hello.type) == (0, HELLO)
    return process


def sim() -> SimulatedNode:
    return SimulatedNode(RECORDS)


def same_of_both(process: CNode, steps: list[tuple]) -> None:
    other = sim()
    process.put("N", 0)
    assert process.begin() == other.hello()
    t_us = 0
    for step in steps:
        t_us += 10_000
        if step[0] == "ask":
            (kind, payload), seq = step[1:]
            asked = request(kind, payload, seq)
            assert process.receive(asked, t_us) == other.receive(asked, t_us)
        elif step[0] == "noise":
            noise = b"\0" + step[1].replace(b"\0", b"\1") + b"\0"
            assert process.receive(noise, t_us) == other.receive(noise, t_us)
        else:
            for row in [step[1]] if step[0] == "row" else step[1]:
                t_us += 10_000
                assert process.sample(row, t_us) == b"".join(other.sample(row, t_us))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow,
                                    HealthCheck.function_scoped_fixture])  # fmt: skip
@given(STEPS)
def test_it_sends_what_the_simulated_node_sends(process: CNode, steps: list[tuple]) -> None:
    same_of_both(process, steps)


@pytest.mark.soak
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow,
                                     HealthCheck.function_scoped_fixture])  # fmt: skip
@given(STEPS)
def test_it_does_so_in_thousands_of_talks(process: CNode, steps: list[tuple]) -> None:
    same_of_both(process, steps)


def test_a_command_is_carried_out_once(node: CNode) -> None:
    asked = request(REBOOT, reboot_request(BOOT_ID), 7)
    answer, hello = frames(node.receive(asked + asked[:5]))
    assert (answer.flags, answer.type, answer.seq, answer.boot) == (RESPONSE, REBOOT, 7, 0)
    assert (hello.type, hello.boot) == (HELLO, 1)
    assert node.refusal(REBOOT, reboot_request(BOOT_ID), 7) == Refusal.OTHER_BOOT


def test_the_same_again_is_an_echo_and_the_same_under_another_number_is_not(node: CNode) -> None:
    node.ask(GET_SET, Setting(128, 0, written=True).encode(), 1)
    add_one = Setting(129, 1, written=True).encode()
    for seq, total in ((2, 1), (2, 1), (3, 2), (3, 2), (2, 3)):
        assert node.ask(GET_SET, add_one, seq)[0].payload[2] == total


def test_a_late_double_after_a_refusal_is_the_last_command_still(node: CNode) -> None:
    set_five = Setting(Key.PERIOD_MS, 5, written=True).encode()
    assert node.ask(GET_SET, set_five, 5)[0].payload == set_five
    assert node.refusal(GET_SET, Setting(99, None).encode(), 6) == Refusal.KEY
    assert node.ask(GET_SET, set_five, 5)[0].payload == set_five


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        (DESCRIBE, b"", Refusal.SIZE),
        (DESCRIBE, b"\0\0", Refusal.SIZE),
        (DESCRIBE, b"\4", Refusal.RANGE),
        (SYNC, bytes(7), Refusal.SIZE),
        (SYNC, bytes(9), Refusal.SIZE),
        (GET_SET, b"\0", Refusal.SIZE),
        (GET_SET, b"\0\5", Refusal.KEY),
        (GET_SET, Setting(4, 1, written=True).encode(), Refusal.READ_ONLY),
        (GET_SET, Setting(1, 0, written=True).encode(), Refusal.RANGE),
        (GET_SET, Setting(2, 256, written=True).encode(), Refusal.RANGE),
        (GET_SET, Setting(128, 10, written=True).encode(), Refusal.RANGE),
        (GET_SET, Setting(130, None).encode(), Refusal.KEY),
        (REBOOT, bytes(3), Refusal.SIZE),
        (REBOOT, reboot_request(BOOT_ID + 1), Refusal.OTHER_BOOT),
        (ENTER_UPDATE, update_request(BOOT_ID, 1), Refusal.RANGE),
        (RESEND, bytes(7), Refusal.SIZE),
        (RESEND, Span(0, 0).encode(), Refusal.GONE),
        (RESEND, Span(0, 256).encode(), Refusal.SIZE),
        (0x7F, b"", Refusal.UNKNOWN),
    ],
)
def test_what_it_cannot_do_is_refused(
    node: CNode, kind: int, payload: bytes, code: Refusal
) -> None:
    assert node.refusal(kind, payload) == code


def test_its_own_settings_go_to_the_author(node: CNode) -> None:
    assert node.ask(GET_SET, Setting(128, 9, written=True).encode())[0].payload[2] == 9
    assert node.ask(GET_SET, Setting(128, None).encode(), 2)[0].payload == b"\0\x80\x09\0\0\0"


def test_a_restart_that_must_not_be_now_is_refused_and_may_be_later(node: CNode) -> None:
    node.put("N", 1)
    assert node.refusal(REBOOT, reboot_request(BOOT_ID), 3) == Refusal.NOT_NOW
    node.put("N", 0)
    answer, hello = node.ask(REBOOT, reboot_request(BOOT_ID), 3)
    assert (answer.flags, hello.type) == (RESPONSE, HELLO)


def test_it_does_not_answer_its_own_echo_nor_what_is_no_question(node: CNode) -> None:
    for flags in (0, RESPONSE, ACK_REQ | RESPONSE, ERROR):
        assert node.receive(request(PING, b"x", 1, flags)) == b""


def test_the_exchange_of_clocks_carries_the_time_of_receipt(node: CNode) -> None:
    (answer,) = node.ask(SYNC, sync_request(2**63), now_us=2**40 + 5)
    exchange = decode_sync(answer.payload)
    assert (exchange.t1_us, exchange.t2_us, exchange.t3_us) == (2**63, 2**40 + 5, 2**40 + 5)


def test_of_two_requests_before_an_answer_the_last_is_answered(node: CNode) -> None:
    both = request(PING, b"first", 1) + request(PING, b"second", 2)
    (answer,) = frames(node.receive(both, how="H"))
    assert (answer.seq, answer.payload) == (2, b"second")
    assert node.receive(request(PING, b"x") + b"\1\2", how="H") == b""


def test_memory_forgets_the_oldest_and_indices_wrap(process: CNode) -> None:
    first = 2**32 - 3
    process.begin(index=first, capacity=4)
    sent = [f for k in range(6) for f in frames(process.sample((k, k, k, k), 1000 * k))]
    assert [int.from_bytes(f.payload[2:6], "little") for f in sent] == [
        (first + k) % 2**32 for k in range(6)
    ]
    given, *again = process.ask(RESEND, Span(first, 2).encode())
    assert given.payload == Span(2**32 - 1, 2).encode()
    assert [f.payload for f in again] == [f.payload for f in sent[2:]]
    assert all(f.flags == RESPONSE for f in again)
    (given, *again) = process.ask(RESEND, Span(2**32 - 2, 2).encode())  # one more than is kept
    assert (given.payload, len(again)) == (Span(2**32 - 1, 2).encode(), 4)
    assert process.refusal(RESEND, Span(first, first + 1).encode()) == Refusal.GONE
    assert process.refusal(RESEND, Span(3, 3).encode()) == Refusal.GONE


def test_what_memory_forgets_while_it_is_sent_again_is_left_out(process: CNode) -> None:
    process.begin(capacity=4)
    for k in range(4):
        process.sample((k, k, k, k), 1000 * k)
    asked = request(RESEND, Span(0, 3).encode())
    answer, resent = frames(process.put("Q", 0, 2, asked.hex()))
    assert (answer.payload, resent.payload[2]) == (Span(0, 3).encode(), 0)
    for k in range(4, 6):
        process.sample((k, k, k, k), 1000 * k, how="W")
    live, *rest = frames(process.receive(b"", how="H"))
    assert (live.type, live.payload[2]) == (DATA_BATCH, 4)
    assert [f.payload[2] for f in rest] == [2, 3]


def test_what_could_not_be_sent_in_time_goes_as_a_batch(process: CNode) -> None:
    process.begin(capacity=4)
    for k in range(6):
        assert process.sample((k, k, k, k), 1000 * k, how="W") == b""
    (batch,) = frames(process.receive(b"", how="H"))
    assert batch.type == DATA_BATCH
    _, index, t_us, dt_us, count = struct.unpack_from("<HIQIB", batch.payload)
    assert (index, t_us, dt_us, count) == (2, 2000, 1000, 4)


def test_samples_too_far_apart_for_a_batch_go_one_by_one(process: CNode) -> None:
    process.begin()
    process.ask(GET_SET, Setting(Key.SAMPLES_PER_FRAME, 3, written=True).encode())
    hours_us = 2 * 3600 * 1_000_000
    sent = [f for k in range(3) for f in frames(process.sample((k, k, k, k), hours_us * k))]
    assert [(f.type, int.from_bytes(f.payload[6:14], "little")) for f in sent] == [
        (DATA, hours_us * k) for k in range(3)
    ]


def test_it_counts_each_damage_as_what_it_is(process: CNode) -> None:
    process.begin()
    raw = bytearray(request(PING, b"abc"))
    raw[-3] ^= 1
    process.receive(bytes(raw) + b"\0\x02\x01\0\0" + b"\0" + b"\1" * 300 + b"\0\0")
    other = encode(Frame(2, ACK_REQ, PING, 1, 0, b""))
    assert process.receive(other) == b""
    process.ask(GET_SET, Setting(Key.SAMPLES_PER_STATS, 1, written=True).encode())
    stats = decode_stats(frames(process.sample((1, 1, 1, 1), 0))[1].payload)
    assert stats.received_ok == 1
    assert stats.received_crc == 2
    assert stats.received_format == 1
    assert stats.received_overflow == 1
    assert (stats.free_stack, stats.battery_mv) == (512, 3600)


def test_the_code_of_its_readme_compiles(tmp_path: Path) -> None:
    code = (link_c.C_DIR / "README.md").read_text().split("```c\n")[1].split("```")[0]
    setup, loop = code.split("tw1_node_begin", 1)
    source = tmp_path / "readme.c"
    source.write_text(
        '#include "tw1_node.h"\n'
        "bool uart_get(uint8_t *); void uart_put(const uint8_t *, size_t); uint64_t now_us(void);\n"
        "bool sample_is_due(void); int tilt_adc(void); void reset_the_chip(void);\n"
        "uint32_t random_u32(void); extern uint8_t boots;\n"
        f"{setup}\nint main(void) {{ uint8_t byte; tw1_node_begin{loop} }}\n"
    )
    subprocess.run(
        ["cc", *link_c.STRICT, f"-I{link_c.C_DIR}", "-c", source, "-o", tmp_path / "readme.o"],
        check=True,
    )


def test_hello_says_what_the_simulated_one_says(node: CNode) -> None:
    (answer,) = node.ask(HELLO)
    hello = decode_hello(answer.payload)
    assert hello.schema == sim().layout.schema
    assert (hello.max_raw, hello.boot_id) == (253, BOOT_ID)
