"""SDI-12 on the line: the CRC, and what answers say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import sdi12_frame as frame
from firmware_bridge.drivers.sdi12 import Sdi12Plan, Sdi12Sensor
from firmware_bridge.sim_sdi12 import crc_characters, value_text


def test_the_vector_of_the_standard() -> None:
    assert frame.crc_text(b"0+3.14") == crc_characters(b"0+3.14") == b"OqZ"


@given(st.binary(max_size=90))
def test_two_ways_to_the_same_crc(data: bytes) -> None:
    assert frame.crc_text(data) == crc_characters(data)


@given(st.lists(st.floats(-999_999, 999_999), max_size=4), st.booleans())
def test_values_come_back_as_they_were_sent(values: list[float], guarded: bool) -> None:
    texts = list(map(value_text, values))
    line = ("z" + "".join(texts)).encode()
    if guarded:
        line += crc_characters(line)
    assert frame.data(line, "z", guarded=guarded) == tuple(map(float, texts))


@given(st.lists(st.floats(-9999, 9999), min_size=1, max_size=4), st.data())
def test_no_flipped_bit_passes_the_crc(values: list[float], data: st.DataObject) -> None:
    line = b"0" + "".join(map(value_text, values)).encode()
    line += crc_characters(line)
    bit = data.draw(st.integers(0, 8 * len(line) - 1))
    damaged = bytearray(line)
    damaged[bit // 8] ^= 1 << bit % 8
    assert isinstance(frame.data(bytes(damaged), "0", guarded=True), str)


@pytest.mark.parametrize(
    ("line", "guarded", "found"),
    [
        (b"0+0.0", False, (0.0,)),
        (b"0-0+.5+7.", False, (0.0, 0.5, 7.0)),
        (b"0", False, ()),
        (b"0", True, ()),
        (b"0" + crc_characters(b"0"), True, ()),
        (b"0+3.14OqZ", True, (3.14,)),
        (b"\xa1q0+3.14OqZ", True, (3.14,)),
        (b"0+3.14OqY", True, "crc"),
        (b"0+3.14", True, "crc"),
        (b"0+3.14OqZ", False, "format"),
        (b"0+", False, "format"),
        (b"0+1..2", False, "format"),
        (b"0+12345678", False, "format"),
        (b"0+1\r2", False, "format"),
        (b"0+1e3", False, "format"),
        (b"0" + b"+1" * 38, False, "format"),
        (b"1+3.14", False, "address"),
        (b"+3.14", False, "noise"),
        (b"", False, "noise"),
    ],
)
def test_answers_to_d(line: bytes, guarded: bool, found: object) -> None:
    assert frame.data(line, "0", guarded=guarded) == found


@pytest.mark.parametrize(
    ("line", "kind", "found"),
    [
        (b"00012", "M", frame.Started(1, 2)),
        (b"099999", "C", frame.Started(999, 99)),
        (b"00012", "C", frame.Started(1, 2)),
        (b"\xff~00012", "M", frame.Started(1, 2)),
        (b"100012", "M", None),  # another's answer to C
        (b"000012", "M", None),
        (b"0001", "M", None),
        (b"0001a", "M", None),
        (b"10012", "M", None),
        (b"0", "M", None),
        (b"0001\xb2", "M", None),
    ],
)
def test_answers_to_m_and_c(line: bytes, kind: str, found: object) -> None:
    assert frame.started(line, "0", kind) == found


@pytest.mark.parametrize(
    ("line", "left", "echo"),
    [
        (b"0M!00012", b"00012", True),
        (b"0M!", b"", True),
        (b"\0\xff00012", b"00012", False),
        (b"x0M!0M!00012", b"00012", True),
        (b"", b"", False),
    ],
)
def test_echo_and_noise_are_taken_off(line: bytes, left: bytes, echo: bool) -> None:
    assert frame.clean(line, b"0M!") == (left, echo)


@given(st.binary(max_size=100), st.sampled_from("0aZ"), st.sampled_from("MC"), st.booleans())
def test_any_line_is_judged_and_none_raises(
    line: bytes, address: str, kind: str, guarded: bool
) -> None:
    frame.clean(line, b"0D0!")
    frame.started(line, address, kind)
    frame.data(line, address, guarded=guarded)


SOUND = {"address": "0", "name": "a", "command": "MC", "channels": (("x", 0),), "period_s": 60.0}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"address": "%"}, "address"),
        ({"address": "12"}, "address"),
        ({"name": ""}, "name"),
        ({"command": "M0"}, "command"),
        ({"command": "V"}, "command"),
        ({"command": "R"}, "command"),
        ({"channels": ()}, "channels"),
        ({"channels": (("x", 9),)}, "channels"),
        ({"channels": (("x", 0), ("y", 0))}, "channels"),
        ({"period_s": 0.0}, "period_s"),
        ({"period_s": float("nan")}, "period_s"),
        ({"timeout_ms": 5}, "timeout_ms"),
        ({"retries": -1}, "retries"),
        ({"max_wait_s": 1000}, "max_wait_s"),
        ({"missing": (float("inf"),)}, "missing"),
    ],
)
def test_a_sensor_that_cannot_be_says_where(change: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Sdi12Sensor(**{**SOUND, **change})


def test_a_plan_that_contradicts_itself_says_where() -> None:
    first = Sdi12Sensor(**SOUND)
    for change, named in (
        ({"name": "b", "channels": (("y", 0),)}, "address"),
        ({"address": "1", "channels": (("y", 0),)}, "name"),
        ({"address": "1", "name": "b"}, "channels"),
    ):
        with pytest.raises(ValueError, match=named):
            Sdi12Plan((first, Sdi12Sensor(**{**SOUND, **change})))
    for arguments in ({"sensors": ()}, {"gap_ms": 5}, {"prefix": bytes(99)}, {"suffix": bytes(99)}):
        with pytest.raises(ValueError):
            Sdi12Plan(**{"sensors": (first,), **arguments})
