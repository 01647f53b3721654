"""The parity matrix for people: as a table of a terminal, and in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from export.models.parity import Row

HEAD = (
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
    lines = [HEAD, *(cells(row) for row in rows)]
    wide = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            text.ljust(wide[i]) if i in (0, 1, len(HEAD) - 1) else text.rjust(wide[i])
            for i, text in enumerate(line)
        ).rstrip()
        for line in lines
    )


def markdown(rows: Sequence[Row], title: str) -> str:
    """Return the matrix as a Markdown page."""
    lines = [f"# {title}", "", _line(HEAD), _line("---" for _ in HEAD)]
    lines += [_line(text.replace("|", "/") for text in cells(row)) for row in rows]
    return "\n".join([*lines, "", NOTE, ""])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the matrix in words; figures are left empty where nothing was run."""
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
