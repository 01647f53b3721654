"""The GNSS driver: what is read and believed, what waits for what, and times."""

from __future__ import annotations

import math

import pytest
from gnss_rows import ENU, ROVER, T0_MS, epoch, fed, format_of, readings, reasons, row_at
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drivers.gnss import CONFIGURE_MS, PARTNER_MS, SILENCE_MS, GnssDriver
from firmware_bridge.gnss_clock import LATE_MS, RECENT_MS, ReceiverClock
from firmware_bridge.gnss_plan import CHANNELS
from firmware_bridge.nmea import DAY_MS, encode_sentence
from firmware_bridge.reading import Reading
from firmware_bridge.sim_gnss import RoverRow
from firmware_bridge.ubx import (
    ACK_ACK,
    ACK_NAK,
    CFG_VALSET,
    NAV_RELPOSNED,
    WEEK_MS,
    configuration,
    encode_message,
)

TOLERANCE_MM = {"relposned": 0.051, "hpposllh": 0.12, "pvt": 11.2, "gga": 0.16}


@pytest.mark.parametrize("source", ["relposned", "hpposllh", "pvt", "gga"])
def test_each_source_gives_the_displacement_and_the_receivers_time(source: str) -> None:
    driver = GnssDriver("rover", format_of(source, CHANNELS, downslope_azimuth_deg=90.0))
    rows = [row_at(i) for i in range(20)]
    items = fed(driver, rows)
    got = readings(items)
    assert len(got) == len(items) == 20
    for row, reading in zip(rows, got, strict=True):
        truth = (row.east_mm, row.north_mm, row.up_mm, row.east_mm)
        assert reading.values[:4] == pytest.approx(truth, abs=TOLERANCE_MM[source])
        assert reading.values[4] == pytest.approx(8.0)
        assert reading.values[5:] == (4.0, 12.0 if source == "gga" else 24.0)
        assert (reading.sequence, reading.received_ms) == (-1, row.utc_ms + 80)
        assert reading.time_ms == row.utc_ms
    assert driver.health().values_rejected == ()
    assert driver.due_ms(T0_MS) is None
    assert driver.write_next(T0_MS) == b""


def test_a_lost_fix_is_told_by_the_other_channels_or_drops_the_row() -> None:
    for source in ("relposned", "hpposllh", "pvt", "gga"):
        driver = GnssDriver("rover", format_of(source, (*ENU, "fix_quality")))
        first, lost, last = readings(fed(driver, [row_at(0), row_at(1, 0), row_at(2)]))
        assert all(map(math.isnan, lost.values[:3]))
        assert lost.values[3] == 0
        assert not any(map(math.isnan, first.values + last.values))
        assert driver.health().values_rejected == (("invalid", 3),)
        driver = GnssDriver("rover", format_of(source))
        items = fed(driver, [row_at(0), row_at(1, 0), row_at(2)])
        assert reasons(items) == ["reading", "empty", "reading"]
        assert driver.health().values_rejected == ()


@pytest.mark.parametrize(
    ("least", "believed"),
    [("fixed", {4}), ("float", {4, 5}), ("differential", {2, 4, 5}), ("any", {1, 2, 4, 5})],
)
def test_the_least_fix_that_is_believed(least: str, believed: set[int]) -> None:
    for source in ("hpposllh", "pvt", "gga"):
        driver = GnssDriver("rover", format_of(source, least_fix=least))
        for i, quality in enumerate((0, 1, 2, 5, 4)):
            (item,) = fed(driver, [row_at(i, quality)])
            assert isinstance(item, Reading) == (quality in believed), (source, quality)


@pytest.mark.parametrize("source", ["relposned", "hpposllh", "pvt", "gga"])
def test_a_worse_accuracy_is_not_believed(source: str) -> None:
    driver = GnssDriver("rover", format_of(source, max_accuracy_mm=20.0))
    items = fed(driver, [row_at(0, 4, 20), row_at(1, 4, 21), row_at(2, 4, 9)])
    assert reasons(items) == ["reading", "empty", "reading"]


def test_gga_without_gst_waits_its_time_and_is_not_believed_if_accuracy_is_asked() -> None:
    driver = GnssDriver("rover", format_of("gga", (*ENU, "fix_quality"), max_accuracy_mm=20.0))
    gga = next(data for data in ROVER.epoch(row_at(0)) if data.startswith(b"$GNGGA"))
    assert driver.receive(gga, T0_MS) == []
    assert driver.due_ms(T0_MS) == T0_MS + PARTNER_MS
    assert driver.receive(b"", T0_MS + PARTNER_MS - 1) == []
    (reading,) = readings(driver.receive(b"", T0_MS + PARTNER_MS))
    assert math.isnan(reading.values[0])
    assert reading.received_ms == T0_MS


def test_a_position_whose_quality_comes_later_waits_for_it() -> None:
    driver = GnssDriver("rover", format_of("hpposllh"))
    pvt, high, *_ = ROVER.epoch(row_at(0))
    assert driver.receive(high, T0_MS) == []
    assert reasons(driver.receive(pvt, T0_MS + 20)) == ["reading"]
    _, alone, *_ = ROVER.epoch(row_at(1))
    assert driver.receive(alone, T0_MS + 1000) == []
    assert reasons(driver.receive(b"", T0_MS + 2000)) == ["empty"]


def test_a_clock_set_back_ends_every_wait() -> None:
    driver = GnssDriver("rover", format_of("hpposllh"))
    _, high, *_ = ROVER.epoch(row_at(0))
    driver.receive(high + b"$GNGG", T0_MS)
    past_ms = T0_MS - 10**10
    assert driver.due_ms(past_ms) == past_ms
    assert reasons(driver.receive(b"", past_ms)) == ["short", "empty"]
    assert driver.due_ms(past_ms) is None


@pytest.mark.parametrize("source", ["relposned", "gga"])
@pytest.mark.parametrize("off_ms", [-1024 * WEEK_MS, 1024 * WEEK_MS, DAY_MS + 1000])
def test_a_receivers_wrong_date_is_not_believed(source: str, off_ms: int) -> None:
    driver = GnssDriver("rover", format_of(source))
    rows = [RoverRow(T0_MS + off_ms + 1000 * i, 1, 2, 3) for i in range(3)]
    got = readings([item for i in range(3) for item in driver.receive(epoch(rows[i]), T0_MS + i)])
    assert [reading.time_ms for reading in got] == [T0_MS, T0_MS + 1, T0_MS + 2]
    assert dict(driver.health().ignored)["time"] == 3


def test_without_a_date_the_arrival_counts() -> None:
    driver = GnssDriver("rover", format_of("relposned"))
    relative = ROVER.epoch(row_at(0))[3]
    (reading,) = readings(driver.receive(relative, T0_MS + 5))
    assert reading.time_ms == T0_MS + 5
    assert driver.health().ignored == (("undated", 1),)


def test_times_go_on_over_the_ends_of_week_and_day() -> None:
    week = ReceiverClock(WEEK_MS)
    week.note(WEEK_MS - 1000, T0_MS, 0)
    assert week.time_ms(500, 100) == T0_MS + 1500
    assert week.time_ms(WEEK_MS - 3000, 100) == T0_MS - 2000
    assert week.time_ms(500, RECENT_MS + 1) is None
    week.shift(RECENT_MS)
    assert week.time_ms(500, RECENT_MS + 1) == T0_MS + 1500
    midnight_ms = T0_MS - T0_MS % DAY_MS
    for source in ("gga", "relposned"):
        driver = GnssDriver("rover", format_of(source))
        rows = [RoverRow(midnight_ms + 1000 * i, 1, 2, 3) for i in range(-3, 3)]
        assert [r.time_ms for r in readings(fed(driver, rows))][1:] == [
            row.utc_ms for row in rows[1:]
        ]


@pytest.mark.parametrize("source", ["relposned", "gga"])
def test_an_epoch_that_comes_again_or_late_is_refused(source: str) -> None:
    driver = GnssDriver("rover", format_of(source))
    order = [0, 1, 1, 3, 2, 4]
    items = fed(driver, [row_at(i) for i in order])
    assert reasons(items) == ["reading", "reading", "duplicate", "reading", "duplicate", "reading"]
    assert driver.health().duplicates == 2
    # A receiver whose clock is set back goes on at once.
    back = RoverRow(T0_MS - 2 * LATE_MS, 1, 2, 3)
    assert reasons(driver.receive(epoch(back), T0_MS + 9000)) == ["reading"]


def test_what_is_not_read_is_counted() -> None:
    driver = GnssDriver("rover", format_of("relposned"))
    fed(driver, [row_at(0)])
    health = driver.health()
    # HPPOSLLH, NAV-SAT, RMC, VTG, GGA and GST; PVT and TIMEUTC give the time.
    assert health.ignored == (("type", 6),)
    assert health.frames_ok == 9


def test_a_row_that_cannot_be_read_is_one_dropped() -> None:
    driver = GnssDriver("rover", format_of("relposned"))
    version_0 = encode_message(NAV_RELPOSNED, bytes(40))
    assert reasons(driver.receive(version_0, T0_MS)) == ["format"]
    assert reasons(driver.receive(encode_message((1, 7), b"x"), T0_MS)) == ["message"]
    driver = GnssDriver("rover", format_of("gga"))
    bad = encode_sentence("GNGGA,999999.00,,,,,4,12,,,M,,M,,")
    assert reasons(driver.receive(bad, T0_MS)) == ["format"]
    assert driver.receive(encode_sentence("GNGGA,,,,,,0,00,99.99,,,,,,"), T0_MS) != []


def test_a_frame_that_never_ends_gives_way_to_what_it_hid() -> None:
    driver = GnssDriver("rover", format_of("relposned"))
    hidden = epoch(row_at(0))
    assert driver.receive(b"\xb5\x62\x01\x07\x00\x10" + hidden, T0_MS) == []
    due_ms = driver.due_ms(T0_MS)
    assert due_ms == T0_MS + SILENCE_MS
    assert reasons(driver.receive(b"", due_ms)) == ["crc", "reading"]


def test_configuration_is_sent_until_it_is_acknowledged() -> None:
    driver = GnssDriver("rover", format_of("relposned", configure=True))
    assert driver.write_next(T0_MS) == b""
    driver.opened(T0_MS)
    assert driver.due_ms(T0_MS) == T0_MS
    assert driver.write_next(T0_MS) == configuration("relposned")
    assert driver.write_next(T0_MS + 1) == b""
    assert driver.due_ms(T0_MS + 1) == T0_MS + CONFIGURE_MS
    assert driver.write_next(T0_MS + CONFIGURE_MS) != b""
    driver.receive(encode_message(ACK_ACK, bytes(CFG_VALSET)), T0_MS + 1500)
    assert driver.write_next(T0_MS + 9000) == b""
    driver.opened(T0_MS)
    refusal = encode_message(ACK_NAK, bytes(CFG_VALSET))
    assert reasons(driver.receive(refusal, T0_MS)) == ["message"]
    driver.opened(T0_MS)
    sent = [driver.write_next(T0_MS + i * CONFIGURE_MS) for i in range(6)]
    assert [bool(data) for data in sent] == [True] * 3 + [False] * 3


EPOCHS = [epoch(row_at(i, (4, 5, 0)[i % 3])) for i in range(4)]
PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(EPOCHS),
    st.tuples(st.sampled_from(EPOCHS), st.integers(0, 700)).map(lambda p: p[0][p[1] :]),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(PIECES, max_size=5),
    st.sampled_from(["relposned", "hpposllh", "pvt", "gga"]),
    st.booleans(),
)
def test_any_bytes_whole_or_one_by_one(parts: list[bytes], source: str, all_: bool) -> None:
    names = (*ENU, "accuracy_mm", "satellites") if all_ else ENU
    whole, single = (GnssDriver("rover", format_of(source, names)) for _ in range(2))
    data = b"".join(parts)
    items = whole.receive(data, T0_MS)
    pieces = [item for byte in data for item in single.receive(bytes((byte,)), T0_MS)]
    assert repr(items) == repr(pieces)  # repr, as NaN is not equal to itself
    late_ms = T0_MS + PARTNER_MS
    assert repr(whole.receive(b"", late_ms)) == repr(single.receive(b"", late_ms))
    assert whole.health() == single.health()
    assert whole.due_ms(late_ms) is None


@given(st.lists(st.tuples(st.binary(max_size=80), st.integers(-(10**13), 10**13)), max_size=20))
def test_any_bytes_at_any_time_never_raise(parts: list[tuple[bytes, int]]) -> None:
    driver = GnssDriver("rover", format_of("gga", CHANNELS, downslope_azimuth_deg=1.0))
    for data, now_ms in parts:
        driver.receive(data + EPOCHS[0][-90:], now_ms)
        driver.receive(b"", now_ms)
        driver.shift(now_ms)
        driver.opened(now_ms)
        due_ms = driver.due_ms(now_ms)
        assert due_ms is None or due_ms <= now_ms + PARTNER_MS
