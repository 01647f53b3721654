"""Campbell TOA5 tables as a CR1000 sends them: headers at any time, columns by name."""

from __future__ import annotations

import math
import select
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import firmware_bridge
from edge.errors import ConfigError
from edge.fields import Mistakes, Table
from edge.parse_ports import PortConfig, parse_port
from firmware_bridge.drivers.lines import LineDriver, LineFormat
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import ROW_REASONS, Dropped, Reading
from firmware_bridge.sim_instruments import LinePty

NOW_MS = 1_700_000_000_000
T0_MS = 1_577_836_800_000  # 2020-01-01T00:00:00Z
BY_NAME = LineFormat(
    ",", (("tilt", "Tilt_Avg"), ("rain", "Rain_mm_Tot")), 0, time_column=0, record_column=1
)
BY_NUMBER = LineFormat(
    ",", (("tilt", 3), ("rain", 4)), 5, time_column=0, record_column=1
)  # fmt: skip
HEADER = [
    '"TOA5","slope","CR1000","12345","CR1000.Std.32.05","CPU:slope.CR1","4062","Hourly"',
    '"TIMESTAMP","RECORD","BattV_Min","Tilt_Avg","Rain_mm_Tot"',
    '"TS","RN","Volts","mrad","mm"',
    '"","","Min","Avg","Tot"',
]
OTHER_HEADER = [
    HEADER[0],
    '"TIMESTAMP","RECORD","Rain_mm_Tot","TC_Avg(1,2)","BattV_Min","Tilt_Avg"',
    '"TS","RN","mm","Deg C","Volts","mrad"',
    '"","","Tot","Avg","Min","Avg"',
]


def row(number: int, *values: object) -> str:
    stamp = f"2020-01-01 {number // 60 % 24:02d}:{number % 60:02d}:00"
    return ",".join([f'"{stamp}"', str(number), *map(str, values)])


def received(driver: LineDriver, lines: list[str]) -> list[Reading | Dropped]:
    return driver.receive(("\r\n".join(lines) + "\r\n").encode(), NOW_MS)


def reasons(items: list[Reading | Dropped]) -> list[str]:
    return [item.reason if isinstance(item, Dropped) else "reading" for item in items]


def values(items: list[Reading | Dropped]) -> list[tuple[float, ...]]:
    return [item.values for item in items if isinstance(item, Reading)]


@pytest.mark.parametrize("format_", [BY_NAME, BY_NUMBER])
def test_headers_at_any_time_are_no_rows(format_: LineFormat) -> None:
    driver = LineDriver("log", format_)
    lines = [*HEADER, row(0, 12.6, 1.5, 0.0), *HEADER, row(1, 12.6, '"NAN"', 0.2), *HEADER]
    first, second = received(driver, lines)
    assert first == Reading("log", T0_MS, 0, ("tilt", "rain"), (1.5, 0.0), NOW_MS)
    assert isinstance(second, Reading)
    assert math.isnan(second.values[0])
    assert second.values[1] == 0.2
    health = driver.health()
    assert health.ignored == (("header", 12),)
    assert health.dropped == ()
    assert health.values_rejected == (("missing", 1),)
    assert (health.gaps, health.reboots) == (0, 0)


def test_a_changed_table_is_read_by_its_new_names() -> None:
    driver = LineDriver("log", BY_NAME)
    lines = [*HEADER, row(0, 12.6, 1.5, 0.25), *OTHER_HEADER, row(0, 0.5, 20.1, 12.6, 1.75)]
    assert values(received(driver, lines)) == [(1.5, 0.25), (1.75, 0.5)]
    assert driver.health().reboots == 0  # the same number and another text: a table anew


def test_a_table_without_a_wanted_column_is_refused_until_a_header_has_it() -> None:
    for renamed, words in (
        ('"Tilt_Max"', "'Tilt_Avg' is not in the header"),
        ('"Rain_mm_Tot"', "'Tilt_Avg' is not in the header"),
        ('"Tilt_Avg","Tilt_Avg"', "'Tilt_Avg' is twice in the header"),
    ):
        names = HEADER[1].replace('"Tilt_Avg"', renamed)
        driver = LineDriver("log", BY_NAME)
        items = received(driver, [*HEADER, row(0, 1, 2, 3), names, row(1, 1, 2, 3)])
        items += received(driver, [row(2, 1, 2, 3), *HEADER, row(3, 1, 2, 3)])
        assert reasons(items) == ["reading", "schema", "schema", "reading"]
        assert "schema" in ROW_REASONS
        assert words in items[1].detail
        assert driver.health().gaps == 2


def test_before_the_first_header_nothing_is_guessed() -> None:
    driver = LineDriver("log", BY_NAME)
    driver.opened(NOW_MS)
    items = received(driver, [row(0, 1, 2, 3)[9:], row(1, 1, 2, 3), *HEADER, row(2, 1, 2, 3)])
    assert reasons(items) == ["partial", "schema", "reading"]
    assert "no TOA5 header has come yet" in items[1].detail
    driver.opened(NOW_MS)  # the layout is kept: a logger may never send it again
    assert reasons(received(driver, [row(3, 1, 2, 3)])) == ["reading"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (HEADER[1][:-1], "time"),
        ('"2020-01-01 00:00:00",5,1,2', "columns"),
        ('"TS","RN",1,2,3', "time"),
        ('"","",1,2,3', "time"),
        ("TIMESTAMP,RECORD,a,b,c", "time"),
    ],
)
def test_what_only_looks_like_a_header_is_one_dropped_row(line: str, reason: str) -> None:
    driver = LineDriver("log", BY_NUMBER)
    assert reasons(received(driver, [row(0, 1, 2, 3), line, row(1, 1, 2, 3)])) == (
        ["reading", reason if line.count(",") == 4 else "columns", "reading"]
    )


def test_half_a_line_then_a_pause_is_joined_and_never_two() -> None:
    text = "\r\n".join([*HEADER, row(7, 12.6, 1.5, 0.0)]) + "\r\n"
    for cut in range(len(text)):
        driver = LineDriver("log", BY_NAME)
        items = driver.receive(text[:cut].encode(), NOW_MS)
        items += driver.receive(b"", NOW_MS + 60_000)
        items += driver.receive(text[cut:].encode(), NOW_MS + 120_000)
        assert values(items) == [(1.5, 0.0)], cut
        assert len(items) == 1


def test_times_of_a_fast_table_have_as_many_digits_as_they_need() -> None:
    texts = ["00:00:00", "00:00:00.5", "00:00:00.55", "00:00:00.555"]
    lines = [row(i, 12.6, 1, 2).replace(row(i)[12:20], texts[i], 1) for i in range(4)]
    items = received(LineDriver("log", BY_NAME), [*HEADER, *lines])
    assert [item.time_ms - T0_MS for item in items] == [0, 500, 550, 555]


def test_five_records_in_one_millisecond_are_five() -> None:
    driver = LineDriver("log", BY_NAME)
    lines = [*HEADER, *(row(0, 12.6, i, 0.0).replace(",0,", f",{i},", 1) for i in range(5))]
    items = received(driver, lines)
    assert [(item.time_ms, item.sequence) for item in items] == [(T0_MS, i) for i in range(5)]
    assert values(items) == [(float(i), 0.0) for i in range(5)]


TEXTS = st.one_of(
    st.sampled_from([*HEADER, *OTHER_HEADER, row(1, 1, 2, 3), row(2, 1, 2, 3, 4), '"TOA5', '"']),
    st.text('"TOARECDTIMESP,1.5\r-', max_size=40),
)


@given(st.lists(TEXTS, max_size=12))
def test_any_lines_whole_or_one_by_one(lines: list[str]) -> None:
    whole, single = LineDriver("log", BY_NAME), LineDriver("log", BY_NAME)
    data = "".join(line + "\n" for line in lines).encode()
    items = whole.receive(data, NOW_MS)
    assert repr(items) == repr([i for b in data for i in single.receive(bytes((b,)), NOW_MS)])
    assert whole.health() == single.health()


def parsed(data: dict) -> PortConfig:
    found = Mistakes("gateway.toml")
    port = parse_port(Table(data, "port[0]", found))
    found.raise_if_any()
    return port


PORT = {"name": "log", "device": "/dev/x", "protocol": "lines"}


@pytest.mark.parametrize(
    ("lines", "mistake"),
    [
        ({"columns": {"a": "x"}}, "names need time_column or record_column"),
        ({"columns": {"a": "x", "b": 3}, "time_column": 0}, "numbers or names of columns"),
        ({"columns": {"a": ""}, "time_column": 0}, "columns: "),
        ({"columns": {"a": 1.5}, "time_column": 0}, "port[0].lines.columns.a: must be a whole"),
        ({"columns": {"a": "x", "b": "x"}, "time_column": 0}, "column x is already a"),
        ({"columns": {"a": 1}, "time_column": 0}, "port[0].lines.column_count: missing"),
        ({"columns": {"a": "x"}, "time_column": 0, "delimiter": "whitespace"}, "delimiter of one"),
        ({"columns": {"a": "x"}, "time_column": 300}, "column 300 not in 0..255"),
    ],
)
def test_columns_by_name_have_their_mistakes_named(lines: dict, mistake: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parsed({**PORT, "lines": lines})
    assert mistake in str(caught.value)


def test_a_count_that_is_stated_is_held_against_the_header() -> None:
    lines = {"columns": {"tilt": "Tilt_Avg"}, "column_count": 6, "time_column": 0}
    format_ = parsed({**PORT, "lines": lines}).lines
    assert format_ is not None
    driver = LineDriver("log", format_)
    items = received(driver, [*HEADER, row(0, 1, 2, 3), *OTHER_HEADER, row(0, 1, 2, 3, 4)])
    assert reasons(items) == ["schema", "reading"]
    assert values(items) == [(4.0,)]


def test_the_profile_is_read_end_to_end() -> None:
    path = Path(firmware_bridge.__file__).parent / "profiles" / "campbell_toa5.toml"
    (data,) = tomllib.loads(path.read_text())["port"]
    config = parsed(data)
    assert (config.baud, config.columns) == (115200, ("tilt", "pore_pressure", "battery"))
    assert config.lines is not None
    names = '"TIMESTAMP","RECORD","BattV_Min","Tilt_Avg","Piezo_kPa_Avg"'
    rows_ = [row(i, 12.5, round(0.1 * i, 1), '"NAN"' if i % 5 == 4 else 0.0) for i in range(40)]
    sent = [rows_[0], HEADER[0], names, *HEADER[2:], *rows_[1:20]]
    sent += [HEADER[0], names, *HEADER[2:], *rows_[20:]]
    driver = LineDriver("log", config.lines)
    items: list[Reading | Dropped] = []
    with LinePty(sent, interval_s=0.002) as logger:
        port = Port(logger.device, config.baud)
        end_s = time.monotonic() + 30
        while len(items) < 40 and time.monotonic() < end_s:
            event = port.poll(time.time_ns() // 1_000_000)
            if event is not None and event.state is PortState.OPENED:
                driver.opened(NOW_MS)
            fileno = port.fileno()
            if fileno is not None and select.select([fileno], [], [], 0.02)[0]:
                items += driver.receive(port.read(7), NOW_MS)
        port.close()
    assert reasons(items) == ["partial"] + ["reading"] * 39
    for i, item in enumerate(items[1:], start=1):
        assert item.values[0] == pytest.approx(0.1 * i)
        assert item.values[2] == 12.5
        assert math.isnan(item.values[1]) if i % 5 == 4 else item.values[1] == 0.0
    assert driver.health().ignored == (("header", 8),)
