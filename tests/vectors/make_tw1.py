"""Makes tw1.json, which both sides of TW1 are tested with: `scripts/vectors`.

With --check nothing is written: exit 1 if the file is not what would be.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

import make_tw1_data
import make_tw1_frames
import make_tw1_messages

SEED = 0x7A1005
PATH = Path(__file__).with_name("tw1.json")


def made() -> dict[str, list[object]]:
    return {
        "frames": make_tw1_frames.frames(Random(SEED)),
        "refused": make_tw1_frames.refused(Random(SEED + 1)),
        "streams": make_tw1_frames.streams(Random(SEED + 2)),
        "messages": make_tw1_messages.messages(Random(SEED + 3)),
        "layouts": make_tw1_data.layouts(Random(SEED + 4)),
        "refused_layouts": make_tw1_data.refused_layouts(Random(SEED + 5)),
    }


def text() -> str:
    """One vector a line, so that a change shows as what it is."""
    kinds = []
    for kind, vectors in made().items():
        lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in vectors)
        kinds.append(f'"{kind}":[\n{lines}\n]')
    return "{" + ",\n".join(kinds) + "}\n"


def main() -> int:
    fresh = text()
    if "--check" in sys.argv[1:]:
        same = PATH.exists() and PATH.read_text() == fresh
        print(f"{PATH.name}: {'as it would be made' if same else 'STALE: run scripts/vectors'}")
        return 0 if same else 1
    PATH.write_text(fresh)
    print(f"{PATH}: {len(fresh)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
