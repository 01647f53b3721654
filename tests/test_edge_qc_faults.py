"""Each class of fault of the generator is found by quality control; clean sites are left alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from edge.flags import BAD, Flag
from edge.qc import QualityControl
from edge.qc_plan import QcChannel
from export.generator.fault import Fault, Faulted, Planned
from export.generator.faults import inject
from export.generator.site import Site, generate_site
from export.generator.spec import DAY_MS, SlopeSpec

SITE = generate_site(
    SlopeSpec(11, days=150, behaviour="creep", cracks=3, tilt_nodes=3, soil_moisture=True)
)
ROW = 1800


def control_of(site: Site) -> QualityControl:
    names = site.names
    warm = names.index("air_temperature") if "air_temperature" in names else -1
    return QualityControl(
        [
            QcChannel(
                c.name,
                c.quantity.text,
                c.unit.text,
                frozen_after_ms=max(DAY_MS, 8000 * site.spec.step_s) if c.moves else 0,
                neighbours=tuple(names.index(n) for n in c.neighbours),
                temperature=warm if c.moves else -1,
            )
            for c in site.channels
        ],
        {},
    )


def judged(site: Site, faulted: Faulted) -> tuple[set[tuple[Flag, str, int]], QualityControl]:
    """Return (flag, channel, row of the site) of all that was said."""
    control, found = control_of(site), set()
    row_at = {int(t): i for i, t in enumerate(site.time_ms)}
    for time_ms, _, values in faulted.rows():
        for each in control.apply(time_ms, list(values), "logger")[1]:
            for flag in Flag:
                if flag in each.flags:
                    found.add((flag, each.channel, row_at.get(each.time_ms, -1)))
    return found, control


def rows_of(found: set[tuple[Flag, str, int]], flag: Flag, channel: str) -> list[int]:
    return sorted(row for f, c, row in found if f is flag and c == channel)


@pytest.mark.parametrize(
    ("planned", "flag", "rows"),
    [
        (Planned(Fault.SPIKE, ROW, 1, "crack_2", size=2.0), Flag.SPIKE, [ROW]),
        (Planned(Fault.SPIKE, ROW, 2, "tilt_2", size=-3.0), Flag.SPIKE, [ROW, ROW + 1]),
        (Planned(Fault.SPIKE, ROW, 1, "soil_moisture", size=0.2), Flag.SPIKE, [ROW]),
        (Planned(Fault.STEP, ROW, 9000, "crack_2", size=3.0), Flag.STEP, [ROW]),
        (Planned(Fault.OFFSET, ROW, 2, "crack_1", size=1000.0), Flag.SPIKE, [ROW, ROW + 1]),
    ],
)  # fmt: skip
def test_a_jump_is_told_of_the_very_rows(planned: Planned, flag: Flag, rows: list[int]) -> None:
    found, _ = judged(SITE, inject(SITE, (planned,), 1))
    assert rows_of(found, flag, planned.channel) == rows
    others = {c for f, c, _ in found if f in (Flag.SPIKE, Flag.STEP)}
    assert others == {planned.channel}


def test_a_frozen_sensor_is_found_within_hours() -> None:
    found, _ = judged(SITE, inject(SITE, (Planned(Fault.FREEZE, ROW, 48, "crack_2"),), 1))
    rows = rows_of(found, Flag.FROZEN, "crack_2")
    assert ROW + 5 <= rows[0] <= ROW + 15
    assert rows[-1] == ROW + 47


def test_noise_is_withheld() -> None:
    planned = Planned(Fault.NOISE, ROW, 48, "tilt_2", size=1.0)
    found, control = judged(SITE, inject(SITE, (planned,), 1))
    rows = rows_of(found, Flag.NOISE, "tilt_2")
    assert rows[0] <= ROW + 8
    assert control.notes == []


def test_two_channels_exchanged_are_read_the_right_way_round() -> None:
    site = generate_site(SlopeSpec(11, days=150, behaviour="creep", cracks=3))
    planned = Planned(Fault.SWAP, 3000, 40, "crack_1", "crack_3")
    found, control = judged(site, inject(site, (planned,), 1))
    for channel in ("crack_1", "crack_3"):
        assert rows_of(found, Flag.SWAPPED, channel) == list(range(3000, 3040))
    assert len(control.notes) == 2


def test_a_row_copied_from_long_ago_is_refused() -> None:
    found, _ = judged(SITE, inject(SITE, (Planned(Fault.DUPLICATE, ROW, 2, size=1000),), 1))
    assert rows_of(found, Flag.DUPLICATE, "") == [ROW, ROW + 1]


def test_gaps_late_rows_and_rows_twice() -> None:
    plan = (
        Planned(Fault.GAP, 500, 30),
        Planned(Fault.LATE, 1000, 30),
        Planned(Fault.DOUBLED, 1500, 1),
        Planned(Fault.OUT_OF_ORDER, 2000, 2),
    )
    found, _ = judged(SITE, inject(SITE, plan, 1))
    assert rows_of(found, Flag.GAP, "") == [530, 1030]
    assert rows_of(found, Flag.LATE, "") == [*range(1000, 1030), 2000]
    assert rows_of(found, Flag.DUPLICATE, "") == [1500]
    assert not rows_of(found, Flag.CLOCK, "")


def test_a_grown_temperature_coefficient_is_told_once_and_reported() -> None:
    site = generate_site(SlopeSpec(12, days=200, behaviour="creep", cracks=3))
    planned = Planned(Fault.TEMPERATURE, 2400, 600, "crack_2", size=0.1)
    found, control = judged(site, inject(site, (planned,), 1))
    rows = rows_of(found, Flag.TEMPERATURE, "crack_2")
    assert 2400 < rows[0] < 3200
    assert [c for f, c, _ in found if f is Flag.TEMPERATURE and c != "crack_2"] == []
    assert sum("temperature" in note for note in control.notes) == 1
    own = next(c for c in site.channels if c.name == "crack_2").noise.per_degc
    told = control.learned()["crack_2"]["temperature_coefficient"]
    assert told == pytest.approx(own + 0.1, rel=0.25)


def test_a_sensor_that_drifts_alone_is_told() -> None:
    site = generate_site(SlopeSpec(12, days=150, behaviour="stable", cracks=3))
    planned = Planned(Fault.DRIFT, 1500, 720, "crack_2", size=4.0)
    found, control = judged(site, inject(site, (planned,), 1))
    assert {c for f, c, _ in found if f is Flag.DRIFT} == {"crack_2"}
    rows = rows_of(found, Flag.DRIFT, "crack_2")
    assert 1500 < rows[0] < 2220
    assert control.notes[0].startswith("crack_2 leaves its neighbours")


@pytest.mark.parametrize("behaviour", ["stable", "seasonal", "rain_steps", "stopping"])
@pytest.mark.parametrize("sensors", [(3, 1, 1, 4), (1, 0, 0, 0), (2, 0, 0, 5)])
def test_sites_without_faults_get_no_flags(behaviour: str, sensors: tuple[int, ...]) -> None:
    cracks, extensometers, gnss, tilt_nodes = sensors
    for seed, step_s in ((1, 3600), (2, 86_400)):
        spec = SlopeSpec(
            seed, days=200, step_s=step_s, behaviour=behaviour, cracks=cracks,
            extensometers=extensometers, gnss=gnss, tilt_nodes=tilt_nodes, temperature_scale=2.0,
        )  # fmt: skip
        site = generate_site(spec)
        found, control = judged(site, inject(site, (), 1))
        assert {(f, c) for f, c, _ in found if f is not Flag.HELD} == set()
        assert control.notes == []
        assert not control.zeros.offset.any()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sensors", [(3, 0, 0, 4), (1, 0, 0, 0), (0, 2, 1, 0)])
def test_the_acceleration_of_a_failing_slope_reaches_the_models(
    seed: int, sensors: tuple[int, ...]
) -> None:
    cracks, extensometers, gnss, tilt_nodes = sensors
    site = generate_site(
        SlopeSpec(
            seed, days=46, behaviour="failure", failure_day=45.0, onset_days=20.0,
            alpha=1.5 + 0.2 * seed, cracks=cracks, extensometers=extensometers, gnss=gnss,
            tilt_nodes=tilt_nodes, still=int(cracks == 3),
        )
    )  # fmt: skip
    control, held = control_of(site), np.zeros(len(site.channels), dtype=int)
    for time_ms, _, values in inject(site, (), 1).rows():
        seen, flags = control.apply(time_ms, list(values), "logger")
        for i, (given, got) in enumerate(zip(values, seen, strict=True)):
            if got != got and given == given:
                held[i] += 1
                assert held[i] <= 1 or not site.channels[i].moves
            else:
                held[i] = 0
                assert got == given or (math.isnan(got) and math.isnan(given))
        assert not any(each.flags & (BAD & ~Flag.HELD) for each in flags)
    assert control.notes == []
