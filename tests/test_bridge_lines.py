"""Delimited lines: what is read, what is refused and why."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.drivers.lines import MAX_LINE, LineDriver, LineFormat
from firmware_bridge.reading import ROW_REASONS, Dropped, Reading

NOW_MS = 1_700_000_000_000
T0_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
PLAIN = LineFormat(",", (("tilt", 1), ("pore", 2)), 3, time_column=0)
NUMBERED = LineFormat(",", (("tilt", 2),), 3, time_column=0, record_column=1)
LINE = b"2020-01-01 00:00:00,1.5,20.25\r\n"


def received(data: bytes, format: LineFormat = PLAIN) -> list[Reading | Dropped]:
    return LineDriver("log", format).receive(data, NOW_MS)


def reasons(items: list[Reading | Dropped]) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "reading" for item in items]


def test_a_line_is_a_reading() -> None:
    assert received(LINE) == [Reading("log", T0_MS, -1, ("tilt", "pore"), (1.5, 20.25), NOW_MS)]


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_any_line_end(end: bytes) -> None:
    assert reasons(received((LINE.strip() + end) * 3)) == ["reading"] * 3


def test_half_a_line_waits_for_the_other_half() -> None:
    driver = LineDriver("log", PLAIN)
    assert driver.receive(LINE[:9], NOW_MS) == []
    assert reasons(driver.receive(LINE[9:], NOW_MS + 60_000)) == ["reading"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"2020-01-01 00:00:00,1.5", "columns"),
        (b"2020-01-01 00:00:00,1.5,2,3", "columns"),
        (LINE.strip() + LINE.strip(), "columns"),
        (b"2020-13-01 00:00:00,1.5,2", "time"),
        (b"2020-01-01,1.5,2", "time"),
        (b"1969-12-31 23:59:59,1,2", "time"),
        (b"0001-01-01 00:00:00+23:59,1,2", "time"),
        (b"9999-12-31 23:59:59-23:59,1,2", "time"),
        (b"tilt,pore,time", "time"),
        (b"2020-01-01 00:00:00,\xff,2", "encoding"),
        (b"2020-01-01 00:00:00,1\0,2", "encoding"),
        (b"2020-01-01 00:00:00,x,NaN", "empty"),
        (b"1" * (MAX_LINE + 1), "too_long"),
    ],
)
def test_a_refused_line_is_one_dropped_row(line: bytes, reason: str) -> None:
    items = received(LINE + line + b"\n" + LINE)
    assert reasons(items) == ["reading", reason, "reading"]
    assert reason in ROW_REASONS


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"abc", "text"),
        (b"1_0", "text"),
        (b"0x10", "text"),
        (b"1.2.3", "text"),
        (b'"1', "text"),
        (b"NaN", "missing"),
        (b"", "missing"),
        (b"-9999", "missing"),
        (b"-9999.00", "missing"),
        (b'"NAN"', "missing"),
        (b"-nan", "nan"),
        (b"1e999", "inf"),
        (b"inf", "inf"),
    ],
)
def test_a_value_that_is_none_leaves_the_other(text: bytes, why: str) -> None:
    driver = LineDriver("log", PLAIN)
    (reading,) = driver.receive(b"2020-01-01 00:00:00," + text + b",0.0\n", NOW_MS)
    assert isinstance(reading, Reading)
    assert math.isnan(reading.values[0])
    assert reading.values[1] == 0.0
    assert driver.health().values_rejected == ((why, 1),)


@pytest.mark.parametrize("text", [b"0", b"0.0", b"-0.0", b" 0 ", b"0e5", b'"0"'])
def test_zero_is_a_value(text: bytes) -> None:
    (reading,) = received(b"2020-01-01 00:00:00," + text + b"," + text + b"\n")
    assert isinstance(reading, Reading)
    assert reading.values == (0.0, 0.0)


def test_finite_values_whose_sum_overflows_are_kept() -> None:
    (reading,) = received(b"2020-01-01 00:00:00,1e308,1e308\n")
    assert isinstance(reading, Reading)
    assert reading.values == (1e308, 1e308)


def test_five_rows_in_one_millisecond_are_five() -> None:
    lines = b"".join(b"2020-01-01 00:00:00.001,%d,0\n" % i for i in range(5))
    items = received(lines)
    assert [item.values[0] for item in items if isinstance(item, Reading)] == [0, 1, 2, 3, 4]
    assert {item.time_ms for item in items if isinstance(item, Reading)} == {T0_MS + 1}


@pytest.mark.parametrize(
    ("kind", "offset", "text", "ms"),
    [
        ("iso", 0, "2020-01-01T00:00:00", 0),
        ("iso", 0, "2020-01-01T00:00:00Z", 0),
        ("iso", 0, "2020-01-01 00:00:00.250", 250),
        ("iso", 60, "2020-01-01T00:00:00", -3_600_000),
        ("iso", 60, "2020-01-01T00:00:00+00:00", 0),
        ("epoch_s", 0, "1577836800", 0),
        ("epoch_s", 0, "1577836800.5", 500),
        ("epoch_ms", 0, "1577836800007", 7),
        ("epoch_ms", -60, "1577836800000", 3_600_000),
        ("%d.%m.%Y %H:%M", 0, "01.01.2020 00:00", 0),
        ("%d.%m.%Y %H:%M", 120, "01.01.2020 02:00", 0),
    ],
)
def test_times(kind: str, offset: int, text: str, ms: int) -> None:
    format_ = LineFormat(";", (("x", 1),), 2, 0, kind, offset)
    (reading,) = received(f"{text};1\n".encode(), format_)
    assert isinstance(reading, Reading)
    assert reading.time_ms == T0_MS + ms


@pytest.mark.parametrize("kind", ["iso", "epoch_s", "epoch_ms", "%Y-%m-%d %H:%M:%S"])
@pytest.mark.parametrize("text", ["", "-1", "nan", "1e400", "9" * 40, "1_577_836_800", "x"])
def test_times_that_are_none(kind: str, text: str) -> None:
    assert reasons(received(f"{text};1\n".encode(), LineFormat(";", (("x", 1),), 2, 0, kind))) == [
        "time"
    ]


def test_without_a_time_column_the_arrival_counts() -> None:
    (reading,) = received(b"  1.0\t 2.0 \n", LineFormat("whitespace", (("b", 1), ("a", 0)), 2))
    assert reading == Reading("log", NOW_MS, -1, ("b", "a"), (2.0, 1.0), NOW_MS)


def test_comments_and_blank_lines_are_no_rows() -> None:
    driver = LineDriver("log", PLAIN)
    assert reasons(driver.receive(b"# hello\n\n  \n" + LINE, NOW_MS)) == ["reading"]
    assert driver.health().ignored == (("comment", 1),)
    assert driver.health().dropped == ()


def test_record_numbers_give_gaps_duplicates_and_reboots() -> None:
    driver = LineDriver("log", NUMBERED)

    def line(record: object, value: float = 1.0) -> bytes:
        return f"2020-01-01 00:00:00,{record},{value}\n".encode()

    first = driver.receive(line(5) + line(6) + line(6) + line(9) + line(5), NOW_MS)
    assert reasons(first) == ["reading", "reading", "duplicate", "reading", "duplicate"]
    health = driver.health()
    assert (health.gaps, health.duplicates, health.reboots) == (2, 2, 0)
    second = driver.receive(line(9, 2.0) + line("x") + line(1) + line(2), NOW_MS)
    assert reasons(second) == ["reading", "record", "reading", "reading"]
    assert [r.sequence for r in second if isinstance(r, Reading)] == [9, 1, 2]
    assert driver.health().reboots == 1


def test_the_line_we_joined_in_the_middle_of() -> None:
    driver = LineDriver("log", PLAIN)
    driver.opened(NOW_MS)
    assert reasons(driver.receive(b"5,20.25\r\n" + LINE + b"5,1\n", NOW_MS)) == [
        "partial",
        "reading",
        "columns",
    ]
    assert "partial" not in ROW_REASONS


def test_a_line_cut_by_a_vanishing_port_is_one_row() -> None:
    driver = LineDriver("log", PLAIN)
    driver.receive(LINE[:25], NOW_MS)
    driver.opened(NOW_MS)
    items = driver.receive(b"25\n" + LINE, NOW_MS)
    assert reasons(items) == ["truncated", "partial", "reading"]


def test_an_endless_line_holds_no_memory_and_is_told_once() -> None:
    driver = LineDriver("log", PLAIN)
    items = [item for _ in range(500) for item in driver.receive(b"7" * 1000, NOW_MS)]
    assert reasons(items) == ["too_long"]
    assert reasons(driver.receive(b"777\n" + LINE, NOW_MS)) == ["reading"]


PIECES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([LINE, LINE.strip(), b"\n", b"\r", b",", b"NAN", b"1" * 3000, b"#"]),
)


@given(st.lists(PIECES, max_size=12), st.sampled_from([PLAIN, NUMBERED]), st.booleans())
def test_any_bytes_whole_or_one_by_one(
    parts: list[bytes], format_: LineFormat, fresh: bool
) -> None:
    data = b"".join(parts)
    whole, single = LineDriver("log", format_), LineDriver("log", format_)
    if fresh:
        whole.opened(NOW_MS)
        single.opened(NOW_MS)
    items = whole.receive(data, NOW_MS)
    pieces = [item for byte in data for item in single.receive(bytes((byte,)), NOW_MS)]
    assert repr(items) == repr(pieces)  # repr, as NaN is not equal to itself
    assert whole.health() == single.health()


@given(st.lists(st.sampled_from([b"2020-01-01 00:00:00,1,2", b"1,2", b"x,1,2", b"\xfe"])))
def test_rows_in_are_readings_and_dropped_rows(lines: list[bytes]) -> None:
    driver = LineDriver("log", PLAIN)
    items = driver.receive(b"".join(line + b"\n" for line in lines), NOW_MS)
    assert len(items) == len(lines)
    assert driver.health().frames_ok + sum(n for _, n in driver.health().dropped) == len(lines)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"delimiter": ",,"}, "delimiter"),
        ({"delimiter": "."}, "delimiter"),
        ({"columns": ()}, "columns"),
        ({"columns": (("a", 1), ("a", 2))}, "twice"),
        ({"columns": (("a", 1), ("b", 1))}, "already"),
        ({"columns": (("a", 3),)}, "a: column 3"),
        ({"columns": (("a", 0),)}, "time_column"),
        ({"record_column": -1}, "record_column"),
        ({"column_count": 0}, "column_count"),
        ({"time_format": "%Y-%m"}, "time_format"),
        ({"time_format": "%H:%M:%S"}, "time_format"),
        ({"time_format": "%Q"}, "time_format"),
        ({"utc_offset_minutes": 2000}, "utc_offset_minutes"),
        ({"encoding": "utf-16"}, "encoding"),
    ],
)
def test_a_format_that_contradicts_itself_says_where(arguments: dict, named: str) -> None:
    sound = {"delimiter": ",", "columns": (("tilt", 1),), "column_count": 3, "time_column": 0}
    LineFormat(**sound)
    with pytest.raises(ValueError, match=named):
        LineFormat(**{**sound, **arguments})
