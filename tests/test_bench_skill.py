"""The benchmark of decisions: what counts as a failure found, and how long before."""

from __future__ import annotations

import math

from bench_modules import imported

with imported("skill_struck") as PARTS:
    pass

HOUR_MS = 3_600_000
NEVER = 2**62


def station(failure_h: int | None, *alarms_h: tuple[int, int]) -> object:
    alarms = tuple((a * HOUR_MS, b if b == NEVER else b * HOUR_MS) for a, b in alarms_h)
    failure_ms = None if failure_h is None else failure_h * HOUR_MS
    return PARTS.skill_struck.Struck(365.0, failure_ms, alarms, "said")


def test_only_an_alarm_that_stands_when_the_slope_fails_is_a_failure_found() -> None:
    found = PARTS.skill_struck.figures_of(
        [station(None), station(None, (10, 20), (30, NEVER))],
        [
            station(100, (60, NEVER)),
            station(100, (20, 40), (90, 110)),
            station(100, (20, 40)),  # it had been lifted
            station(100, (101, NEVER)),  # too late
            station(100),
        ],
    )
    assert found == {
        "struck_failures": 5.0,
        "struck_failure_recall": 0.4,
        "struck_lead_time_median_h": 25.0,
        "struck_station_years": 2.0,
        "struck_false_red_per_station_year": 1.0,
    }


def test_nothing_found_is_no_lead_of_zero() -> None:
    found = PARTS.skill_struck.figures_of([], [station(100)])
    assert found["struck_failure_recall"] == 0.0
    assert math.isnan(found["struck_lead_time_median_h"])
