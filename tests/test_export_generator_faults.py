"""Faults put into made-up sites: each labelled exactly where it is, and nowhere else."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.csv_file import read_csv
from edge.errors import TalusError
from export.generator.fault import ROW_FAULTS, Fault, Faulted, Planned
from export.generator.fault_plan import USUAL, draw_plan
from export.generator.faults import inject
from export.generator.site import Site, generate_site
from export.generator.spec import DAY_MS, SlopeSpec
from export.generator.table import write_csv
from firmware_bridge.reading import Quantity

SITE = generate_site(SlopeSpec(11, days=365, cracks=3, tilt_nodes=3, soil_moisture=True))
CRACK = SITE.column("crack_2")


def put(*plan: Planned, site: Site = SITE) -> Faulted:
    return inject(site, plan, seed=5)


def where(faulted: Faulted, kind: Fault) -> list[tuple[int, int]]:
    """Return (row of the site, column) of each label."""
    i, column = np.nonzero(faulted.labels & kind)
    return sorted(zip(faulted.row[i].tolist(), column.tolist(), strict=True))


def changed(faulted: Faulted, site: Site = SITE) -> np.ndarray:
    """Return which values of the arrived rows are not what the sensor gave."""
    was = site.values[faulted.row]
    return (faulted.values != was) & ~(np.isnan(faulted.values) & np.isnan(was))


def test_without_faults_the_rows_come_as_they_were_measured() -> None:
    faulted = put()
    assert np.array_equal(faulted.values, SITE.values)
    assert np.array_equal(faulted.time_ms, SITE.time_ms)
    assert not faulted.labels.any()
    assert faulted.spans == ()
    delay = faulted.received_ms - faulted.time_ms
    assert 0 < delay.min() <= delay.max() <= 20_000
    assert (np.diff(faulted.received_ms) > 0).all()


@pytest.mark.parametrize(
    ("kind", "size"),
    [(Fault.FREEZE, 0), (Fault.SPIKE, 2.0), (Fault.STEP, -1.5), (Fault.OFFSET, 1000.0),
     (Fault.NOISE, 1.0), (Fault.MISSING, 0), (Fault.RANGE, -9999.0), (Fault.TEMPERATURE, 0.2),
     (Fault.DRIFT, 3.0)],
)  # fmt: skip
def test_a_fault_of_a_channel_is_labelled_there_alone(kind: Fault, size: float) -> None:
    faulted = put(Planned(kind, 3000, 48, "crack_2", size=size))
    last = len(SITE.time_ms) - 1 if kind is Fault.TEMPERATURE else 3047
    assert where(faulted, kind) == [(row, CRACK) for row in range(3000, last + 1)]
    assert not (faulted.labels & ~np.uint32(kind)).any()
    at = np.nonzero(changed(faulted))
    assert set(at[1].tolist()) == {CRACK}
    assert at[0].min() >= 3000
    if kind is not Fault.DRIFT:
        assert at[0].max() <= last
    (span,) = faulted.spans
    assert (span.kind, span.channel, span.first_row, span.last_row) == (kind, "crack_2", 3000, last)
    assert (span.start_ms, span.end_ms) == (SITE.time_ms[3000], SITE.time_ms[last])


def test_what_each_fault_does_to_the_values() -> None:
    def column(kind: Fault, size: float = 0.0) -> np.ndarray:
        return put(Planned(kind, 3000, 48, "crack_2", size=size)).values[:, CRACK]

    was, span = SITE.values[:, CRACK], slice(3000, 3048)
    assert (column(Fault.FREEZE)[span] == was[2999]).all()
    assert np.allclose(column(Fault.STEP, 2.0)[span], was[span] + 2.0, atol=1e-9)
    assert np.isnan(column(Fault.MISSING)[span]).all()
    assert (column(Fault.RANGE, -9999.0)[span] == -9999.0).all()
    assert (column(Fault.NOISE, 1.0)[span] - was[span]).std() == pytest.approx(1.0, rel=0.4)
    drift = column(Fault.DRIFT, 3.0) - was
    assert (np.diff(drift[span]) >= -1e-9).all()
    assert np.allclose(drift[3048:], 3.0)
    warm = SITE.truth.sensor_c[4000:] - 10.0
    grown = column(Fault.TEMPERATURE, 0.2)[4000:] - was[4000:]
    assert np.allclose(grown, 0.2 * warm, atol=0.011)  # the resolution
    assert np.allclose(column(Fault.STEP, 2.0) * 100, np.round(column(Fault.STEP, 2.0) * 100))


def test_swapped_channels_are_both_labelled() -> None:
    faulted = put(Planned(Fault.SWAP, 100, 5, "crack_1", "crack_3"))
    a, b = SITE.column("crack_1"), SITE.column("crack_3")
    assert np.array_equal(faulted.values[100:105, [a, b]], SITE.values[100:105, [b, a]])
    assert where(faulted, Fault.SWAP) == sorted((r, c) for r in range(100, 105) for c in (a, b))
    assert {span.channel for span in faulted.spans} == {"crack_1", "crack_3"}


def test_a_swapped_sensor_takes_its_step_and_its_label_along() -> None:
    faulted = put(
        Planned(Fault.SWAP, 500, 5, "crack_1", "crack_3"),
        Planned(Fault.STEP, 100, 1000, "crack_1", size=7.0),
    )
    a, b = SITE.column("crack_1"), SITE.column("crack_3")
    assert np.allclose(faulted.values[500:505, b], SITE.values[500:505, a] + 7.0)
    assert np.array_equal(faulted.values[500:505, a], SITE.values[500:505, b])
    assert (faulted.labels[500:505, a] == Fault.SWAP).all()
    assert (faulted.labels[500:505, b] == Fault.SWAP | Fault.STEP).all()
    assert (faulted.labels[505:, b] == 0).all()


def test_a_duplicate_repeats_all_channels_of_a_row_long_ago() -> None:
    faulted = put(Planned(Fault.DUPLICATE, 5000, 2, size=2000))
    assert np.array_equal(faulted.values[5000:5002], SITE.values[3000:3002])
    assert np.array_equal(faulted.time_ms, SITE.time_ms)
    columns = range(len(SITE.channels))
    assert where(faulted, Fault.DUPLICATE) == [(r, c) for r in (5000, 5001) for c in columns]


@pytest.mark.parametrize("size", [-DAY_MS, 366 * DAY_MS, -int(SITE.time_ms[700])])
def test_a_clock_that_is_wrong_says_another_time_and_the_row_comes_when_it_should(size) -> None:
    faulted = put(Planned(Fault.CLOCK, 700, 10, size=size))
    assert np.array_equal(faulted.time_ms[700:710], SITE.time_ms[700:710] + size)
    assert np.array_equal(faulted.values, SITE.values)
    assert {row for row, _ in where(faulted, Fault.CLOCK)} == set(range(700, 710))
    assert np.array_equal(faulted.received_ms, put().received_ms)


def test_rows_of_a_gap_never_come_and_the_next_says_so() -> None:
    faulted = put(Planned(Fault.GAP, 200, 30))
    assert set(range(len(SITE.time_ms))) - set(faulted.row.tolist()) == set(range(200, 230))
    assert {row for row, _ in where(faulted, Fault.GAP)} == {230}
    (span,) = faulted.spans
    assert (span.start_ms, span.end_ms) == (SITE.time_ms[200], SITE.time_ms[229])


def test_late_rows_come_in_a_heap_after_the_first_new_one() -> None:
    faulted = put(Planned(Fault.LATE, 200, 30))
    assert faulted.row[195:235].tolist() == [
        *range(195, 200),
        230,
        *range(200, 230),
        *range(231, 235),
    ]
    assert (np.diff(faulted.received_ms) > 0).all()
    assert np.array_equal(faulted.values, SITE.values[faulted.row])
    assert {row for row, _ in where(faulted, Fault.LATE)} == set(range(200, 230))


def test_a_row_out_of_order_comes_after_as_many_as_stated() -> None:
    faulted = put(Planned(Fault.OUT_OF_ORDER, 50, 3))
    assert faulted.row[48:56].tolist() == [48, 49, 51, 52, 53, 50, 54, 55]
    assert {row for row, _ in where(faulted, Fault.OUT_OF_ORDER)} == {50}


def test_a_doubled_row_comes_twice_and_the_second_is_labelled() -> None:
    faulted = put(Planned(Fault.DOUBLED, 50, 1))
    assert faulted.row[49:53].tolist() == [49, 50, 50, 51]
    assert np.array_equal(faulted.values[50], faulted.values[51])
    assert faulted.labels[50].max() == 0
    assert (faulted.labels[51] == Fault.DOUBLED).all()


def test_what_replaces_a_value_leaves_no_label_of_what_it_was() -> None:
    faulted = put(
        Planned(Fault.STEP, 100, 1000, "crack_2", size=5.0),
        Planned(Fault.MISSING, 300, 10, "crack_2"),
        Planned(Fault.FREEZE, 500, 10, "crack_2"),
    )
    assert (faulted.labels[300:310, CRACK] == Fault.MISSING).all()
    assert (faulted.labels[500:510, CRACK] == Fault.FREEZE).all()
    assert (faulted.values[500:510, CRACK] == faulted.values[499, CRACK]).all()
    assert (faulted.labels[310:500, CRACK] == Fault.STEP).all()


@given(
    st.dictionaries(st.sampled_from(list(Fault)), st.floats(0.0, 60.0)),
    st.integers(0, 999),
    st.sampled_from(["creep", "stopping", "failure"]),
    st.sampled_from([3600, 21_600]),
)
@settings(max_examples=30, deadline=None)
def test_whatever_is_drawn_what_differs_is_labelled(rates, seed, behaviour, step_s) -> None:
    spec = SlopeSpec(
        seed, days=50, step_s=step_s, behaviour=behaviour, cracks=2, tilt_nodes=2,
        failure_day=45.0 if behaviour == "failure" else None,
    )  # fmt: skip
    site = generate_site(spec)
    faulted, again = inject(site, rates, seed), inject(site, rates, seed)
    assert np.array_equal(faulted.values, again.values, equal_nan=True)
    assert np.array_equal(faulted.labels, again.labels)
    assert faulted.spans == again.spans
    assert (np.diff(faulted.received_ms) >= 0).all()
    differs = changed(faulted, site)
    drifts = [span for span in faulted.spans if span.kind is Fault.DRIFT]
    for span in drifts:
        differs[faulted.row > span.last_row, site.column(span.channel)] = False
    assert not (differs & (faulted.labels == 0)).any()
    wrong_time = faulted.time_ms != site.time_ms[faulted.row]
    clock = (faulted.labels & Fault.CLOCK).any(axis=1)
    assert not (wrong_time & ~clock).any()
    rows, lost = Counter(faulted.row.tolist()), Counter()
    for span in faulted.spans:
        if span.kind is Fault.GAP:
            lost.update(range(span.first_row, span.last_row + 1))
    assert set(rows) | set(lost) == set(range(len(site.time_ms)))
    assert not set(rows) & set(lost)
    doubled = (faulted.labels & Fault.DOUBLED).any(axis=1).sum()
    assert len(faulted.row) == len(site.time_ms) - len(lost) + doubled
    if site.failure_ms is not None:
        assert all(span.start_ms < site.failure_ms for span in faulted.spans)


@pytest.mark.parametrize("seed", range(3))
def test_a_year_has_as_many_faults_of_each_kind_as_asked(seed: int) -> None:
    plan = draw_plan(SITE, USUAL, seed)
    assert Counter(p.kind for p in plan) == {kind: round(rate) for kind, rate in USUAL.items()}
    assert set(USUAL) == set(Fault)
    faulted = inject(SITE, USUAL, seed)
    for kind in Fault:
        assert (faulted.labels & kind).any(), kind
    for p in plan:
        assert bool(p.channel) == (not p.kind & ROW_FAULTS)
        if p.kind is Fault.DUPLICATE:
            assert p.row >= 30 * 24
            assert p.size >= min(30 * 24, p.row // 2)
        if p.kind in {Fault.FREEZE, Fault.SPIKE, Fault.NOISE}:
            assert SITE.channels[SITE.column(p.channel)].quantity is not Quantity.RAINFALL
    assert draw_plan(SITE, USUAL, seed + 10) != plan


def test_the_size_of_a_drawn_fault_is_beyond_the_noise() -> None:
    for p in draw_plan(SITE, USUAL | {Fault.SWAP: 20.0}, 4):
        if p.kind in {Fault.SPIKE, Fault.STEP, Fault.DRIFT, Fault.NOISE, Fault.OFFSET}:
            assert abs(p.size) >= 7.9 * SITE.channels[SITE.column(p.channel)].noise.sd
        if p.kind is Fault.SWAP:
            a, b = SITE.column(p.channel), SITE.column(p.other)
            assert SITE.channels[a].unit == SITE.channels[b].unit
            rows = SITE.values[p.row : p.row + p.rows]
            apart = np.abs(rows[:, a] - rows[:, b]).min()
            assert apart > 10.0 * SITE.channels[a].noise.sd


@pytest.mark.parametrize(
    ("planned", "wanted"),
    [
        (Planned(Fault.FREEZE, 5, 3, "nothing"), "freeze: there is no channel 'nothing'"),
        (Planned(Fault.SWAP, 5, 3, "crack_1"), "swap: there is no channel ''"),
        (Planned(Fault.GAP, 99_999), "gap: rows 99999"),
        (Planned(Fault.GAP, 5, 0), "gap: rows 5"),
        (Planned(Fault.DUPLICATE, 5, size=6), "duplicate: row 5 has no row 6 before it"),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_words(planned: Planned, wanted: str) -> None:
    with pytest.raises(TalusError, match=wanted):
        put(planned)


def test_readings_are_the_rows_as_a_driver_gives_them() -> None:
    faulted = inject(SITE, {Fault.LATE: 5.0, Fault.DOUBLED: 5.0}, 1)
    readings = list(faulted.readings("logger"))
    assert [r.time_ms for r in readings] == faulted.time_ms.tolist()
    assert [r.received_ms for r in readings] == faulted.received_ms.tolist()
    assert np.array_equal(np.array([r.values for r in readings]), faulted.values)
    assert readings[0].channels is readings[-1].channels == SITE.names
    assert [row[2] for row in faulted.rows()] == [r.values for r in readings]


def test_the_csv_holds_every_value_and_reads_back(tmp_path: Path) -> None:
    faulted = inject(SITE, {Fault.MISSING: 9.0, Fault.CLOCK: 9.0, Fault.STEP: 3.0}, 1)
    path = tmp_path / "dirty.csv"
    write_csv(SITE, path, faulted)
    readings = list(read_csv("history", path, ","))
    assert [r.time_ms for r in readings] == faulted.time_ms.tolist()
    read = np.array([r.values for r in readings])
    assert np.array_equal(read, faulted.values, equal_nan=True)
    write_csv(SITE, path)
    assert path.read_text(encoding="ascii").startswith("time,crack_1,crack_2,crack_3,tilt_1,")
