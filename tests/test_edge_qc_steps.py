"""Quality control at jumps: what is movement, taken out, read the right way round, re-zeroed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qc_rows import HOUR_MS, NAN, START_MS, noise, run, same, several

from edge.flags import Flag, Flagged
from edge.qc import QualityControl
from edge.qc_plan import QcChannel


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


def test_neighbours_that_go_on_as_before_show_no_step() -> None:
    control, rows = several(3), noise(300, 3)
    rows[:, [0, 2]] += 0.08 * np.clip(np.arange(300) - 170, 0, 50)[:, None]
    (note,) = stepped(control, np.round(rows, 2), 200, {1: 1.0})
    assert note.startswith("c1: +1.")


def test_a_neighbour_that_runs_shows_a_step() -> None:
    control, rows = several(3), noise(300, 3)
    rows[195:, 0] += 1.0 * np.arange(105)
    assert stepped(control, np.round(rows, 2), 200, {1: 0.6}) == []


def test_a_neighbour_with_a_spike_of_its_own_at_that_time_shows_no_step() -> None:
    control, rows = several(3), noise(300, 3)
    rows[200, 0] -= 1.0
    (note,) = stepped(control, rows, 200, {1: 1.5})
    assert note.startswith("c1: +1.")


def test_a_step_that_the_temperature_carries_on_is_one_still() -> None:
    channels = [
        QcChannel("c0", neighbours=(1,), temperature=2),
        QcChannel("c1", neighbours=(0,)),
        QcChannel("air", "temperature", "degC"),
    ]
    control, at, rows = QualityControl(channels, {}), 30 * 24 + 6, noise(32 * 24, 3)
    rows[:, 2] = 8.0 * np.sin(2.0 * np.pi * (np.arange(len(rows)) - 6) / 24.0)
    rows[:, 0] += 0.1 * rows[:, 2]  # 0.2 an hour as it warms
    stepped(control, rows, at, {0: 3.0})
    assert control.learned()["c0"]["offset"] == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize("stop", range(200, 207))
def test_a_restart_in_the_midst_of_a_step_changes_nothing(stop: int) -> None:
    rows = noise(300, 3)
    rows[:, 0] += 0.03 * np.arange(300)
    rows[200:, 1] += 4.0
    whole, first, second = several(3), several(3), several(3)
    given = run(whole, rows.tolist())
    found = run(first, rows[:stop].tolist())
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    found += run(second, rows[stop:].tolist(), stop)
    assert all(same(a, b) for a, b in zip(given, found, strict=True))
    assert second.snapshot() == whole.snapshot()


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


def test_exchanged_channels_are_found_back_though_one_has_begun_to_run() -> None:
    control, rows = several(3), noise(300, 3)
    rows[225:, 1] += 0.4 * np.arange(75)
    rows[:, 1] += 30.0
    rows[200:240, [0, 1]] = rows[200:240, [1, 0]]
    run(control, rows.tolist())
    assert not control.learned()["c0"]["exchanged"]
    assert len(control.notes) == 2


def test_to_and_fro_is_noise_and_withheld_until_it_is_calm() -> None:
    control, rows = several(3), noise(300, 3)
    rows[200:230, 1] += np.random.default_rng(2).normal(0.0, 2.0, 30)
    seen = run(control, rows.tolist())
    assert control.refused["c1", "noise"] > 20
    assert control.notes == []
    assert all(row[1] == row[1] for row in seen[245:])


def test_rezero_by_order_takes_what_comes_for_where_it_was() -> None:
    control, rows = several(2), noise(120, 2)
    run(control, rows[:100].tolist())
    assert control.rezero("c0", START_MS + 100 * HOUR_MS).by == 0.0
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
    taken = control.rezero("c0", START_MS + 102 * HOUR_MS)
    assert taken.by == pytest.approx(25.0, abs=0.2)
    # The first reading with the jump was held, and has never passed.
    assert taken.since_ms == START_MS + 101 * HOUR_MS
    assert run(control, rows[120:121].tolist(), 120)[0][0] == pytest.approx(10.0, abs=0.2)


def test_what_an_order_has_taken_out_is_not_undone_again_when_the_sensor_comes_back() -> None:
    control, rows = several(1), noise(140, 1)
    rows[100:103, 0] += 25.0
    undone: list[tuple[int, float]] = []
    control.jumps.undone.tell = lambda _, readings: undone.extend(readings)
    run(control, rows[:102].tolist())
    assert control.rezero("c0", START_MS + 101 * HOUR_MS).by == pytest.approx(25.0, abs=0.2)
    run(control, rows[102:].tolist(), 102)
    assert not undone


def test_an_order_after_a_jump_came_back_takes_nothing_out() -> None:
    control, rows = several(1), noise(140, 1)
    rows[100:103, 0] += 25.0
    run(control, rows[:106].tolist())
    assert control.rezero("c0", START_MS + 101 * HOUR_MS).by == 0.0
    assert run(control, rows[106:107].tolist(), 106)[0][0] == pytest.approx(10.0, abs=0.2)


def test_an_order_leaves_another_jump_on_trial_alone() -> None:
    control, rows = several(3), noise(160, 3)
    rows[100:, :] += 25.0  # all of them: believed
    rows[120:123, 0] += 12.0
    run(control, rows[:122].tolist())
    by = control.rezero("c0", START_MS + 100 * HOUR_MS).by
    seen = run(control, rows[122:].tolist(), 122)
    assert by == pytest.approx(25.0, abs=0.3)
    assert seen[-1][0] == pytest.approx(10.0, abs=0.3)
