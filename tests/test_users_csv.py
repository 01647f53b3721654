"""The CSV files of an office: spreadsheets of any country, loggers of any year."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from edge.bench import demo_bundle
from edge.config import load_config
from edge.replay import recorded
from firmware_bridge.reading import Dropped, Reading

T0_MS = 1_704_067_200_000


def read(tmp_path: Path, content: str) -> list[Reading | Dropped]:
    path = tmp_path / "history.csv"
    path.write_text(content, encoding="utf-8")
    config = load_config(demo_bundle().parent / "gateway.toml")
    return [item for item in recorded(config, [str(path)]) if isinstance(item, Reading | Dropped)]


@pytest.mark.parametrize(
    "content",
    [
        "time,a,b\n2024-01-01T00:00,1.5,2\n",
        "\ufefftime,a,b\r\n2024-01-01 00:00:00,1.5,2\r\n",
        '"time","a","b"\n"2024-01-01T00:00Z","1.5","2"\n',
        "Timestamp;a;b\n2024-01-01 00:00;1,5;2,0\n",
        "time\ta\tb\n1704067200\t1.5\t2\n",
        "time,a,b\n1704067200000,1.5,2,\n",
        "Time,a,b\n1704067200000,1.5,2\n,,\n\n",
    ],
)
def test_one_row_however_it_was_saved(tmp_path, content: str) -> None:
    (reading,) = read(tmp_path, content)
    assert isinstance(reading, Reading)
    assert (reading.time_ms, reading.channels) == (T0_MS, ("a", "b"))
    assert reading.values == (1.5, 2.0)


@pytest.mark.parametrize("word", ["", "NaN", "#N/A", "-", "null", "inf"])
def test_words_for_nothing(tmp_path, word: str) -> None:
    (reading,) = read(tmp_path, f"time,a,b\n1704067200000,{word},2\n")
    assert isinstance(reading, Reading)
    assert math.isnan(reading.values[0])


def test_a_row_there_twice_is_counted_and_passed_over(tmp_path) -> None:
    row = "1704067200000,1,\n"
    first, second = read(tmp_path, f"time,a,b\n{row}{row}")
    assert isinstance(first, Reading)
    assert isinstance(second, Dropped)
    assert second.reason == "duplicate"
