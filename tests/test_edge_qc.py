"""Quality control at the values themselves: what is held back, taken out, or said to be stuck."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import load_config
from edge.flags import BAD, Flag, Flagged
from edge.pipeline import Pipeline
from edge.qc import QualityControl
from edge.qc_plan import QcChannel
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

HOUR_MS = 3_600_000
NAN = math.nan
START_MS = 1_704_067_200_000


def one(limit: float = math.inf, frozen_ms: int = 0) -> QualityControl:
    return QualityControl([QcChannel("a", spike_limit=limit, frozen_after_ms=frozen_ms)], {})


def several(n: int, **also: object) -> QualityControl:
    """Return cracks that are each other's neighbours."""
    return QualityControl(
        [
            QcChannel(f"c{i}", neighbours=tuple(j for j in range(n) if j != i), **also)  # type: ignore[arg-type]
            for i in range(n)
        ],
        {},
    )


def run(control: QualityControl, rows: list[list[float]], first: int = 0) -> list[list[float]]:
    return [control.apply(START_MS + (first + i) * HOUR_MS, row)[0] for i, row in enumerate(rows)]


def flags(control: QualityControl, rows: list[list[float]], first: int = 0) -> list[Flagged]:
    found: list[Flagged] = []
    for i, row in enumerate(rows):
        found += control.apply(START_MS + (first + i) * HOUR_MS, row)[1]
    return found


def noise(n: int, channels: int, sd: float = 0.03, seed: int = 1) -> np.ndarray:
    return np.round(np.random.default_rng(seed).normal(10.0, sd, (n, channels)), 2)


def judge(values: list[float], jump: float = 1.0, frozen_ms: int = 0) -> list[float]:
    return [row[0] for row in run(one(jump, frozen_ms), [[v] for v in values])]


def same(a: list[float], b: list[float]) -> bool:
    return all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))


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


def stepped(control: QualityControl, rows: np.ndarray, at: int, by: dict[int, float]) -> list[str]:
    rows = rows.copy()
    for i, size in by.items():
        rows[at:, i] += size
    run(control, rows.tolist())
    return control.notes


def test_a_step_that_no_neighbour_shares_is_taken_out_and_told_once() -> None:
    control, rows = several(3), noise(300, 3)
    (note,) = stepped(control, rows, 200, {1: 4.0})
    assert note.startswith("c1: +4")
    assert "no neighbour moved with it" in note
    assert control.learned()["c1"]["offset"] == pytest.approx(4.0, abs=0.1)
    (out,) = run(control, [[10.0, 14.0, 10.0]], 300)
    assert out == pytest.approx([10.0, 10.0, 10.0], abs=0.1)
    assert control.refused["c1", "step"] == 1


@pytest.mark.parametrize("by", [{0: 4.0, 1: 3.0, 2: 2.0}, {0: 4.0, 1: 1.6}, {0: -4.0, 2: -0.5}])
def test_a_step_that_a_neighbour_shares_is_movement(by: dict[int, float]) -> None:
    control = several(3)
    assert stepped(control, noise(300, 3), 200, by) == []
    assert all(each["offset"] == 0.0 for each in control.learned().values())


def test_a_step_of_a_channel_that_accelerates_is_movement() -> None:
    rows = noise(300, 3)
    rows[150:, 1] += 0.002 * np.arange(150) ** 2  # 0.2 mm an hour at row 200 and rising
    control = several(3)
    assert stepped(control, rows, 200, {1: 4.0}) == []


def test_a_step_is_movement_where_movement_is_known_to_accelerate() -> None:
    control = several(3)
    control.jumps.moving = lambda name: name == "c1"
    assert stepped(control, noise(300, 3), 200, {1: 4.0}) == []


def test_a_neighbour_too_noisy_to_show_a_step_is_no_witness() -> None:
    rows = noise(300, 2)
    rows[:, 1] = np.random.default_rng(3).normal(0.0, 5.0, 300)
    assert stepped(several(2), rows, 200, {0: 4.0}) == []


def test_a_neighbour_that_is_silent_is_no_witness() -> None:
    rows = noise(300, 2)
    rows[190:, 1] = NAN
    assert stepped(several(2), rows, 200, {0: 4.0}) == []


def test_a_spike_of_three_rows_moves_nothing_where_there_are_neighbours() -> None:
    control, rows = several(3), noise(300, 3)
    rows[200:203, 1] += 1000.0
    seen = run(control, rows.tolist())
    assert control.notes == []
    assert all(abs(row[1] - 10.0) < 0.3 or row[1] != row[1] for row in seen)
    assert control.learned()["c1"]["offset"] == 0.0
    assert control.refused["c1", "spike"] == 3


def test_all_sensors_stepping_together_are_believed() -> None:
    control = several(4)
    assert stepped(control, noise(300, 4), 200, dict.fromkeys(range(4), 50.0)) == []


def test_exchanged_channels_are_read_the_right_way_round_until_they_are_back() -> None:
    control, rows = several(3), noise(300, 3)
    rows[:, 1] += 30.0
    rows[200:240, [0, 1]] = rows[200:240, [1, 0]]
    seen = np.array(run(control, rows.tolist()))
    assert [note.split(":")[0].split(" from")[0] for note in control.notes] == [
        "c0 and c1 are exchanged",
        "c0 and c1 are back in their places",
    ]
    assert np.abs(seen - [10.0, 40.0, 10.0]).max() < 0.3


def test_to_and_fro_is_noise_and_withheld_until_it_is_calm() -> None:
    control, rows = several(3), noise(300, 3)
    rows[200:230, 1] += np.random.default_rng(2).normal(0.0, 2.0, 30)
    seen = run(control, rows.tolist())
    assert control.refused["c1", "noise"] > 20
    assert control.notes == []
    assert all(row[1] == row[1] for row in seen[245:])


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


def test_rezero_by_order_takes_what_comes_for_where_it_was() -> None:
    control, rows = several(2), noise(120, 2)
    run(control, rows[:100].tolist())
    assert control.rezero("c0", START_MS + 100 * HOUR_MS) == 0.0
    rows[:, 0] -= 232.0
    values, found = control.apply(START_MS + 100 * HOUR_MS, rows[100].tolist())
    assert values == pytest.approx([10.0, 10.0], abs=0.2)
    assert Flagged(START_MS + 100 * HOUR_MS, "c0", Flag.REZEROED) in found
    assert control.notes[0].startswith("c0: re-zero ordered")
    assert "by order" in control.notes[1]
    with pytest.raises(ValueError, match="not in"):
        control.rezero("nothing", 0)


def test_an_order_that_comes_late_takes_the_believed_jump_out() -> None:
    control, rows = several(1), noise(140, 1)
    rows[100:, 0] += 25.0
    run(control, rows[:120].tolist())
    by = control.rezero("c0", START_MS + 100 * HOUR_MS)
    assert by == pytest.approx(25.0, abs=0.2)
    assert run(control, rows[120:121].tolist(), 120)[0][0] == pytest.approx(10.0, abs=0.2)


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


def pipeline() -> Pipeline:
    config = load_config(demo_bundle().parent / "gateway.toml")
    return Pipeline(config, {"slope": load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)})


def reading(i: int, row: list[float]) -> Reading:
    at_ms = START_MS + i * 600_000
    return Reading("node", at_ms, i, CHANNELS, tuple(row), at_ms)


@pytest.mark.parametrize("channel", ["crack_1", "tilt_x", "pore_pressure"])
@pytest.mark.parametrize("spike", [10.0, 100.0, 1e9])
def test_one_spike_raises_no_alarm_and_does_not_blind_the_models(
    channel: str, spike: float
) -> None:
    rows = generate(4.0, seed=12).values.tolist()
    calm, struck = pipeline(), pipeline()
    for i, row in enumerate(rows):
        calm.receive(reading(i, row))
        if i == 300:
            row[CHANNELS.index(channel)] += spike
        struck.receive(reading(i, row))
    assert struck.stations["slope"].alarm.level == calm.stations["slope"].alarm.level
    assert sum(struck.stations["slope"].rejected.values()) == 1
    watch = struck.stations["slope"].watch
    assert watch is not None
    assert watch.features.saturated == 0


def test_sensors_that_hang_do_not_lower_an_alarm_and_are_named() -> None:
    rows = generate(9.9, seed=7, failure_day=10.0).values.tolist()
    under = pipeline()
    for i, row in enumerate(rows):
        under.receive(reading(i, row))
    assert under.stations["slope"].alarm.level == 4
    changes = []
    for i in range(len(rows), len(rows) + 7 * 144):  # a week of the very same values
        changes += under.receive(reading(i, rows[-1])).changes
    assert under.stations["slope"].alarm.level == 4
    assert {"crack_1", "crack_2", "tilt_x", "tilt_y"} <= set(changes[-1].silent)
    assert under.stations["slope"].rejected["crack_1", "frozen"] > 100


def test_flags_are_said_in_words() -> None:
    assert (Flag.HELD | Flag.RATE).texts == ("rate", "held")
    assert not Flag.STEP & BAD
    assert Flag.FROZEN & BAD
