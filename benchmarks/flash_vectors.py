"""What every artifact of a bundle gives for its golden inputs, in every runtime here.

  python flash_vectors.py BUNDLE OUT.npz

Run once here and once on the other machine, beside the Talus that is installed there: it needs
numpy and `edge`, nothing else. With kernels tuned to the CPU and with plain ones. Two forms of
each: every step from a state of zeros (`once`), and one after the other, the state carried on
(`carried`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.bundle import read_manifest
from edge.errors import RuntimeMissingError
from edge.runtime import KERNELS, RUNTIMES, Singles, installed, load
from edge.trust import ANY_SIGNER

if TYPE_CHECKING:
    from edge.manifest import DetectorSpec, ForecasterSpec


def vectors(folder: Path, runtime: str) -> dict[str, Singles]:
    """Return outputs by "file runtime kernels form"; none of what does not load there."""
    found: dict[str, Singles] = {}
    for kernels in KERNELS:
        found |= _vectors(folder, runtime, kernels)
    return found


def _vectors(folder: Path, runtime: str, kernels: str) -> dict[str, Singles]:
    import json

    manifest = read_manifest(folder, ANY_SIGNER)
    specs: tuple[ForecasterSpec | DetectorSpec, ...] = (manifest.forecaster, *manifest.detectors)
    found: dict[str, Singles] = {}
    for spec in specs:
        golden = json.loads((folder / spec.golden).read_text(encoding="utf-8"))
        inputs = np.array(golden["x"], np.float32)
        for artifact in spec.artifacts:
            if artifact.format != RUNTIMES[runtime] or runtime not in artifact.runtimes:
                continue
            try:
                model = load(folder / artifact.file, runtime, kernels)
            except RuntimeMissingError as error:
                print(f"{artifact.file} in {runtime}, {kernels}: {error}", file=sys.stderr)
                continue
            zeros = np.zeros((1, spec.hidden), np.float32) if spec.hidden else None
            state, once, carried = zeros, [], []
            for x in inputs:
                once.append(model.step(x[None], zeros)[0].ravel().copy())
                y, state = model.step(x[None], state)
                carried.append(y.ravel().copy())
            name = f"{artifact.file} {runtime} {kernels}"
            found[f"{name} once"] = np.stack(once)
            if spec.hidden:
                found[f"{name} carried"] = np.stack(carried)
    return found


def main(folder: Path, out: Path, runtime: str = "") -> None:
    """Write them; each runtime in a process of its own, as they break each other."""
    if runtime:
        np.savez(out, **vectors(folder, runtime))  # type: ignore[arg-type]
        return
    found: dict[str, Singles] = {}
    for name in installed():
        part = out.with_name(f"{name}.npz")
        command = [sys.executable, __file__, str(folder), str(part), name]
        subprocess.run(command, check=True)
        with np.load(part) as kept:
            found |= dict(kept)
    np.savez(out, **found)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
