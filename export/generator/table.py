"""A site or its faulted rows as CSV, as ``talus replay`` and ``talus-export train`` read it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

from export.generator.sensors import decimals

if TYPE_CHECKING:
    from pathlib import Path

    from export.generator.fault import Faulted
    from export.generator.site import Site

_FIRST_MS = 100_000_000_000
"""1973: whole numbers below are read as seconds."""


def write_csv(site: Site, path: Path, faulted: Faulted | None = None) -> None:
    """Write ``time,<channels>``, times in epoch ms (before 1973 ISO); as they arrived, NaN empty.

    ``faulted``: the rows of this site with faults, instead of its own.
    """
    rows = site if faulted is None else faulted
    places = [decimals(channel.noise.resolution) for channel in site.channels]
    with path.open("w", encoding="ascii") as file:
        file.write("time," + ",".join(site.names) + "\n")
        for time_ms, row in zip(rows.time_ms.tolist(), rows.values.tolist(), strict=True):
            cells = (f"{v:.{p}f}" if v == v else "" for v, p in zip(row, places, strict=True))
            file.write(f"{_time(time_ms)}," + ",".join(cells) + "\n")


def write_spans(faulted: Faulted, path: Path) -> None:
    """Write where each fault is: one a line, times in epoch ms, both ends included."""
    with path.open("w", encoding="ascii") as file:
        file.write("fault,channel,start_ms,end_ms,size\n")
        for span in faulted.spans:
            where = f"{span.kind.text},{span.channel or '*'},{span.start_ms},{span.end_ms}"
            file.write(f"{where},{span.size:.6g}\n")


def _time(time_ms: int) -> str:
    """Return a time as the reader of CSV takes it for what it is, be it of a lost clock."""
    if time_ms >= _FIRST_MS:
        return str(time_ms)
    return datetime.fromtimestamp(time_ms / 1000.0, timezone.utc).isoformat(timespec="milliseconds")
