"""Raw counts to engineering units, each formula written out here a second time."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.calibration import (
    BarometerTerm,
    Board,
    ChannelPlan,
    Linear,
    Polynomial,
    Stage,
    SteinhartHart,
    TemperatureTerm,
    ThermalPolynomial,
    full_name,
    referenced,
)
from edge.calibrator import Calibrator

T0_MS = 1_450_396_800_000
HOUR_MS = 3_600_000
NAN = math.nan
ANY = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([1e300, -1e300, 0.0, -0.0])


def plan(
    name: str, *stages: Stage, column: str = "", low: float = NAN, high: float = NAN
) -> ChannelPlan:
    return ChannelPlan(name, column or name, stages, low, high)


def calibrator(
    *plans: ChannelPlan,
    columns: tuple[str, ...] = (),
    board: Board | None = None,
    station: str = "slope",
    also_shared: tuple[str, ...] = (),
) -> Calibrator:
    asked = {full_name(station, name) for p in plans for name in referenced(p.stages)}
    return Calibrator(
        station,
        plans,
        columns or tuple(p.column for p in plans),
        Board(HOUR_MS) if board is None else board,
        frozenset(asked | set(also_shared)),
    )


def one(stage: Stage, raw: float, reference: float = NAN) -> float:
    board = Board(HOUR_MS)
    board.post("slope/ref", T0_MS, reference)
    return calibrator(plan("a", stage), board=board).apply((raw,), T0_MS)[0]


def test_no_stage_gives_the_raw_value() -> None:
    assert calibrator(plan("a")).apply((12.5,), T0_MS) == [12.5]


@pytest.mark.parametrize(("raw", "wanted"), [(0.0, 30.0), (10.0, 32.5), (-120.0, 0.0)])
def test_linear_is_gain_times_x_plus_offset(raw: float, wanted: float) -> None:
    assert one(Linear(0.25, 30.0), raw) == wanted


def test_linear_stages_compose_in_the_order_written() -> None:
    chain = calibrator(plan("a", Linear(2.0, 1.0), Linear(10.0, -5.0)))
    assert chain.apply((3.0,), T0_MS) == [10.0 * (2.0 * 3.0 + 1.0) - 5.0]


@given(st.floats(-100, 100), st.tuples(*[st.floats(-5, 5)] * 4), st.floats(0.01, 2))
def test_polynomial_counts_coefficients_from_the_constant_term_up(
    raw: float, c: tuple[float, ...], scale: float
) -> None:
    x = scale * raw
    wanted = c[0] + c[1] * x + c[2] * x**2 + c[3] * x**3
    assert one(Polynomial(c, scale), raw) == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def test_steinhart_hart_turns_ohm_into_degrees_celsius() -> None:
    a, b, c = 1.4051e-3, 2.369e-4, 1.019e-7
    for ohm in (1_000.0, 3_000.0, 5_741.0, 9_796.0):
        log = math.log(ohm)
        wanted = 1 / (a + b * log + c * log * log * log) - 273.15 + 0.3
        assert one(SteinhartHart(a, b, c, 0.3), ohm) == pytest.approx(wanted, abs=1e-9)
    # the table of a 3 kohm thermistor: 3000 ohm at 25 degC, 9796 ohm at 0 degC
    assert one(SteinhartHart(a, b, c), 3_000.0) == pytest.approx(25.0, abs=0.1)
    assert one(SteinhartHart(a, b, c), 9_796.0) == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("ohm", [0.0, -1.0, -5e11])
def test_a_resistance_that_cannot_be_is_out_of_range(ohm: float) -> None:
    broken = calibrator(plan("a", SteinhartHart(1.4e-3, 2.4e-4, 1e-7)))
    assert math.isnan(broken.apply((ohm,), T0_MS)[0])
    assert broken.rejected == {("a", "range"): 1}


def test_temperature_term_adds_what_the_reference_is_colder_than_the_calibration() -> None:
    assert one(TemperatureTerm("ref", 20.0, 0.5), 100.0, 14.0) == 100.0 + (20.0 - 14.0) * 0.5


def test_barometer_term_takes_off_what_the_air_presses_more() -> None:
    assert one(BarometerTerm("ref", 101.0, 2.0), 50.0, 103.0) == 50.0 - (103.0 - 101.0) * 2.0
    assert one(BarometerTerm("ref"), 50.0, 101.3) == 50.0


@given(st.floats(-50, 50), st.floats(-30, 50), st.tuples(*[st.floats(-3, 3)] * 6))
def test_thermal_polynomial_has_six_terms_of_x_and_t(
    x: float, t: float, c: tuple[float, ...]
) -> None:
    wanted = 0.7 * (c[0] + c[1] * x + c[2] * t + c[3] * x**2 + c[4] * x * t + c[5] * t**2)
    got = one(ThermalPolynomial("ref", c, 0.7), x, t)
    assert got == pytest.approx(wanted, rel=1e-9, abs=1e-6)


def test_a_reference_written_later_in_the_file_is_evaluated_first() -> None:
    plans = (plan("p", BarometerTerm("air")), plan("air", Linear(0.1, 0.0), column="raw_air"))
    got = calibrator(*plans).apply((50.0, 1023.0), T0_MS)
    assert got == pytest.approx([50.0 - (102.3 - 101.3), 102.3])


def test_a_chain_of_references_is_followed_to_its_end() -> None:
    plans = (
        plan("c", TemperatureTerm("b", 0.0, 1.0)),
        plan("b", TemperatureTerm("a", 0.0, 1.0)),
        plan("a", Linear(2.0)),
    )
    assert calibrator(*plans).apply((100.0, 10.0, 3.0), T0_MS) == [96.0, 4.0, 6.0]


def test_a_circle_of_references_gives_missing_values_and_no_error() -> None:
    plans = (plan("a", TemperatureTerm("b", 0.0, 1.0)), plan("b", TemperatureTerm("a", 0.0, 1.0)))
    circle = calibrator(*plans)
    assert all(math.isnan(v) for v in circle.apply((1.0, 2.0), T0_MS))
    assert circle.rejected == {("a", "no_reference"): 1, ("b", "no_reference"): 1}


def test_another_station_lends_its_barometer() -> None:
    board = Board(HOUR_MS)
    name = "hilltop/air"
    there = calibrator(plan("air"), board=board, station="hilltop", also_shared=(name,))
    here = calibrator(plan("p", BarometerTerm(name)), board=board)
    there.apply((99.3,), T0_MS)
    assert here.apply((10.0,), T0_MS + 60_000) == pytest.approx([12.0])


@pytest.mark.parametrize("sign", [1, -1])
def test_a_reference_is_used_up_to_its_greatest_age_and_no_longer(sign: int) -> None:
    board = Board(HOUR_MS)
    board.post("slope/ref", T0_MS, 101.3)
    chain = calibrator(plan("p", BarometerTerm("ref")), board=board)
    assert chain.apply((7.0,), T0_MS + sign * HOUR_MS) == [7.0]
    assert math.isnan(chain.apply((7.0,), T0_MS + sign * (HOUR_MS + 1))[0])
    assert chain.rejected == {("p", "no_reference"): 1}


def test_a_reference_never_seen_is_counted_as_such() -> None:
    alone = calibrator(plan("p", ThermalPolynomial("t", (0.0, 1.0, 1.0, 0.0, 0.0, 0.0))))
    assert math.isnan(alone.apply((7.0,), T0_MS)[0])
    assert math.isnan(alone.apply((7.0,), T0_MS)[0])
    assert alone.rejected == {("p", "no_reference"): 2}


def test_a_rejected_reference_is_not_lent() -> None:
    plans = (plan("p", BarometerTerm("air")), plan("air", low=80.0, high=110.0))
    chain = calibrator(*plans)
    assert all(math.isnan(v) for v in chain.apply((7.0, 500.0), T0_MS))
    assert chain.rejected == {("air", "range"): 1, ("p", "no_reference"): 1}


@pytest.mark.parametrize(("raw", "kept"), [(-5.0, True), (5.0, True), (-5.1, False), (5.1, False)])
def test_range_limits_are_inclusive_and_what_is_outside_is_counted(raw: float, kept: bool) -> None:
    limited = calibrator(plan("a", low=-5.0, high=5.0))
    value = limited.apply((raw,), T0_MS)[0]
    assert value == raw if kept else math.isnan(value)
    assert limited.rejected == ({} if kept else {("a", "range"): 1})


def test_a_missing_value_stays_missing_and_is_not_counted() -> None:
    plans = (plan("a", Linear(2.0), low=0.0), plan("b", Polynomial((1.0, 2.0))))
    chain = calibrator(*plans)
    assert all(math.isnan(v) for v in chain.apply((NAN, NAN), T0_MS))
    assert chain.rejected == {}


def test_a_channel_whose_column_is_not_in_the_reading_is_missing() -> None:
    chain = calibrator(plan("a"), plan("b"), columns=("b",))
    a, b = chain.apply((4.0,), T0_MS)
    assert math.isnan(a)
    assert b == 4.0
    assert chain.rejected == {}


@pytest.mark.parametrize("raw", [1e300, -1e300, math.inf, -math.inf])
@pytest.mark.parametrize("stage", [Linear(), Polynomial((1.0, 1.0, 1.0)), SteinhartHart(1, 1, 1)])
def test_damage_is_out_of_range_and_never_a_missing_reference(raw: float, stage: Stage) -> None:
    chain = calibrator(plan("a", stage))
    assert math.isnan(chain.apply((raw,), T0_MS)[0])
    assert chain.rejected == {("a", "range"): 1}


STAGES = (
    Linear(1e300, -1e300),
    Polynomial((1.0, -1e300, 1e300, 3.0), 1e300),
    SteinhartHart(-1e-3, 2e-4, 1e-7),
    TemperatureTerm("ref", 20.0, 1e300),
    BarometerTerm("ref", 101.3, -1e300),
    ThermalPolynomial("ref", (1e300, -1e300, 1.0, 1e300, -1e300, 1e300), 1e300),
)


@given(ANY, ANY, st.lists(st.sampled_from(STAGES), max_size=4))
def test_whatever_comes_in_nothing_raises_and_what_goes_out_is_finite_or_nan(
    raw: float, reference: float, stages: list[Stage]
) -> None:
    chain = calibrator(plan("a", *stages), plan("ref"))
    for value in chain.apply((raw, reference), T0_MS):
        assert not math.isinf(value)


@given(st.dictionaries(st.text(max_size=5), st.tuples(st.integers(0, 2**50), st.floats(-9, 9))))
def test_a_board_restored_answers_as_before(latest: dict[str, tuple[int, float]]) -> None:
    board, other = Board(HOUR_MS), Board(HOUR_MS)
    for name, (time_ms, value) in latest.items():
        board.post(name, time_ms, value)
    other.restore(board.snapshot())
    for name, (time_ms, value) in latest.items():
        assert other.value(name, time_ms) == value
        assert math.isnan(other.value(name, time_ms + HOUR_MS + 1))


# Waterton A and MVD116, first row of 2015-12-18: raw numbers and formulas of the USGS.


def test_the_waterton_a_piezometers_come_out_as_the_usgs_computes_them() -> None:
    first = (1.075071e3, -3.277043e-2, 1.011760e-1, -1.149217e-4, 1.661176e-4, -8.454856e-3)
    second = (9.674485e2, -2.293154e-2, -1.132928e-1, -1.070764e-4, 1.155441e-4, -2.123954e-3)
    thermistor = SteinhartHart(1.401e-3, 2.377e-4, 9.730e-8)
    air = BarometerTerm("air", 101.3, 1 / 6.895)
    gain = 0.1019977334
    plans = (
        plan("head1", ThermalPolynomial("t1", first, 0.70432), air, Linear(gain, -1.1)),
        plan("head2", ThermalPolynomial("t2", second, 0.70432), air, Linear(gain, 1.5)),
        plan("t1", thermistor),
        plan("t2", thermistor),
        plan("air", Linear(0.1 * 0.240, 0.1 * 500)),
    )
    head1, head2, t1, t2, air_kpa = calibrator(*plans).apply(
        (2903.0, 2928.0, 5741.0, 5647.0, 2056.0), T0_MS
    )
    assert air_kpa == pytest.approx(0.1 * (0.240 * 2056 + 500))
    for f, ohm, c, offset, t, head in (
        (2903, 5741, first, -1.1, t1, head1),
        (2928, 5647, second, 1.5, t2, head2),
    ):
        log = math.log(ohm)
        warm = 1 / (1.401e-3 + 2.377e-4 * log + 9.730e-8 * log**3) - 273.15
        p = c[0] + c[1] * f + c[2] * warm + c[3] * f**2 + c[4] * f * warm + c[5] * warm**2
        assert t == pytest.approx(warm)
        assert head == pytest.approx(
            0.1019977334 * (0.70432 * p - (air_kpa - 101.3) / 6.895) + offset
        )
    assert head1 == pytest.approx(0.134, abs=0.001)
    assert head2 == pytest.approx(0.420, abs=0.001)


def test_the_mvd116_piezometer_comes_out_as_the_usgs_computes_it() -> None:
    psi = 6.89475729
    plans = (
        plan(
            "head",
            Polynomial((828.53, -2.3260e-3, -9.5792e-5)),
            TemperatureTerm("t", 20.2, 0.0380 * psi),
            Linear(1.0, -0.762 * psi),
            BarometerTerm("hilltop/air"),
            Linear(0.1019977334, 0.1),
        ),
        plan("t", SteinhartHart(1.4051e-3, 2.369e-4, 1.019e-7, 0.3)),
    )
    board = Board(HOUR_MS)
    board.post("hilltop/air", T0_MS, 99.344)
    head, t = calibrator(*plans, board=board).apply((2923.0, 5781.0), T0_MS)
    log = math.log(5781)
    warm = 1 / (1.4051e-3 + 2.369e-4 * log + 1.019e-7 * log**3) - 273.15 + 0.3
    p = -9.5792e-5 * 2923**2 - 2.3260e-3 * 2923 + 828.53 + (20.2 - warm) * 0.0380 * psi
    assert t == pytest.approx(warm)
    assert head == pytest.approx(0.1019977334 * (p - 0.762 * psi - (99.344 - 101.3)) + 0.1)
    assert -1.0 < head < 5.0
