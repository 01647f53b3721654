"""The parity matrix for people: as a table of a terminal, and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from export.models.parity import Row

_HEAD = (
    "file", "runtime", "bytes", "p50 us", "drift", "limit", "max error", "saturated",
    "decisions", "verdict",
)  # fmt: skip
NOTE = (
    "p50 is of this machine. Drift: RMS error of y over the RMS of y. Saturated: outputs held at "
    "the end of an integer range. Decisions: steps on which an alarm would be decided otherwise."
)


def over_limit(row: Row) -> bool:
    """Tell whether the runtime runs the file, and what it gives is not what the weights say."""
    return not row.bundled and row.why.startswith(("drift", "outputs"))


def table(rows: Sequence[Row]) -> str:
    """Return the matrix in aligned columns."""
    cells = [_HEAD, *(_cells(row) for row in rows)]
    wide = [max(len(line[i]) for line in cells) for i in range(len(_HEAD))]
    return "\n".join(
        "  ".join(
            text.ljust(wide[i]) if i in (0, 1, len(_HEAD) - 1) else text.rjust(wide[i])
            for i, text in enumerate(line)
        ).rstrip()
        for line in cells
    )


def markdown(rows: Sequence[Row], title: str) -> str:
    """Return the matrix as a Markdown page."""
    lines = [f"# {title}", "", _line(_HEAD), _line("---" for _ in _HEAD)]
    lines += [_line(text.replace("|", "/") for text in _cells(row)) for row in rows]
    return "\n".join([*lines, "", NOTE, ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    if not row.bundled and not over_limit(row):
        blank = ("",) * 6
        return (row.file, row.runtime, str(row.size_bytes), *blank, f"not run: {row.why}")
    return (
        row.file,
        row.runtime,
        str(row.size_bytes),
        f"{row.p50_us:.1f}",
        f"{row.drift:.3%}",
        f"{row.limit:.2%}",
        f"{row.max_error:.2g}",
        str(row.saturated),
        str(row.decisions_differ),
        "within" if row.bundled else row.why,
    )
