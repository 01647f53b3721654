"""Temperature that a channel newly answers to is taken out, and never by a jump."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edge.flags import Flag
from edge.qc import QualityControl
from edge.qc_plan import QcChannel

HOUR_MS = 3_600_000
T0_MS = 1_700_000_000_000 // (24 * HOUR_MS) * (24 * HOUR_MS)
CHANNELS = [
    QcChannel("crack", "crack_width", "mm", temperature=1),
    QcChannel("air", "temperature", "degC"),
]
BROKEN, DAYS = 40 * 24, 75


def rows(coefficient: float) -> np.ndarray:
    """A still crack, which answers to temperature from BROKEN on."""
    random = np.random.default_rng(5)
    t = np.arange(DAYS * 24)
    weather = np.repeat(np.cumsum(random.standard_normal(DAYS)), 24)
    air = 10.0 + 8.0 * np.sin(2 * np.pi * t / 24) + weather
    crack = 5.0 + 0.05 * random.standard_normal(len(t))
    crack += np.where(t >= BROKEN, coefficient * (air - air[BROKEN]), 0.0)
    return np.column_stack((crack, air))


def judged(values: np.ndarray, control: QualityControl, first: int = 0) -> tuple[np.ndarray, list]:
    out, flags = [], []
    for i, row in enumerate(values.tolist(), start=first):
        given, told = control.apply(T0_MS + i * HOUR_MS, row)
        out.append(given[0])
        flags.append(any(f.flags & Flag.TEMPERATURE for f in told))
    return np.array(out), flags


def test_what_is_new_is_taken_out_and_told() -> None:
    values = rows(0.2)
    control = QualityControl(CHANNELS, {})
    given, flags = judged(values, control)
    begun = flags.index(True)
    assert BROKEN < begun < BROKEN + 12 * 24
    later = slice(begun + 48, None)
    assert np.nanstd(values[later, 0]) > 0.9
    assert np.nanstd(given[later]) < 0.35 * np.nanstd(values[later, 0])
    assert any("what is new is taken out" in note for note in control.notes)
    jump = np.abs(np.diff(given - values[:, 0]))[begun - 1 : begun + 2]
    assert np.nanmax(jump) < 0.5


def test_a_channel_as_ever_is_given_as_it_came() -> None:
    values = rows(0.0)
    given, flags = judged(values, QualityControl(CHANNELS, {}))
    assert not any(flags)
    assert given == pytest.approx(values[:, 0], nan_ok=True)


def test_a_restart_goes_on_bit_for_bit() -> None:
    values, cut = rows(0.2), BROKEN + 15 * 24 + 5
    whole, _ = judged(values, QualityControl(CHANNELS, {}))
    control = QualityControl(CHANNELS, {})
    judged(values[:cut], control)
    kept = json.loads(json.dumps(control.snapshot(), allow_nan=False))
    again = QualityControl(CHANNELS, {})
    again.restore(kept)
    given, _ = judged(values[cut:], again, cut)
    assert given.tolist() == whole[cut:].tolist()


def test_ground_that_ran_on_warm_mornings_is_no_new_answer_to_temperature() -> None:
    values = rows(0.0)
    t = np.arange(len(values)) - BROKEN
    runs = (t >= 0) & (t < 96) & (np.cos(2 * np.pi * t / 24) > 0.7)
    values[:, 0] += 0.02 * values[:, 1] + np.cumsum(np.where(runs, 1.5, 0.02))
    control = QualityControl(CHANNELS, {})
    _, flags = judged(values, control)
    assert not any(flags)
    assert control.learned()["crack"]["temperature_coefficient"] == pytest.approx(0.02, abs=0.02)
