"""UBX frames and what they say."""

from __future__ import annotations

import struct
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.gnss_plan import Origin
from firmware_bridge.messages import Malformed
from firmware_bridge.nmea import FalseStart, encode_sentence
from firmware_bridge.sim_gnss import RoverRow, SimulatedRover
from firmware_bridge.ubx import (
    MAX_PAYLOAD,
    NAV_HPPOSLLH,
    NAV_PVT,
    NAV_RELPOSNED,
    NAV_TIMEUTC,
    WEEK_MS,
    Fletcher,
    HighPrecisionPosition,
    Pvt,
    RelativePosition,
    UbxMessage,
    UtcTime,
    cut_message,
    decode_message,
    encode_message,
    fletcher,
)

ORIGIN = Origin(46.123456789, 8.987654321, 1523.4567)
T0_MS = 1_760_000_000_250
SENTENCE = encode_sentence("GNGST,083559.00,0.02,,,,0.0080,0.0090,0.0140")
FRAME = encode_message(NAV_TIMEUTC, struct.pack("<IIiH6B", 1000, 20, 0, 2025, 10, 9, 8, 53, 20, 7))
# A payload that holds both beginnings, and a whole sentence and frame.
TRAP = encode_message((0x0A, 0x09), b"$GNGGA," + SENTENCE + b"\xb5\x62\xff" + FRAME + b"$\xb5")


def messages(row: RoverRow) -> dict[tuple[int, int], UbxMessage]:
    found = [cut_message(data, 0) for data in SimulatedRover(ORIGIN).epoch(row)[:5]]
    return {item.kind: item for item in found if isinstance(item, UbxMessage)}


def test_the_checksum_of_a_known_frame() -> None:
    # UBX-CFG-RATE poll and UBX-CFG-RST, as printed in u-blox application notes.
    assert fletcher(bytes.fromhex("06080000")) == bytes.fromhex("0e30")
    assert encode_message((6, 8), b"") == bytes.fromhex("b562060800000e30")
    assert fletcher(b"") == b"\0\0"


def test_the_checksum_is_that_of_the_definition() -> None:
    data = Random(3).randbytes(MAX_PAYLOAD)
    a = b = 0
    for byte in data:
        a = (a + byte) & 255
        b = (b + a) & 255
    assert fletcher(data) == bytes((a, b))


@given(st.binary(min_size=1, max_size=300), st.data())
def test_the_checksum_of_a_part_is_the_same(data: bytes, draw) -> None:
    start = draw.draw(st.integers(0, len(data) - 1))
    end = draw.draw(st.integers(start + 1, len(data)))
    assert Fletcher(data).of(start, end) == fletcher(data[start:end])


def test_a_frame_ends_only_with_its_last_byte() -> None:
    for end in range(1, len(FRAME)):
        assert cut_message(FRAME[:end], 0) is None
    assert cut_message(FRAME, 0) == UbxMessage(NAV_TIMEUTC, FRAME[6:-2])
    too_long = b"\xb5\x62\x01\x07" + (MAX_PAYLOAD + 1).to_bytes(2, "little")
    assert cut_message(too_long, 0) == FalseStart(8)


def test_values_of_the_simulated_rover() -> None:
    row = RoverRow(T0_MS, 123.4, -56.7, 8.9, 4, 12.0)
    found = messages(row)
    pvt = decode_message(found[NAV_PVT])
    assert isinstance(pvt, Pvt)
    assert (pvt.utc_ms, pvt.quality, pvt.satellites, pvt.accuracy_mm) == (T0_MS, 4, 24, 12.0)
    relative = decode_message(found[NAV_RELPOSNED])
    assert relative == RelativePosition(pvt.tow_ms, 4, -56.7, 123.4, -8.9, 12.0)
    high = decode_message(found[NAV_HPPOSLLH])
    assert isinstance(high, HighPrecisionPosition)
    assert high.valid
    place = ORIGIN.east_north_up_mm(high.latitude_deg, high.longitude_deg, high.height_m)
    assert place == pytest.approx((123.4, -56.7, 8.9), abs=0.12)  # 1e-9 degrees are 0.11 mm
    assert decode_message(found[NAV_TIMEUTC]) == UtcTime(pvt.tow_ms, T0_MS)


@pytest.mark.parametrize(("quality", "told"), [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5)])
def test_qualities(quality: int, told: int) -> None:
    found = messages(RoverRow(T0_MS, 1, 2, 3, quality))
    pvt, relative = decode_message(found[NAV_PVT]), decode_message(found[NAV_RELPOSNED])
    assert isinstance(pvt, Pvt)
    assert isinstance(relative, RelativePosition)
    assert pvt.quality == told
    assert relative.quality == (told if told != 1 else 0)  # without corrections there is no vector


@pytest.mark.parametrize("cleared", [0x01, 0x04])
def test_a_vector_that_is_not_valid_has_no_quality(cleared: int) -> None:
    message = messages(RoverRow(T0_MS, 1, 2, 3))[NAV_RELPOSNED]
    flags = int.from_bytes(message.payload[60:], "little")
    for changed in (flags & ~cleared, flags | 0x200):
        payload = message.payload[:60] + changed.to_bytes(4, "little")
        value = decode_message(UbxMessage(NAV_RELPOSNED, payload))
        assert isinstance(value, RelativePosition)
        assert value.quality == 0


def test_time_not_marked_valid_is_no_time() -> None:
    payload = bytearray(messages(RoverRow(T0_MS, 1, 2, 3))[NAV_PVT].payload)
    for valid in (0, 1, 3, 6):
        payload[11] = valid
        value = decode_message(UbxMessage(NAV_PVT, bytes(payload)))
        assert isinstance(value, Pvt)
        assert value.utc_ms is None
    payload[11], payload[6] = 7, 13  # month
    value = decode_message(UbxMessage(NAV_PVT, bytes(payload)))
    assert isinstance(value, Pvt)
    assert value.utc_ms is None


@pytest.mark.parametrize("kind", [NAV_PVT, NAV_HPPOSLLH, NAV_RELPOSNED, NAV_TIMEUTC])
def test_other_lengths_versions_and_times_are_malformed(kind: tuple[int, int]) -> None:
    payload = messages(RoverRow(T0_MS, 1, 2, 3))[kind].payload
    assert isinstance(decode_message(UbxMessage(kind, payload[:-1])), Malformed)
    at = 0 if kind in (NAV_PVT, NAV_TIMEUTC) else 4
    late = payload[:at] + WEEK_MS.to_bytes(4, "little") + payload[at + 4 :]
    assert isinstance(decode_message(UbxMessage(kind, late)), Malformed)
    if at:
        other = UbxMessage(kind, b"\x07" + payload[1:])
        assert isinstance(decode_message(other), Malformed)


@given(
    st.sampled_from([NAV_PVT, NAV_HPPOSLLH, NAV_RELPOSNED, NAV_TIMEUTC, (1, 2)]),
    st.one_of(st.binary(max_size=100), *(st.binary(min_size=n, max_size=n) for n in (20, 36, 92))),
)
def test_any_payload_never_raises(kind: tuple[int, int], payload: bytes) -> None:
    decode_message(UbxMessage(kind, payload))
