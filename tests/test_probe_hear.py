"""Recognising what speaks, and at what baud rate, from bytes as a UART would garble them."""

from __future__ import annotations

import pytest
from gnss_rows import epoch, row_at
from hypothesis import given, settings
from hypothesis import strategies as st
from uart import heard, levels

from edge.probe import BAUDS
from edge.probe_hear import parity_of, readable, recognise
from firmware_bridge.modbus_frame import Request, with_crc
from firmware_bridge.sim_node import SimulatedNode, describe
from firmware_bridge.sim_rows import CHANNELS


def node_frames() -> list[bytes]:
    node = SimulatedNode(describe(CHANNELS))
    return [b"".join(node.sample((0.1 * i, 2.0, 3.0, 4.0), i * 10**6)) for i in range(5)]


def logger_lines(count: int = 6) -> list[bytes]:
    return [f"2031-10-25 17:46:{i:02d},{i},{0.5 * i:.3f},NAN,{20 - i}\r\n".encode()
            for i in range(count)]  # fmt: skip


def nmea() -> list[bytes]:
    return [epoch(row_at(i))[epoch(row_at(i)).index(b"$GNRMC") :] for i in range(3)]


def master() -> list[bytes]:
    """Another Modbus master and the answers it gets."""
    asked = Request(7, 3, 100, 2).encode()
    return [asked, with_crc(b"\x07\x03\x04\x41\xa2\x00\x00")] * 5


SAID = {
    "modbus": master(),
    "tw1": node_frames(),
    "gnss": [epoch(row_at(i)) for i in range(2)],
    "nmea": nmea(),
    "lines": logger_lines(),
}


@pytest.mark.parametrize("chained", [False, True], ids=["waits", "as a 16550"])
@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("true_baud", [9600, 115200, 38400, 1200, 921600])
def test_only_the_true_baud_rate_is_understood(said: str, true_baud: int, chained: bool) -> None:
    line = levels(SAID[said])
    understood = {}
    for baud in BAUDS:
        finding = recognise(heard(line, true_baud, baud, chained=chained))
        if finding is not None:
            understood[baud] = (finding.protocol, finding.frame)
    assert understood == {true_baud: ("gnss" if said == "nmea" else said, "8N1")}


def test_a_baud_rate_that_is_a_little_off_is_good_enough() -> None:
    for sent in (9600, 9600 * 1.03, 9600 * 0.97):
        data = heard(levels(logger_lines()), sent, 9600)
        assert data == b"".join(logger_lines())


@pytest.mark.parametrize("frame", ["7E1", "7O1", "7N2"])
def test_text_of_seven_bits_is_told_from_the_parity_in_the_eighth(frame: str) -> None:
    line = levels(logger_lines(), frame)
    for baud in BAUDS:
        finding = recognise(heard(line, 9600, baud))
        if baud == 9600:
            assert finding is not None
            assert (finding.protocol, finding.frame) == ("lines", frame)
        else:
            assert finding is None


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.floats(-1e4, 1e4), min_size=3, max_size=3), min_size=5, max_size=8),
    st.sampled_from([",", ";", "\t", " "]),
    st.sampled_from(BAUDS),
    st.integers(0, 200),
)
def test_whatever_a_logger_says(rows: list, delimiter: str, true_baud: int, idle: int) -> None:
    said = [(delimiter.join(f"{v:.2f}" for v in row) + "\r\n").encode() for row in rows]
    line = levels(said, idle_bits=idle)
    for baud in BAUDS:
        finding = recognise(heard(line, true_baud, baud))
        assert (finding is not None) == (baud == true_baud), (baud, finding)


@given(st.binary(max_size=600))
def test_any_bytes_never_raise(data: bytes) -> None:
    recognise(data)
    parity_of(data)
    readable(data)


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_noise_is_nothing(random) -> None:
    assert recognise(random.randbytes(4000)) is None


def test_our_own_question_that_comes_back_is_no_node() -> None:
    from firmware_bridge.drivers.tw1 import Tw1Driver

    driver = Tw1Driver("n")
    driver.opened(0)
    assert recognise(driver.write_next(0)) is None


def test_text_that_is_no_numbers_is_readable_and_nothing_more() -> None:
    text = b"boot ok\r\nwaiting for the network\r\nno SIM card\r\n" * 3
    assert readable(text)
    assert recognise(text) is None


def test_a_receiver_without_a_position_is_one_all_the_same() -> None:
    finding = recognise(b"".join(epoch(row_at(i, 0)) for i in range(2)))
    assert finding is not None
    assert finding.protocol == "gnss"
    assert "best fix: none" in finding.seen
