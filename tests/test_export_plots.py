"""The picture of a history: small for any length, whole where the data are not."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import numpy as np
import pytest

from export.history import History
from export.models.windows import split
from export.plots.history import plot_history, thinned
from export.quality.finding import Finding

STEP_MS = 600_000
T0_MS = 1_700_000_000_000


def history(values: np.ndarray) -> History:
    steps, channels = values.shape
    times = T0_MS + np.arange(steps) * STEP_MS
    names = tuple(f"channel_{i}" for i in range(channels))
    return History(times, values, np.zeros(steps, dtype=bool), names, "", ())


def height(path: Path) -> int:
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return int(struct.unpack(">I", data[20:24])[0])


def walk(steps: int, channels: int = 1) -> np.ndarray:
    return np.cumsum(np.random.default_rng(1).normal(0, 1, (steps, channels)), axis=0)


def test_a_long_history_is_thinned_and_keeps_its_extremes() -> None:
    values = walk(100_000)[:, 0]
    values[55_555], values[12_345] = 1e6, -1e6
    values[30_000:40_000] = np.nan
    pick = thinned(values)
    assert len(pick) <= 4000
    assert (np.diff(pick) > 0).all()
    assert {55_555, 12_345} <= set(pick.tolist())
    assert np.isnan(values[pick]).any()  # the gap is drawn as one


@pytest.mark.parametrize("steps", [1, 60, 4000])
def test_a_short_one_is_drawn_whole(tmp_path: Path, steps: int) -> None:
    values = walk(steps)
    assert thinned(values[:, 0]).tolist() == list(range(steps))
    plot_history(tmp_path / "h.png", history(values), (), split(steps, 0.2, 0.2))
    assert height(tmp_path / "h.png") > 100


def test_a_million_steps_take_seconds(tmp_path: Path) -> None:
    h = history(walk(1_000_000, 2))
    began = time.monotonic()
    plot_history(tmp_path / "h.png", h, (), split(1_000_000, 0.2, 0.2))
    assert time.monotonic() - began < 20


def test_a_dozen_channels_are_drawn_and_the_others_counted(tmp_path: Path) -> None:
    for channels, name in ((12, "a.png"), (30, "b.png")):
        h = history(walk(100, channels))
        plot_history(tmp_path / name, h, (), split(100, 0.2, 0.2))
    assert height(tmp_path / "b.png") == height(tmp_path / "a.png")


@pytest.mark.filterwarnings("error")
def test_what_is_damaged_is_left_out_and_what_was_found_is_marked(tmp_path: Path) -> None:
    values = walk(500, 3)
    values[:, 0] = np.nan
    values[100:120, 1] = (np.inf, -np.inf, 1e300, -1e300) * 5
    h = history(values)
    h.time_ms[250:] += 30 * 86_400_000
    found = tuple(
        Finding(kind, channel, severity, "", int(h.time_ms[start]), int(h.time_ms[end]))
        for kind, channel, severity, start, end in (
            ("gap", "", "warning", 249, 250),
            ("spike", "channel_2", "warning", 80, 80),
            ("units", "channel_1", "error", 99, 100),
            ("noise", "channel_2", "note", 0, 499),
        )
    )
    plot_history(tmp_path / "plain.png", h, (), split(500, 0.2, 0.2))
    plot_history(tmp_path / "marked.png", h, found, split(500, 0.2, 0.2))
    plain, marked = ((tmp_path / f"{name}.png").read_bytes() for name in ("plain", "marked"))
    assert plain != marked
    plot_history(tmp_path / "noted.png", h, found[-1:], split(500, 0.2, 0.2))
    assert (tmp_path / "noted.png").read_bytes() == plain
