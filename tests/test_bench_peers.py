"""The benchmark against peers: how lost readings are counted."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers_parts import imported

VALUES = (0.018, -0.041, 0.0, 0.058, 11.984, 0.0, 0.18, 3.774)


@pytest.fixture(scope="module")
def parts() -> Any:
    with imported() as found:
        yield found


def lines(parts, rows) -> bytes:
    return b"".join(parts.tally.line(row, VALUES) for row in rows)


@given(row=st.integers(0, 5_000_000), at=st.integers(0, 60), byte=st.integers(0, 255))
def test_a_line_bears_its_row_and_damage_never_bears_another(parts, row, at, byte) -> None:
    whole = parts.tally.line(row, VALUES)
    assert parts.tally.row_of(whole) == row
    hurt = bytearray(whole)
    hurt[at % len(hurt)] = byte
    assert parts.tally.row_of(bytes(hurt)) in (row, None)


def test_joined_and_cut_lines_are_no_rows(parts) -> None:
    one, two = parts.tally.line(1, VALUES), parts.tally.line(2, VALUES)
    assert parts.tally.row_of(one[:40] + two) is None
    assert parts.tally.row_of(one[:40]) is None
    assert parts.tally.row_of(one.strip() + b",1.0") is None
    assert parts.tally.row_of(one.replace(b"0.018", b"nan")) is None


def test_times_of_a_long_run_stay_believable(parts) -> None:
    from edge.quality import EARLIEST_MS, LATEST_MS

    first, last = (int(parts.tally.line(row, VALUES).split(b",")[0]) for row in (0, 5_000_000))
    assert EARLIEST_MS < first < last < LATEST_MS


@given(cuts=st.lists(st.integers(0, 500), max_size=12))
def test_raw_bytes_are_put_together_however_they_were_cut(parts, cuts) -> None:
    stream = lines(parts, range(8))
    edges = [0, *sorted(min(c, len(stream)) for c in cuts), len(stream)]
    pieces = [(float(i), stream[a:b]) for i, (a, b) in enumerate(pairwise(edges))]
    came = parts.tally.raw_bytes(pieces)
    assert set(came.at_s) == set(range(8))
    assert (came.twice, came.damaged) == (0, 0)
    assert came.at_s[7] == max(i for i, piece in pieces if piece)


def test_a_lost_piece_costs_the_lines_it_was_of(parts) -> None:
    stream = lines(parts, range(4))
    length = len(stream) // 4
    came = parts.tally.raw_bytes([(0.0, stream[: length + 9]), (1.0, stream[2 * length + 9 :])])
    assert set(came.at_s) == {0, 3}
    assert came.damaged == 1


def test_the_first_arrival_counts_and_the_second_is_told(parts) -> None:
    text = parts.tally.line(7, VALUES)
    came = parts.tally.whole_lines([(1.0, text), (2.0, text), (3.0, b"noise")])
    assert (dict(came.at_s), came.twice, came.damaged) == ({7: 1.0}, 1, 1)


def test_telemetry_of_talus_is_read_with_its_forecasts(parts) -> None:
    t = parts.tally
    rows = [[t.EPOCH_MS + n * t.STEP_MS, n, *VALUES] for n in (3, 4)]
    hurt = [t.EPOCH_MS + 5 * t.STEP_MS, 5, *VALUES[:-1], None]
    steps = [{"forecasts": [[0.1]]}, {"forecasts": []}]
    told = json.dumps({"rows": [*rows, hurt], "steps": steps}).encode()
    came = t.talus_rows([(1.5, told)])
    assert (dict(came.at_s), came.damaged, came.steps) == ({3: 1.5, 4: 1.5}, 1, 1)


def test_what_thingsboard_overwrote_is_lost(parts) -> None:
    text = parts.tally.line(3, VALUES).decode().strip()
    told = {"node": [{"ts": 1, "values": {"line": text}}, {"ts": 2, "values": {"other": 1}}]}
    came = parts.tally.thingsboard_rows([(1.0, json.dumps(told).encode())])
    assert (set(came.at_s), came.damaged) == ({3}, 1)


def arrivals(parts, at_s, twice=0) -> Any:
    return parts.tally.Arrivals(at_s, twice, 0)


def test_what_never_came_is_lost_and_what_came_late_is_not(parts) -> None:
    written = {0: 1.0, 1: 2.0, 2: 3.0, 3: 4.0}
    found = parts.tally.account(written, arrivals(parts, {0: 1.1, 2: 90.0, 3: 9.0}, 2), 3.5)
    assert (found.written, found.lost, found.twice, found.back_s) == (4, 1, 2, 5.5)


def test_a_gateway_that_never_came_back_has_lost_all_and_says_never(parts) -> None:
    found = parts.tally.account({0: 1.0, 1: 5.0}, arrivals(parts, {0: 1.1}), 4.0)
    assert (found.lost, found.back_s) == (1, float("inf"))
    assert parts.page.number(found.back_s) == "never"


def test_the_moment_to_open_a_port_is_excused_and_nothing_later(parts) -> None:
    written = {0: 10.0, 1: 11.0, 2: 12.0, 3: 13.0}
    came = arrivals(parts, {1: 11.1, 3: 13.1})
    found = parts.tally.account(written, came, 10.0, (10.0, 12.0))
    assert (found.written, found.lost) == (3, 1)


@given(st.dictionaries(st.integers(0, 50), st.booleans(), min_size=1))
def test_written_is_lost_and_came(parts, rows) -> None:
    came = arrivals(parts, {row: 2.0 for row, arrived in rows.items() if arrived})
    found = parts.tally.account(dict.fromkeys(rows, 1.0), came, 0.0)
    assert found.written == len(rows)
    assert found.lost == len(rows) - len(came.at_s)


def test_a_rate_is_held_only_whole_and_in_time(parts) -> None:
    assert parts.tally.sustained(100, 100, 0.1)
    assert not parts.tally.sustained(100, 99, 0.1)
    assert not parts.tally.sustained(100, 100, 0.6)
    assert not parts.tally.sustained(0, 0, 0.0)
