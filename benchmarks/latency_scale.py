"""Many stations on one gateway, each size in a process of its own: time and memory.

  python benchmarks/latency_scale.py STATIONS ROWS      what one size takes, as JSON

All stations are due at once, as after a broadcast; each row goes from frame bytes to decision and
runs every model. What the process holds besides, interpreter, runtime and models, is in ``rss_mb``.
"""

from __future__ import annotations

import json
import subprocess
import sys

import figures  # noqa: F401 - sets the path, before anything of export or edge

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bench_method import resident_mb
from edge.bench_stations import time_stations
from edge.bundle import load_bundle
from edge.trust import ANY_SIGNER

SIZES = (1, 10, 100, 1000)
ROWS = 600
"""A station of a thousand remembers 500, against repeated rows: then its memory is full."""
QUICK_ROWS = 40


def scale(*, quick: bool) -> dict[str, float]:
    """Measure every size; figures by name."""
    found: dict[str, float] = {}
    for stations in SIZES:
        rows = QUICK_ROWS if quick else ROWS
        command = [sys.executable, __file__, str(stations), str(rows)]
        one = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        print(f"{stations:>5} stations: {one['us']:.0f} us a reading, {one['core']:.3f} of a core "
              f"at 1 Hz, {one['rss_mb']:.0f} MB", flush=True)  # fmt: skip
        found[f"us_per_reading_{stations}_stations"] = one["us"]
        if stations == SIZES[-1]:
            found |= {"core_share_1000_stations_1hz": one["core"],
                      "rss_mb_1000_stations": one["rss_mb"]}  # fmt: skip
    return found


def main(stations: int, rows: int) -> None:
    """Measure one size."""
    bundle = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
    timed = time_stations(bundle, stations, stations * rows)
    values = {"us": timed.us_a_reading, "core": timed.core_share_1hz, "rss_mb": resident_mb()}
    print(json.dumps(values))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
