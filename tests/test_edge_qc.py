"""Quality control at the values themselves: spikes, hung sensors, rows twice or late, limits."""

from __future__ import annotations

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st
from qc_rows import HOUR_MS, NAN, START_MS, flags, noise, one, run, same, several

from edge.flags import BAD, Flag, Flagged
from edge.qc import QualityControl
from edge.qc_plan import QcChannel


def judge(values: list[float], jump: float = 1.0, frozen_ms: int = 0) -> list[float]:
    return [row[0] for row in run(one(jump, frozen_ms), [[v] for v in values])]


def test_a_single_spike_is_held_back_and_told_once_it_is_over() -> None:
    assert same(judge([0.0, 0.1, 1e9, 0.2, 0.3]), [0.0, 0.1, NAN, 0.2, 0.3])
    control = one(1.0)
    found = flags(control, [[0.0], [0.1], [1e9], [0.2], [0.3]])
    assert found == [
        Flagged(START_MS + 2 * HOUR_MS, "a", Flag.HELD),
        Flagged(START_MS + 2 * HOUR_MS, "a", Flag.SPIKE),
    ]
    assert control.refused == {("a", "spike"): 1}


def test_a_real_step_without_neighbours_is_movement_at_the_second_reading() -> None:
    assert same(judge([0.0, 5.0, 5.1, 5.2]), [0.0, NAN, 5.1, 5.2])


def test_of_a_failing_slope_only_the_first_jump_waits() -> None:
    assert same(judge([0.0, 5.0, 30.0, 100.0, 400.0]), [0.0, NAN, 30.0, 100.0, 400.0])
    assert same(judge([0.0, 5.0, 5.1, 5.1, 9e9, 5.2]), [0.0, NAN, 5.1, 5.1, NAN, 5.2])


def test_missing_values_pass_and_are_not_counted() -> None:
    refused: dict[tuple[str, str], int] = {}
    pair = [QcChannel("a", spike_limit=1.0), QcChannel("b", spike_limit=1.0)]
    control = QualityControl(pair, refused)
    assert same(control.apply(START_MS, [NAN, 3.0])[0], [NAN, 3.0])
    assert same(control.apply(START_MS + HOUR_MS, [7.0, 3.1])[0], [7.0, 3.1])
    assert refused == {}


def test_a_value_that_never_changes_is_a_hung_sensor() -> None:
    control = one(frozen_ms=3 * HOUR_MS)
    assert same([r[0] for r in run(control, [[1.25]] * 6)], [1.25] * 4 + [NAN] * 2)
    assert control.refused == {("a", "frozen"): 2}
    assert run(control, [[1.26]], 6) == [[1.26]]


def test_the_same_value_before_and_after_a_long_gap_is_no_hung_sensor() -> None:
    control = one(frozen_ms=24 * HOUR_MS)
    rows = noise(60, 1).tolist()
    run(control, rows)
    assert run(control, [rows[-1]], 60 + 90) == [rows[-1]]


def test_a_noisy_sensor_is_known_to_hang_long_before_its_time() -> None:
    control = one(frozen_ms=24 * HOUR_MS)
    rows = noise(400, 1).tolist()
    assert not flags(control, rows)
    stuck = flags(control, [rows[-1]] * 14, 400)
    assert {f.flags for f in stuck} == {Flag.FROZEN}
    assert 4 <= len(stuck) <= 9


def test_a_sensor_that_is_usually_still_is_not_called_hung() -> None:
    rows = [[10.0 + 0.1 * (i // 37)] for i in range(600)]  # a marker read by hand
    assert not flags(one(), rows)


def test_a_learned_limit_finds_a_spike_that_no_one_configured() -> None:
    control = several(1)
    run(control, noise(100, 1).tolist())
    found = flags(control, [[10.0], [12.0], [10.01]], 100)
    assert [f.flags for f in found] == [Flag.HELD, Flag.SPIKE]


def test_jumps_below_the_resolution_are_none() -> None:
    rows = [[10.0 + (i % 23 == 0) * 1.0] for i in range(400)]  # one step of a coarse sensor
    assert not flags(several(1, resolution=1.0), rows)


def test_a_row_of_long_ago_is_refused_whole() -> None:
    control, rows = several(10), noise(600, 10)
    rows[500] = rows[120]
    rows[501] = rows[121]
    seen = run(control, rows.tolist())
    assert [i for i, row in enumerate(seen) if row[0] != row[0]] == [500, 501]
    assert control.refused == {("row", "duplicate"): 2}


def test_constant_channels_do_not_make_a_row_a_copy() -> None:
    rows = [[5.0, 6.0, 7.0, round(math.sin(i / 5.0), 1)] for i in range(2000)]
    assert not [f for f in flags(several(4), rows) if f.flags & Flag.DUPLICATE]


def test_gaps_late_rows_and_rows_twice_are_told() -> None:
    control = several(2)
    rows = noise(120, 2).tolist()
    run(control, rows[:50])
    assert control.apply(START_MS + 60 * HOUR_MS, rows[60])[1][0].flags == Flag.GAP
    late = control.apply(START_MS + 55 * HOUR_MS, rows[55])
    assert late == (rows[55], (Flagged(START_MS + 55 * HOUR_MS, "", Flag.LATE),))
    values, found = control.apply(START_MS + 60 * HOUR_MS, rows[60])
    assert found[0].flags == Flag.DUPLICATE
    assert all(v != v for v in values)
    assert control.apply(START_MS + 10 * HOUR_MS, rows[99])[1][0].flags == Flag.LATE | Flag.CLOCK


def test_a_row_after_refused_times_says_so() -> None:
    control = several(1)
    control.refuse_time()
    assert control.apply(START_MS, [1.0])[1] == (Flagged(START_MS, "", Flag.CLOCK),)
    assert control.apply(START_MS + HOUR_MS, [1.0])[1] == ()


def test_a_rate_that_the_site_excludes_is_held_back() -> None:
    control = one()
    limited = QualityControl([QcChannel("a", max_rate_per_h=2.0)], {})
    rows = [[0.0], [1.0], [4.0], [1.5]]
    assert same([r[0] for r in run(limited, rows)], [0.0, 1.0, NAN, 1.5])
    assert same([r[0] for r in run(control, rows)], [0.0, 1.0, 4.0, 1.5])


def test_a_configured_temperature_coefficient_is_taken_out() -> None:
    channels = [
        QcChannel("crack", temperature=1, coefficient=0.1, reference_c=10.0),
        QcChannel("air", "temperature", "degC"),
    ]
    control = QualityControl(channels, {})
    assert control.apply(START_MS, [5.0, 20.0])[0] == [4.0, 20.0]
    # Without a temperature the last one goes on counting: no jump of 1.0.
    assert control.apply(START_MS + HOUR_MS, [5.0, NAN])[0][0] == 4.0
    assert control.learned()["crack"]["compensated"]


values_of = st.one_of(st.floats(-50, 50), st.just(NAN), st.sampled_from([0.0, 0.1, 10.0, 1e6]))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(values_of, values_of, values_of), max_size=60), st.integers(0, 60))
def test_a_snapshot_continues_as_if_nothing_was(rows: list[tuple], cut: int) -> None:
    def fresh() -> QualityControl:
        return several(3, spike_limit=20.0, frozen_after_ms=5 * HOUR_MS)

    whole, first = fresh(), fresh()
    seen = [whole.apply(START_MS + i * HOUR_MS, list(row)) for i, row in enumerate(rows)]
    for i, row in enumerate(rows[:cut]):
        first.apply(START_MS + i * HOUR_MS, list(row))
    second = fresh()
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    for i, row in list(enumerate(rows))[cut:]:
        values, found = second.apply(START_MS + i * HOUR_MS, list(row))
        assert same(values, seen[i][0])
        assert found == seen[i][1]
    assert second.notes == whole.notes
    assert second.snapshot() == whole.snapshot()


def test_flags_are_said_in_words() -> None:
    assert (Flag.HELD | Flag.RATE).texts == ("rate", "held")
    assert not Flag.STEP & BAD
    assert Flag.FROZEN & BAD
