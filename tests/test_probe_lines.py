"""Guessing how a logger writes: what is guessed must read every line that it writes."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.probe_finding import Place, stanza
from edge.probe_lines import ENOUGH_LINES, LineGuess, finding_of, guess_lines
from edge.tail import port_of
from firmware_bridge.drivers.lines import LineDriver
from firmware_bridge.reading import Reading

TOA5 = b"""\
"TOA5","st 1","CR1000","12345","CR1000.Std.32","CPU:slope.CR1","4711","Slow"\r
"TIMESTAMP","RECORD","Crack_Avg(1)","Tilt","BattV_Min"\r
"TS","RN","mm","mrad","Volts"\r
"","","Avg","Avg","Min"\r
"""


def lines(rows: list[str], cut: bytes = b"5.00,1\r\n") -> bytes:
    """As heard: the first line cut by opening in its middle, the last not yet ended."""
    return cut + b"".join(row.encode() + b"\r\n" for row in rows) + rows[0].encode()[:5]


def guessed(data: bytes) -> LineGuess:
    guess = guess_lines(data)
    assert guess is not None
    return guess


def read_with(guess: LineGuess, rows: list[str]) -> list[Reading]:
    """Read lines with the stanza that would be printed, as a gateway would."""
    place = Place("/dev/ttyUSB0", 9600)
    port = port_of(stanza(place, finding_of(guess)))
    assert port.lines is not None
    driver = LineDriver("x", port.lines)
    return driver.receive(b"".join(row.encode() + b"\n" for row in rows), 0)


def test_a_campbell_table_with_its_header() -> None:
    rows = [f'"2031-10-25 17:4{i}:00",{700 + i},{i * 0.25},"NAN",12.5' for i in range(6)]
    guess = guessed(b"x\r\n" + TOA5 + lines(rows, b""))
    assert guess.format.columns == (("Crack_Avg_1", 2), ("Tilt", 3), ("BattV_Min", 4))
    assert (guess.format.time_column, guess.format.time_format) == (0, "iso")
    assert guess.format.record_column == 1
    assert [r.sequence for r in read_with(guess, rows)] == [700, 701, 702, 703, 704, 705]


@pytest.mark.parametrize(
    ("stamp", "kind"),
    [
        ("2031-10-25T17:46:0{i}Z", "iso"),
        ("2031/10/25 17:46:0{i}", "%Y/%m/%d %H:%M:%S"),
        ("25.10.2031 17:46:0{i}", "%d.%m.%Y %H:%M:%S"),
        ("25/10/2031 17:46:0{i}", "%d/%m/%Y %H:%M:%S"),
        ("10/25/2031 17:46:0{i}", "%m/%d/%Y %H:%M:%S"),
        ("2031102517460{i}", "%Y%m%d%H%M%S"),
        ("195087996{i}", "epoch_s"),
        ("195087996{i}000", "epoch_ms"),
    ],
)
def test_times(stamp: str, kind: str) -> None:
    rows = [f"{stamp.format(i=i)};{i * 1.5};-3" for i in range(6)]
    guess = guessed(lines(rows))
    assert (guess.format.delimiter, guess.format.time_format) == (";", kind)
    assert guess.format.time_column == 0
    readings = read_with(guess, rows)
    assert [b.time_ms - a.time_ms for a, b in pairwise(readings)] == [1000] * 5


def test_a_time_that_is_last_and_a_column_that_is_text() -> None:
    rows = [f"OK,{i},{i / 7:.3f},2031-10-25T17:46:0{i}" for i in range(6)]
    guess = guessed(lines(rows))
    assert (guess.format.time_column, guess.format.record_column) == (3, 1)
    assert [name for name, _ in guess.format.columns] == ["column_2"]
    assert len(read_with(guess, rows)) == 6


def test_blanks_in_any_number_and_no_time() -> None:
    rows = [f"  {i * 0.1:6.2f}   {20 - i:5d} 1" for i in range(6)]
    guess = guessed(lines(rows))
    assert guess.format.delimiter == "whitespace"
    assert guess.format.time_column is None
    assert [r.values for r in read_with(guess, rows)][2] == (0.2, 18.0, 1.0)


def test_one_number_a_line() -> None:
    rows = [f"{i * 0.1:.2f}" for i in range(6)]
    assert guessed(lines(rows, b"")).format.column_count == 1
    assert guess_lines(lines(rows[:2], b"")) is None  # too little to tell


def test_a_few_lines_are_not_yet_enough() -> None:
    rows = [f"{i},2.5,3" for i in range(2)]
    assert not finding_of(guessed(lines(rows))).whole
    rows = [f"{i},2.5,3" for i in range(ENOUGH_LINES)]
    assert finding_of(guessed(lines(rows))).whole


def test_day_and_month_that_may_be_the_other_way_round_are_pointed_out() -> None:
    guess = guessed(lines([f"05/06/2031 17:46:0{i},{i * 2.5}" for i in range(6)]))
    assert any("day before month" in note for note in guess.notes)


@pytest.mark.parametrize(
    "rows",
    [
        ["hello world", "how are you", "well, thanks"],
        ["12,5;13,25", "12,6;13,26", "12,7;13,27", "12,8;13,28"],  # commas for points
        ["", "", ""],
    ],
)
def test_what_cannot_be_read_is_not_guessed(rows: list[str]) -> None:
    assert guess_lines(lines(rows, b"")) is None


NUMBERS = st.one_of(
    st.floats(-1e6, 1e6).map(lambda v: f"{v:.3f}"), st.integers(-9999, 10**6).map(str)
)


@settings(deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda n: st.lists(st.lists(NUMBERS, min_size=n, max_size=n), min_size=5, max_size=9)
    ),
    st.sampled_from([",", ";", "\t", "|", " "]),
    st.booleans(),
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)),
)
def test_whatever_is_guessed_reads_every_value(
    rows: list, delimiter: str, timed: bool, start: datetime
) -> None:
    timed = timed and delimiter != " "
    stamps = [start.replace(microsecond=0) + timedelta(minutes=i) for i in range(len(rows))]
    texts = [
        delimiter.join(([f"{stamp:%Y-%m-%d %H:%M:%S}"] if timed else []) + row)
        for stamp, row in zip(stamps, rows, strict=True)
    ]
    guess = guessed(lines(texts))
    readings = read_with(guess, texts)
    columns = dict(guess.format.columns)
    for row, stamp, reading in zip(rows, stamps, readings, strict=True):
        assert isinstance(reading, Reading)
        for name, value in zip(reading.channels, reading.values, strict=True):
            text = row[columns[name] - timed]
            assert value == float(text) or float(text) in (-9999, -99999)
        if timed:
            assert reading.time_ms == stamp.replace(tzinfo=timezone.utc).timestamp() * 1000


@given(st.binary(max_size=400), st.sampled_from([b",", b";", b" ", b"\r\n"]))
def test_any_bytes_never_raise(data: bytes, between: bytes) -> None:
    guess = guess_lines(b"\r\n1.0" + between + data + b"\r\n" + data.replace(b"\0", between) * 3)
    if guess is not None:
        finding_of(guess)
