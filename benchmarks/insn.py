"""Instructions of an arm64 gateway per GRU step, detector step and reading: the same each time.

  scripts/insn [--suite bookworm] [--json OUT] [--update]

The slim package is installed into an arm64 Debian (as scripts/arm64 does it) and its Python run by
qemu-user, which counts. One is the difference of two runs over the difference of their counts. The
figures are held against benchmarks/insn.json: more than 2 % off, either way, ends with 1; --update
writes them there. No instruction is like another and caches are not counted: compare with itself.
Where arm64 programs cannot be run this says why, and ends with 0.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from figures import machine, write
from flash_debian import Debian, copy_of, lacking, root_of
from insn_qemu import instructions, plugin, why_not

from export.package.deb import make_deb
from export.package.targets import SUITES, target

KEPT = Path(__file__).with_name("insn.json")
GATE = 0.02
WORK = {
    "gru": ("arm64_insn_step", 200, 1200),
    "autoencoder": ("arm64_insn_ae_step", 200, 1200),
    "pca": ("arm64_insn_pca_step", 200, 1200),
    "reading": ("arm64_insn_reading", 200, 800),
}
"""Of each kind of work the figure, and the two counts."""
_LIB = "opt/talus/current/lib"


def count_all(debian: Debian) -> dict[str, float]:
    """Return instructions of each kind of work, by figure."""
    root = debian.root
    shutil.copyfile(Path(__file__).with_name("insn_work.py"), root / "tmp/insn_work.py")
    python = re.findall(r"^#!(\S+)", (root / "opt/talus/current/bin/talus").read_text())[0]
    program = (root / python.lstrip("/")).resolve()
    found: dict[str, float] = {}
    for what, (figure, few, many) in WORK.items():
        took = [
            instructions(root, (program, "/tmp/insn_work.py", what, str(count),
                                f"/{_LIB}/edge/demo/bundle"), f"/{_LIB}")
            for count in (few, many)
        ]  # fmt: skip
        found[figure] = (took[1] - took[0]) / (many - few)
        print(f"{what:<12} {found[figure]:>12,.0f} instructions", flush=True)
    return found


def judge(found: dict[str, float], kept: dict[str, float]) -> list[str]:
    """Say what is off by more than the gate."""
    return [
        f"{name}: {value:,.0f} instructions, {value / kept[name] - 1:+.1%} against what is kept"
        for name, value in found.items()
        if name in kept and abs(value / kept[name] - 1) > GATE
    ]


def measure(suite: str) -> dict[str, float]:
    """Install and count. Raises RuntimeError."""
    plugin()
    with tempfile.TemporaryDirectory() as name, copy_of(root_of(suite)) as debian:
        made = make_deb(target(suite, "arm64"), slim=True)
        deb = Path(name) / made.name
        deb.write_bytes(made.content)
        debian.install(deb)
        return count_all(debian)


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, default="bookworm")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--update", action="store_true", help=f"keep the figures in {KEPT.name}")
    args = parser.parse_args()
    if why := why_not() or lacking():
        print(f"insn: NOT TESTED: {why}", file=sys.stderr)
        return 0
    print(f"{machine()}; {args.suite} on arm64 by qemu-user")
    found = measure(args.suite)
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    write(found, args.json)
    if args.update:
        kept[args.suite] = found
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    wrong = judge(found, kept.get(args.suite, {}))
    print("\n".join(wrong), file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
