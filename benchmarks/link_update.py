"""Faults in the middle of firmware updates: how many were injected, after how many a node was lost.

Single faults: every kind at every moment, of a simulated node with one slot and with two. Then
several at once, drawn. The journal is a real one on disk. By hand:

    python benchmarks/link_update.py [--quick]
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

from firmware_bridge.update_faults import (
    CALL_FAULTS,
    IMAGES,
    LINE_FAULTS,
    Fault,
    endure,
    fault_matrix,
)

QUICK = ("good", "samples out of range")
MOMENTS = 40
"""An update has about so many moments at which something can happen."""


def several(updates: int, seed: int = 1) -> tuple[int, int]:
    """Two to four faults at drawn moments of each update."""
    draw = random.Random(seed)
    injected = bricked = 0
    with tempfile.TemporaryDirectory() as name:
        for number in range(updates):
            folder = Path(name) / str(number)
            folder.mkdir()
            image = IMAGES[draw.choice(tuple(IMAGES))]
            kinds = draw.choices(CALL_FAULTS + LINE_FAULTS, k=draw.randint(2, 4))
            faults = [Fault(kind, draw.randrange(MOMENTS)) for kind in kinds]
            fated = endure(image, draw.choice((1, 2)), faults, folder)
            injected += fated.injected
            bricked += bool(fated.wrong)
    return injected, bricked


def update_faults(quick: bool) -> tuple[int, int]:
    """Return update_faults_injected and update_bricked."""
    one = fault_matrix(QUICK if quick else tuple(IMAGES))
    more = several(200 if quick else 2000)
    return one[0] + more[0], one[1] + more[1]


def main() -> int:
    """Print both figures."""
    began = time.monotonic()
    injected, bricked = update_faults("--quick" in sys.argv[1:])
    print(f"update_faults_injected {injected}")
    print(f"update_bricked {bricked}")
    print(f"took {time.monotonic() - began:.1f} s")
    return 1 if bricked else 0


if __name__ == "__main__":
    sys.exit(main())
