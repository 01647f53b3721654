"""Quality control on real data: the markers of Marirong and the tilt columns of Dynaslope."""

from __future__ import annotations

import csv
import datetime as dt
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from edge.flags import Flag
from edge.qc import QualityControl
from edge.qc_plan import QcChannel

if TYPE_CHECKING:
    from pathlib import Path

DAY_MS = 86_400_000


def marirong(data: Path) -> dict[str, float]:
    """Judge the markers of Marirong: typing errors found, real accelerations kept.

    Typing errors: a reading of A or C more than 4 cm off both the reading before and one of the
    next two days of readings of the same marker, or B's level under A; a step: B at 2016-11-06.
    Kept: no reading of B from 2015-09-14 to 09-17, or on 2016-09-25 and the day after, is taken
    out or refused, but for one that waits for the next.
    """
    rows: dict[str, dict[str, float]] = defaultdict(dict)
    with (data / "marirong_markers" / "markers_abc.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows[row["ts"]][row["marker"]] = float(row["length_cm"])
    others = {"A": (1, 2), "B": (0, 2), "C": (0, 1)}
    channels = [
        QcChannel(name, "crack_width", "cm", resolution=0.1, neighbours=near)
        for name, near in others.items()
    ]
    control = QualityControl(channels, {})
    said: dict[tuple[str, str], Flag] = defaultdict(lambda: Flag(0))
    stamps: dict[int, str] = {}
    for ts in sorted(rows):
        at = dt.datetime.strptime(ts, "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
        at_ms = round(at.timestamp() * 1000)
        stamps[at_ms] = ts
        values = [rows[ts].get(name, math.nan) for name in "ABC"]
        for each in control.apply(at_ms, values, "hand")[1]:
            if each.time_ms in stamps and each.channel:
                said[stamps[each.time_ms], each.channel] |= each.flags
    wrong = Flag.SPIKE | Flag.STEP | Flag.SWAPPED | Flag.NOISE
    typed = [(ts, name) for ts, name in MARIRONG_WRONG]
    kept = [(ts, "B") for ts in rows if ts[:10] in MARIRONG_REAL and "B" in rows[ts]]
    offset = control.learned()["B"]["offset"]
    return {
        "marirong_wrong": len(typed),
        "marirong_wrong_flagged": sum(bool(said[key] & wrong) for key in typed),
        "marirong_wrong_withheld": sum(bool(said[key] & (wrong | Flag.HELD)) for key in typed),
        "marirong_real": len(kept),
        "marirong_real_kept": sum(not said[key] & wrong for key in kept),
        "marirong_b_offset_cm": float(offset),
        "marirong_flags_elsewhere": sum(
            bool(flags & wrong)
            for key, flags in said.items()
            if key not in typed and key not in kept
        ),
    }


# Labelled by hand after reading the file: no blind test of what is wrong and what is real.
MARIRONG_WRONG = (
    ("2015-08-28 08:52:00", "A"),  # 195.0: +100 cm
    ("2016-03-23 07:30:00", "A"),  # 308.2: what B shows
    ("2016-08-05 06:47:00", "C"),  # 144.7
    ("2016-07-29 06:33:00", "B"),  # 310.1: -20 cm, a row of four weeks before
    ("2016-11-06 15:30:00", "B"),  # 139.2: -232 cm, measured from another zero
)
MARIRONG_REAL = ("2015-09-14", "2015-09-15", "2015-09-16", "2016-09-25", "2016-09-26")


def dynaslope(data: Path) -> dict[str, tuple[float, float]]:
    """Give, for each file, the share of nodes that never change and the share found frozen.

    A node that never changes from the first row on has nothing to learn its noise from: it is found
    by ``frozen_after_s``, here the default of a day. The files were filled forward, which makes
    nodes that were merely silent look frozen as well.
    """
    found = {}
    for path in sorted((data / "dynaslope_tilt").glob("*.csv")):
        with path.open(newline="", encoding="utf-8") as file:
            table = list(csv.reader(file))
        names = table[0][1:]
        channels = [
            QcChannel(n, "tilt", "m", frozen_after_ms=DAY_MS, neighbours=_near_nodes(i, len(names)))
            for i, n in enumerate(names)
        ]
        control, last = QualityControl(channels, {}), set()
        first = table[1][1:]
        moved: set[int] = set()
        for row in table[1:]:
            at = dt.datetime.strptime(row[0], "%Y-%m-%d %H:%M:%S").replace(tzinfo=dt.timezone.utc)
            values = [float(v) if v else math.nan for v in row[1:]]
            moved |= {i for i, v in enumerate(row[1:]) if v != first[i]}
            flagged = control.apply(round(at.timestamp() * 1000), values, "column")[1]
            last = {each.channel for each in flagged if each.flags & Flag.FROZEN}
        still = {names[i] for i in range(len(names)) if i not in moved}
        found[path.stem] = len(still) / len(names), len(last & still) / max(1, len(still))
    return found


def _near_nodes(i: int, n: int) -> tuple[int, ...]:
    return tuple(j for j in (i - 1, i + 1) if 0 <= j < n)
