"""Results of several boards side by side, as ratios to the first of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.bench_read import read_result
from edge.bench_result import DONE
from edge.show import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Board:
    """One result under a short name, and its figures by what they are of."""

    name: str
    values: dict[str, Any]
    figures: dict[str, float]


def run_compare(
    files: Sequence[Path], plot: Path | None, *, markdown: bool, everything: bool
) -> int:
    """Print the comparison, and draw it; returns an exit code. Raises TalusError."""
    boards = load_boards(files, everything=everything)
    rows = table(boards)
    for line in _markdown(rows) if markdown else _text(rows):
        print(line)
    for note in notes(boards):
        print(f"\n{note}")
    if plot is not None:
        from edge.bench_plot import write_plot

        write_plot(plot, boards)
    return 0


def load_boards(files: Sequence[Path], *, everything: bool) -> list[Board]:
    """Read results; each is named as its file, in full where two have one name."""
    found = [(path, read_result(path)) for path in files]
    stems = [path.stem for path in files]
    return [
        Board(
            plain(path.stem if stems.count(path.stem) == 1 else str(path)),
            values,
            dict(_figures(values, everything=everything)),
        )
        for path, values in found
    ]


def table(boards: Sequence[Board]) -> list[list[str]]:
    """Return rows of cells, the first of them titles: facts, then every figure of any board."""
    rows = [["", *(board.name for board in boards)]]
    for name, facts in zip(_FACTS, zip(*(_facts(b.values) for b in boards), strict=True),
                           strict=True):  # fmt: skip
        rows.append([name, *map(plain, facts)])
    for name in _names(boards):
        first = boards[0].figures.get(name)
        cells = [_cell(board.figures.get(name), first, i) for i, board in enumerate(boards)]
        rows.append([plain(name), *cells])
    return rows


def _names(boards: Sequence[Board]) -> list[str]:
    """Return the names of all figures, those of the same way together."""
    names = list(dict.fromkeys(name for board in boards for name in board.figures))
    ways = list(dict.fromkeys(name.rpartition(": ")[0] for name in names))
    return sorted(names, key=lambda name: ways.index(name.rpartition(": ")[0]))


def notes(boards: Sequence[Board]) -> Iterator[str]:
    """Say what a reader must know before believing a ratio."""
    for board in boards:
        v = board.values
        if v["ended"] != DONE:
            by = f" by {plain(v['ended_by'])}" if v["ended_by"] else ""
            yield f"NOT WHOLE: {board.name} was {v['ended']}{by}: what it lacks is shown as -"
        for warning in v["warnings"]:
            yield f"WARNING: {board.name}: {plain(warning)}"
    if len(boards) > 1:
        yield "(x1.50): half as much again as the first. Less is better, but for readings/s."
    bundles = {tuple((s["label"], s["hidden"]) for s in b.values["bundles"]) for b in boards}
    if len(bundles) > 1:
        yield "WARNING: not of the same bundles: only lines of the same bundle can be compared"
    if len({b.values["version"] for b in boards}) > 1:
        yield "WARNING: not of the same release of talus: the pipeline itself may have changed"


_FACTS = (
    "machine", "cpu", "governor", "temperature", "system", "python", "talus", "litert",
    "onnxruntime", "tflite", "bundles", "clock costs", "result",
)  # fmt: skip


def _facts(v: dict[str, Any]) -> list[str]:
    m, method, asked = v["machine"], v["method"], v["settings"]
    warm, core = m["temperature_c"], method["pinned_core"]
    ended = "" if v["ended"] == DONE else f" ({v['ended'].upper()})"
    table = f" of {asked['count']}" if v["mode"] == "table" else ""
    kernels = ", plain kernels" if asked.get("kernels") == "plain" else ""
    return [
        f"{m['board'] or 'board unknown'} ({m['host']})",
        f"{m['cpu'] or m['arch']}, {m['cores']} cores",
        m["governor"] or f"unknown: {m['unreadable'].get('governor', '')}",
        "unknown" if warm is None else f"{warm:.0f} degC",
        f"{m['system']} {m['arch']}",
        m["python"],
        v["version"],
        *(m["runtimes"].get(name) or "absent" for name in ("litert", "onnxruntime", "tflite")),
        ", ".join(f"{s['label']} (hidden {s['hidden']})" for s in v["bundles"]),
        f"{method['clock_overhead_ns']:.0f} ns, {'not pinned' if core is None else f'core {core}'}",
        f"{v['mode']}{table}{kernels}{ended}",
    ]


def _figures(v: dict[str, Any], *, everything: bool) -> Iterator[tuple[str, float]]:
    """Give (name, figure); what is not known is not given."""
    yield from _readings(v)
    for each in v["starts"]:
        if not each["failed"]:
            of = _of(each["way"])
            yield f"{of}: start ms", each["start_ms"]
            yield f"{of}: first reading us", each["first_us"]
            if each["resident_mb"] is not None:
                yield f"{of}: resident MB", each["resident_mb"]
    for each in v["stations"]:
        of, n = _of(each["way"]), each["stations"]
        yield f"{of}: us a reading, {n} station{'s' if n > 1 else ''}", each["us_a_reading"]
    for each in v["leaving"]:
        of = _of(each["way"])
        for name in ("encode", "snapshot", "commit"):
            title = {"encode": "publish", "snapshot": "state", "commit": "outbox fsync"}[name]
            yield f"{of}: {title} p50 us", each[name]["p50_us"]
    yield from _soaked(v)
    if everything:
        yield from _all(v)


def _readings(v: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for each in v["runs"]:
        of = _of(each["way"])
        yield from _spread(of, each["readings"])
        yield f"{of}: quietest round p50 us", each["rounds"]["quietest_us"]
        yield f"{of}: readings/s", each["readings_per_s"]
    for each in v["paced"]:
        of = f"{_of(each['way'])} at {each['rate_hz']:g} Hz"
        yield from _spread(f"{of}, from due", each["latency"])
        yield f"{of}: never had a turn", each["never"]


def _soaked(v: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for each in v["soaks"]:
        pace = "flat out" if each["rate_hz"] is None else f"{each['rate_hz']:g} Hz"
        of, parts = f"{_of(each['way'])} soak {pace}", each["intervals"]
        for name, title in (("p50_us", "p50 us"), ("p99_us", "p99 us")):
            known = [part[name] for part in parts if part[name] is not None]
            if known:
                yield f"{of}: worst {title} of an interval", max(known)
        yield f"{of}: minutes", sum(part["took_s"] for part in parts) / 60
        yield f"{of}: intervals slowed down", sum(bool(part["slowed"]) for part in parts)
        warm = [part["conditions"]["temperature_c"] for part in parts]
        if known := [c for c in warm if c is not None]:
            yield f"{of}: hottest degC", max(known)
        used = [p["energy"]["joules"] for p in parts if p["energy"]["joules"] is not None]
        if used and (readings := sum(part["readings"] for part in parts)):
            yield f"{of}: uJ a reading", 1e6 * sum(used) / readings


def _all(v: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for each in v["stages"]:
        for stage in each["stages"]:
            if stage["seen"]:
                yield f"{_of(each['way'])}: {stage['name']} p50 us", stage["spread"]["p50_us"]
    for each in v["models"]:
        if each["step"] is not None:
            of = f"{each['bundle']} {each['file']} in {each['runtime']}, batch {each['batch']}"
            yield f"{of}: step p50 us", each["step"]["p50_us"]
            if each["invoke"] is not None:
                yield f"{of}: invoke p50 us", each["invoke"]["p50_us"]


def _of(way: dict[str, Any]) -> str:
    return f"{way['bundle']} {way['runtime']} {way['precision']}"


def _spread(of: str, s: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, title in (("p50_us", "p50"), ("p99_us", "p99"), ("p99_9_us", "p99.9"),
                        ("jitter_us", "jitter")):  # fmt: skip
        if s[name] is not None:
            yield f"{of}: {title} us", s[name]


def _cell(value: float | None, first: float | None, place: int) -> str:
    if value is None:
        return "-"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text if not place or not first else f"{text} (x{value / first:.2f})"


def _text(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()


def _markdown(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for i, row in enumerate(rows):
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
        if not i:
            yield "|---|" + "---:|" * (len(row) - 1)
