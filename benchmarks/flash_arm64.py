"""The packages in an arm64 Debian: do models give the outputs, and a replay the alarms, of here.

  scripts/arm64 [--suite trixie] [--slim-only] [--json OUT]

Both packages are made, installed as on a gateway, and run by qemu-user as a Cortex-A72. Compared
are outputs for the golden inputs, bit by bit, and what `talus replay` makes of a recorded slope: in
words (--why: each alarm with all its evidence and forecasts), and as JSON, whose numbers have seven
digits: by the models that are taken by themselves, and by models in integers alone. Where arm64
programs cannot be run this says why, and ends with 0.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from figures import machine, write
from flash_capture import record, replay
from flash_compare import compare, first_difference, float_ulps, kept, numbers_off, table
from flash_debian import Debian, copy_of, lacking, root_of

from edge.bench import demo_bundle
from export.package.deb import make_deb
from export.package.targets import SUITES, target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flash_compare import Compared

    from edge.runtime import Singles

MAX_ULPS, MAX_TUNED_ULPS = 2, 8
"""Tuned to the CPU, tflite-runtime sums in another order and is 3 to 6 off; plain, it runs integers
alone."""
WORDS, NUMBERS = "--why", "--json"
"""Forms of a replay: the same to the last byte; the same but for the last digits of numbers."""
MAX_OFF = 1e-4
"""A forecast near nothing has lost digits by the time it is written."""
USUAL, INTEGERS = "gateway.toml", "integers.toml"
"""Configurations of the slope; in the latter every model that runs is of integers alone."""
_LIB = "/opt/talus/current/lib"
_HERE = Path(__file__).parent


def vectors(debian: Debian) -> dict[str, Singles]:
    """Run every artifact there; the outputs."""
    shutil.copyfile(_HERE / "flash_vectors.py", debian.root / "tmp/vectors.py")
    python = re.findall(r"^#!(\S+)", (debian.root / "opt/talus/current/bin/talus").read_text())[0]
    debian.run(python, "/tmp/vectors.py", "/tmp/site/bundle", "/tmp/there.npz", path=_LIB)
    return _read(debian.root / "tmp/there.npz")


def vectors_here(folder: Path) -> dict[str, Singles]:
    """Run every artifact here; the outputs."""
    program, out = str(_HERE / "flash_vectors.py"), str(folder / "here.npz")
    command = [sys.executable, program, str(demo_bundle()), out]
    subprocess.run(command, check=True, capture_output=True)
    return _read(folder / "here.npz")


def whole_files(folder: Path) -> frozenset[str]:
    """Return the artifacts that compute in integers alone: floats are their inputs and outputs."""
    from ai_edge_litert.interpreter import Interpreter

    found = set()
    for path in folder.glob("*.tflite"):
        model = Interpreter(model_path=str(path))
        ends = len(model.get_input_details()) + len(model.get_output_details())
        floats = sum(each["dtype"] is np.float32 for each in model.get_tensor_details())
        if floats == ends:
            found.add(path.name)
    return frozenset(found)


def _read(path: Path) -> dict[str, Singles]:
    with np.load(path) as kept:
        return dict(kept)


def one_package(debian: Debian, deb: Path, here: Mapping[str, Singles]) -> list[Compared]:
    """Install a package, say what it says of itself, and compare its models."""
    began_s = time.monotonic()
    debian.install(deb)
    took_s = time.monotonic() - began_s
    print(f"\n{deb.name}: {debian.run('talus', '--version').strip()}, installed in {took_s:.0f} s")
    bench = debian.run("talus", "bench", "--count", "20", "--no-start", "--stations", "1")
    print("\n".join(line for line in bench.splitlines() if "bytes to decision" in line))
    found = compare(kept(here, bench), vectors(debian), whole_files(demo_bundle()))
    print(table(found))
    return found


def replay_there(debian: Debian, config: str, form: str, expected: bytes) -> bytes:
    """Replay the recorded slope there, say whether it came to the same; what it came to."""
    words = (form, "--config", f"/tmp/site/{config}", "/tmp/site/raw.capture")
    there = debian.run("talus", "replay", *words).encode()
    where = first_difference(expected, there)
    print(f"replay {form} of {config}: {len(expected)} bytes, {where or 'the same'}")
    return there


def of_integers(folder: Path) -> None:
    """Write the configuration by which only models in integers run."""
    text = (folder / USUAL).read_text(encoding="utf-8")
    text = f'{text}\n[runtime]\nprecision = "int16x8"\n'
    (folder / INTEGERS).write_text(text, encoding="utf-8")


def run(suite: str, *, full: bool = True) -> dict[str, float]:
    """Do all of it; the figures by name. Raises RuntimeError, TalusError."""
    root = root_of(suite)
    with tempfile.TemporaryDirectory(prefix="talus-arm64-") as name, copy_of(root) as debian:
        folder = Path(name)
        capture = record(folder)
        of_integers(folder)
        forms = ((USUAL, WORDS), (USUAL, NUMBERS), (INTEGERS, NUMBERS))
        asked = {form: replay(folder / form[0], capture, form[1]) for form in forms}
        here = vectors_here(folder)
        site = debian.root / "tmp/site"
        shutil.copytree(folder, site, ignore=shutil.ignore_patterns("talus-data"))
        shutil.copyfile(capture, site / "raw.capture")
        found: list[Compared] = []
        same, whole, off = True, True, 0.0
        # The full one first: to the slim one it is then an upgrade.
        for slim in (False, True) if full else (True,):
            made = make_deb(target(suite, "arm64"), slim=slim)
            (folder / made.name).write_bytes(made.content)
            found += one_package(debian, folder / made.name, here)
            words, numbers, integers = (
                (asked[form], replay_there(debian, *form, asked[form])) for form in forms
            )
            same &= words[0] == words[1]
            whole &= integers[0] == integers[1]
            off = max(off, numbers_off(*numbers))
    return {
        "arm64_int8_bit_equal": all(each.same_integers for each in found if each.whole),
        "arm64_litert_bit_equal": not any(
            each.differ for each in found if each.runtime == "litert" and not each.plain
        ),
        "arm64_float_ulps": float_ulps(found, plain=True),
        "arm64_tuned_float_ulps": float_ulps(found, plain=False),
        "arm64_replay_identical": same,
        "arm64_replay_json_identical_integers": whole,
        "arm64_replay_json_off": off,
        "arm64_replay_alarms": len(asked[USUAL, NUMBERS].splitlines()),
        "arm64_outputs_compared": sum(each.of for each in found),
    }


def main() -> int:
    """Run it from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=SUITES, default="bookworm")
    parser.add_argument("--slim-only", action="store_true", help="leave the full package out")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    args = parser.parse_args()
    why = lacking()
    if why:
        print(f"arm64: NOT TESTED: {why}", file=sys.stderr)
        return 0
    print(f"{machine()}; {args.suite} on arm64 by qemu-user")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all is taken down again
    figures = run(args.suite, full=not args.slim_only)
    write(figures, args.json)
    good = figures["arm64_int8_bit_equal"] and figures["arm64_replay_identical"]
    good = good and figures["arm64_litert_bit_equal"]
    good = good and figures["arm64_replay_json_identical_integers"]
    good = good and figures["arm64_replay_json_off"] <= MAX_OFF
    good = good and figures["arm64_tuned_float_ulps"] <= MAX_TUNED_ULPS
    return 0 if good and figures["arm64_float_ulps"] <= MAX_ULPS else 1


if __name__ == "__main__":
    raise SystemExit(main())
