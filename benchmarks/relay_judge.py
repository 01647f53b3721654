"""What was raised held against what came; and the levels that a node is to show."""

from __future__ import annotations

import json
import random
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

LEVELS = 5


def level_at(row: int, every: int, seed: int) -> int:
    """Return the level that a row is to show: another one after every so many rows."""
    # Jumps of 1 to 4, none of them a whole turn, so that each is a change; of a number alone.
    jumps = random.Random(seed).sample(range(1, LEVELS), LEVELS - 1)
    full, rest = divmod(row // every, len(jumps))
    return (full * sum(jumps) + sum(jumps[:rest])) % LEVELS


def hot_rows(every: Sequence[int], seed: int) -> Iterator[tuple[float, ...]]:
    """Give rows without end: a level for each of ``every``, and a load."""
    row = 0
    while True:
        levels = [level_at(row, each, seed + n) for n, each in enumerate(every)]
        yield *(level + 0.5 if level else 0.0 for level in levels), float(row % 1000)
        row += 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the alarms that were raised."""

    raised: int
    lost: int
    out_of_order: int
    duplicates: int
    unknown: int
    """Came, and stand in no journal."""
    broken: int
    """Whose previous level is not the level that came before it."""

    def __add__(self, other: Verdict) -> Verdict:
        return Verdict(*(getattr(self, n) + getattr(other, n) for n in self.__slots__))


def judge(raised: Sequence[tuple[str, str]], alarms: Iterable[dict[str, Any]]) -> Verdict:
    """Hold what came against what was raised: (station, id) in the order of raising."""
    place = {key: number for number, key in enumerate(raised)}
    seen: dict[tuple[str, str], int] = {}
    newest: dict[str, int] = {}
    level: dict[str, int] = {}
    count: Counter[str] = Counter()
    for alarm in alarms:
        station = alarm["station"]
        key = (station, alarm["id"])
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > 1:
            count["duplicates"] += 1
            continue
        if key not in place:
            count["unknown"] += 1
        else:
            count["out_of_order"] += place[key] < newest.get(station, -1)
            newest[station] = max(place[key], newest.get(station, -1))
        count["broken"] += alarm["previous_level"] != level.get(station, 0)
        level[station] = alarm["level"]
    lost = len(place.keys() - seen.keys())
    return Verdict(
        len(place), lost, count["out_of_order"], count["duplicates"], count["unknown"],
        count["broken"],
    )  # fmt: skip


def journal(data_dir: Path) -> list[tuple[str, str]]:
    """Return all that a gateway has raised, (station, id), oldest first; RuntimeError if some went.

    Asked of the file itself: what is judged here is not asked for its own opinion.
    """
    path = data_dir / "outbox.db"
    if not path.is_file():
        return []
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT number, payload FROM journal ORDER BY number").fetchall()
    if rows and rows[0][0] != 1:
        raise RuntimeError("the journal has dropped its oldest alarms: a run too long to judge")
    return [(a["station"], a["id"]) for a in (json.loads(payload) for _, payload in rows)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that this share of all does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]
