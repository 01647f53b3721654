"""The chooser: the cheapest artifact inside its limits, why, and why no other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.bench import demo_bundle
from edge.errors import TalusError
from edge.runtime import RUNTIMES
from export.models.chooser import choose, misfit
from export.models.devices import DEVICES, Device, device, integer_throughout
from export.models.parity import Row

PLAIN = Device("plain", "litert", 64, 100.0, integer_only=False, slower=10.0)


def row(precision="float32", p50_us=5.0, size_bytes=10_000, runtime="litert", drift=0.0, why=""):
    form = RUNTIMES[runtime]
    return Row(f"gru.{precision}.{form}", precision, runtime, size_bytes, p50_us, drift, 0.02,
               0.1, 0, 0, bundled=not why, why=why)  # fmt: skip


def test_the_least_time_is_taken_and_of_equal_times_the_least_bytes():
    rows = (row("float32", 5.0, 25_000), row("float16", 5.1, 15_000), row("int8", 9.0, 9_000))
    choice = choose(rows, PLAIN)
    assert choice.row is rows[1]
    assert len(choice.passed_over) == 2
    assert "as fast, but has 25000 bytes where 15000 do" in choice.passed_over[0]
    assert "takes 9.0 us where 5.1 us do" in choice.passed_over[1]


def test_it_says_whose_time_it_is():
    said = choose((row(p50_us=4.0),), PLAIN).why
    assert "4.0 us on this machine, so about 40 us on plain (an estimate" in said
    assert "estimate" not in choose((row(),), device("this")).why


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(why="drift 5.00% is over its limit of 2.00%"), "over its limit"),
        (row(runtime="onnxruntime"), "plain runs litert"),
        (row(size_bytes=65 * 1024), "65 kB, 64 kB may be taken"),
        (row(p50_us=10.5), "about 105 us there, 100 us may be taken"),
    ],
)
def test_what_does_not_fit_says_why(bad, why):
    assert why in misfit(bad, PLAIN, frozenset())
    choice = choose((bad,), PLAIN)
    assert choice.row is None
    assert why in choice.passed_over[0]
    good = row("int8", p50_us=9.9)
    assert choose((bad, good), PLAIN).row is good


def test_a_device_of_integers_takes_only_what_is_integer_throughout():
    whole = replace(PLAIN, integer_only=True)
    rows = (row("int8", 1.0), row("int16x8", 9.0))
    assert choose(rows, whole).row is None
    assert "has float operators" in choose(rows, whole).passed_over[0]
    assert choose(rows, whole, frozenset({"gru.int16x8.tflite"})).row is rows[1]


def test_a_runtime_that_is_not_here_is_named():
    choice = choose((row(),), device("jetson"))
    assert choice.row is None
    assert "no artifact was measured in onnxruntime here" in choice.why


def test_nothing_to_choose_from_is_no_error():
    assert choose((), PLAIN).row is None


def test_profiles_name_runtimes_that_exist():
    names = [each.name for each in DEVICES]
    assert {"pi3", "pi4", "pi5", "jetson", "this"} < set(names)
    assert len(set(names)) == len(names)
    assert all(each.runtime in ("", *RUNTIMES) for each in DEVICES)
    assert all(each.slower >= 1.0 and each.budget_us > 0 for each in DEVICES)
    with pytest.raises(TalusError, match="pi9.*one of pi3"):
        device("pi9")


def test_the_gru_in_int8_keeps_float_sums_and_in_int16x8_does_not():
    folder = demo_bundle()
    whole = {p: integer_throughout((folder / f"gru.{p}.tflite").read_bytes())
             for p in ("float32", "float16", "dynamic", "int8", "int16x8")}  # fmt: skip
    assert [p for p, is_whole in whole.items() if is_whole] == ["int16x8"]


some_rows = st.lists(
    st.builds(
        row,
        precision=st.sampled_from(["float32", "int8", "dynamic"]),
        p50_us=st.floats(0.1, 30.0),
        size_bytes=st.integers(1, 100_000),
        runtime=st.sampled_from(list(RUNTIMES)),
        why=st.sampled_from(["", "drift"]),
    ),
    max_size=8,
)


@given(rows=some_rows, profile=st.sampled_from([PLAIN, *DEVICES]))
def test_what_is_chosen_fits_and_nothing_that_fits_is_clearly_faster(rows, profile):
    choice = choose(tuple(rows), profile)
    fitting = [r for r in rows if not misfit(r, profile, frozenset())]
    assert (choice.row is None) is (not fitting)
    if choice.row is not None:
        assert choice.row in fitting
        assert choice.row.p50_us <= 1.05 * min(r.p50_us for r in fitting)
        assert len(choice.passed_over) == len(rows) - 1
