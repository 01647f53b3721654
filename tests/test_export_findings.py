"""What a history is like, told before training: each kind is found, and a clean one is clean."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import demo_bundle
from edge.errors import TalusError
from export.history import History, load_history
from export.quality.findings import examine, lines, refuse
from export.quality.interpolated import interpolated
from export.slope import generate, write_csv
from export.train_config import load_site

if TYPE_CHECKING:
    from pathlib import Path

    from export.quality.finding import Finding

STEP_MS = 600_000
T0_MS = 1_700_000_000_000


def history(columns: dict[str, np.ndarray], breaks: tuple[int, ...] = ()) -> History:
    values = np.stack(list(columns.values()), axis=1).astype(np.float64)
    reset = np.zeros(len(values), dtype=bool)
    reset[list(breaks)] = True
    times = T0_MS + np.arange(len(values)) * STEP_MS
    return History(times, values, reset, tuple(columns), "", ())


def crack(steps: int = 1000, seed: int = 1) -> np.ndarray:
    """A creeping crack, mm, with some noise, to 0.001 mm."""
    random = np.random.default_rng(seed)
    return np.round(np.cumsum(random.normal(0.01, 0.02, steps)) + random.normal(0, 0.05, steps), 3)


def found(h: History, quantity: str = "displacement", target: str = "crack") -> list[Finding]:
    quantities = {c: quantity if c == target else "other" for c in h.channels}
    return list(examine(h, (target,), quantities, dict.fromkeys(h.channels, "mm")))


def grave(findings: list[Finding]) -> dict[str, Finding]:
    return {f.kind: f for f in findings if f.severity != "note"}


def only(y: np.ndarray, kind: str) -> Finding:
    """The one thing worth a look that is found in a series."""
    told = grave(found(history({"crack": y})))
    assert set(told) == {kind}
    return told[kind]


def at(step: int) -> int:
    return T0_MS + step * STEP_MS


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_clean_slope_has_nothing_to_be_warned_of(tmp_path: Path, seed: int) -> None:
    write_csv(generate(40, seed), tmp_path / "history.csv")
    config, wanted = load_site(demo_bundle().parent / "site.toml")
    h = load_history(config, wanted.station, [str(tmp_path / "history.csv")])
    channels = config.station(wanted.station).channels
    findings = examine(
        h,
        wanted.targets,
        {c.name: c.quantity for c in channels},
        {c.name: c.unit for c in channels},
    )
    refuse(findings)
    assert {f.kind for f in findings} == {"noise", "seasons"}
    assert {f.severity for f in findings} == {"note"}
    assert interpolated(h) == frozenset()


def test_a_series_without_faults_has_none() -> None:
    assert grave(found(history({"crack": crack(), "b": crack(seed=2)}))) == {}


def test_a_frozen_span_is_named_with_its_place_and_its_value() -> None:
    y = crack()
    y[300:500] = y[300]
    frozen = only(y, "frozen")
    assert (frozen.start_ms, frozen.end_ms, frozen.count) == (at(300), at(499), 200)
    assert frozen.text.startswith("crack 2023-11-17")
    assert f"repeats {y[300]:.4g} mm to the last digit for 200 values" in frozen.text


def test_a_spike_is_named_and_a_code_for_nothing_is_called_so() -> None:
    y = crack()
    y[700] = -999.0
    spike = only(y, "spike")
    assert (spike.start_ms, spike.end_ms) == (at(700), at(700))
    assert "a logger's code for no value" in spike.text


def test_a_step_is_named_and_many_are_told_once() -> None:
    y = crack()
    y[800:] += 3.0
    step = only(y, "step")
    assert (step.start_ms, step.end_ms) == (at(799), at(800))
    assert step.value == pytest.approx(3.0, abs=0.2)
    toggling = crack(3000) + np.repeat(np.tile((0.0, 3.0), 15), 100)
    assert only(toggling, "step").count >= 12


def test_a_slope_that_accelerates_is_neither_a_step_nor_a_spike() -> None:
    h = generate(20, 1, failure_day=19)
    y = h.values[:, 0]
    assert not {"step", "spike", "units"} & set(grave(found(history({"crack": y}))))


def test_gaps_breaks_and_sparse_values_are_told() -> None:
    y = crack()
    y[200:400] = np.nan
    notes = {f.kind: f for f in found(history({"crack": y, "b": crack(seed=2)}, (600,)))}
    assert notes["gap"].channel == "crack"
    assert "in a span of 200 steps; known in 80%" in notes["gap"].text
    thin = np.full(1000, np.nan)
    thin[::6] = crack()[::6]
    told = grave(found(history({"crack": thin, "b": crack(seed=2)})))
    assert set(told) == {"gap", "sparse"}
    assert "step_s = 3600 would fit it" in told["sparse"].text


def test_the_times_and_rows_that_were_there_twice_are_told() -> None:
    h = replace(history({"crack": crack()}), rejected=(("duplicate", 7),), same_time=3)
    told = {f.kind: f for f in found(h)}
    assert (told["duplicate"].severity, told["same_time"].severity) == ("note", "warning")
    assert "7 rows were there twice" in told["duplicate"].text
    with pytest.raises(TalusError, match="same_time: all channels .* one column a sensor"):
        refuse(found(replace(h, same_time=5000)))


@pytest.mark.parametrize(("every", "kind"), [(25, "linear"), (40, "cubic")])
def test_a_series_drawn_through_sparse_surveys_is_named(every: int, kind: str) -> None:
    at_steps, steps = np.arange(0, 1001, every), np.arange(1000)
    surveys = np.cumsum(np.random.default_rng(2).normal(3.0, 2.0, len(at_steps)))
    drawn = np.interp(steps, at_steps, surveys)
    if kind == "cubic":
        drawn = np.convolve(np.pad(drawn, 40, "edge"), np.hanning(81) / 40, "valid")
    h = history({"crack": np.round(drawn, 4), "measured": crack()})
    assert interpolated(h) == frozenset({"crack"})
    assert "no 1-step score counts" in grave(found(h))["interpolated"].text


def test_a_gap_drawn_over_with_a_line_is_named() -> None:
    y = crack()
    y[300:400] = np.round(np.linspace(y[300], y[300] + 5.0, 100), 3)
    y[400:] += 5.0 + y[300] - y[400]
    filled = grave(found(history({"crack": y})))["filled"]
    assert abs(filled.start_ms - at(300)) <= 2 * STEP_MS
    assert interpolated(history({"crack": y})) == frozenset()


def test_rows_copied_from_long_before_are_named() -> None:
    columns = {"crack": crack(), "b": crack(seed=2), "c": crack(seed=3)}
    for y in columns.values():
        y[700:730] = y[100:130]
    told = [f for f in found(history(columns)) if f.kind == "copied"]
    assert [(f.start_ms, f.end_ms, f.count) for f in told] == [(at(700), at(729), 30)]


def test_another_unit_is_an_error_and_a_single_row_in_one_a_warning() -> None:
    y = crack() + 500.0
    y[600:] /= 25.4
    told = [f for f in found(history({"crack": y})) if f.severity == "error"]
    assert [(f.kind, f.start_ms, f.end_ms) for f in told] == [("units", at(599), at(600))]
    assert "as between inch and mm" in told[0].text
    one = crack() + 500.0
    one[600] /= 1000.0
    assert "as between m and mm" in grave(found(history({"crack": one})))["units"].text
    refuse(found(history({"crack": one})))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (np.full(1000, 3.25), "constant: crack .* never changes from 3.25 mm"),
        (np.random.default_rng(1).normal(0, 1, 1000).round(2), "no_movement: crack .*its noise is"),
        (
            np.random.default_rng(1).normal(0, 0.02, 1000).round(3)
            + np.clip(np.arange(1000) - 500, 0, 12) * 5.0,
            "single_event: crack .*of all its movement, .* is one event",
        ),
        (np.where(np.arange(1000) < 400, 1.0, 1e-3) * (crack() + 800), "units: crack .* m and mm"),
        (np.full(1000, np.nan), "no_value: crack .*no value in the whole history"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_by_name(y: np.ndarray, said: str) -> None:
    with pytest.raises(TalusError, match=said) as caught:
        refuse(found(history({"crack": y, "other": crack(seed=4)})))
    assert str(caught.value).startswith("the history cannot be trained on:\n  ")


def test_a_dead_channel_that_is_no_target_is_a_warning() -> None:
    columns = {"crack": crack(), "dead": np.full(1000, 1.0), "rain": np.zeros(1000)}
    told = examine(history(columns), ("crack",), {"crack": "displacement", "rain": "rainfall"})
    refuse(told)
    said = {f.channel: f.what for f in told if f.kind == "constant"}
    assert set(said) == {"dead", "rain"}
    assert "no rain in the whole history" in said["rain"]


def test_movement_only_before_what_is_held_back_is_a_warning() -> None:
    moved = np.interp(np.arange(1000), (0, 150, 300, 450, 600, 1000), (0, 9, 12, 20, 24, 24))
    y = np.round(moved + np.random.default_rng(1).normal(0, 0.005, 1000), 3)
    assert only(y, "still_at_end").value < 0.02


def test_lines_are_bounded_however_much_there_is() -> None:
    random = np.random.default_rng(5)
    y = crack(20_000)
    y[random.random(20_000) < 0.2] = np.nan
    y[::97] += 30.0
    findings = found(history({"crack": y, "b": crack(20_000, 6)}, tuple(range(50, 20_000, 50))))
    told = lines(findings)
    assert 0 < len(told) < 30
    assert all(line.startswith("finding ") for line in told)
    many = [replace(f, start_ms=i) for i, f in enumerate(f for f in findings * 500)]
    assert len(lines(f for f in many if f.severity != "error")) < 30


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(), st.sampled_from((0.0, 1.0, -999.0))),
            st.floats(-1e3, 1e3),
            st.integers(0, 2),
        ),
        min_size=1,
        max_size=150,
    ),
    st.sets(st.integers(1, 149), max_size=3),
    st.sampled_from(("displacement", "rainfall", "tilt", "temperature")),
)
def test_nothing_that_a_history_holds_is_too_odd_to_examine(
    rows: list[tuple[float, float, int]], breaks: set[int], quantity: str
) -> None:
    values = np.array(rows, dtype=np.float64)
    columns = {"crack": values[:, 0], "b": values[:, 1], "c": values[:, 2]}
    h = history(columns, tuple(b for b in breaks if b < len(rows)))
    kept = h.values.copy()
    for line in lines(found(h, quantity)):
        assert "\n" not in line
    interpolated(h)
    assert np.array_equal(h.values, kept, equal_nan=True)


def test_an_empty_history_has_no_findings() -> None:
    assert examine(history({"crack": np.zeros(0)}), ("crack",), {}) == ()
