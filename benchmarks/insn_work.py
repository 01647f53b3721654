"""One kind of work, so many times: run twice with other counts, it tells what one costs.

  python insn_work.py gru|autoencoder|pca|reading COUNT BUNDLE

It runs beside the Talus installed there: numpy and `edge`, nothing else. What both counts share
(the start, the models loaded, all frames made) cancels out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from edge.bench import ANY_RUNTIME
from edge.bench_stages import Feed
from edge.bundle import load_bundle, read_manifest
from edge.runtime import load
from edge.trust import ANY_SIGNER

FRAMES = 3000
RUNTIME = "litert"


def steps(folder: Path, name: str, count: int) -> None:
    """Step a model of float32 so often, on the first of its golden inputs."""
    manifest = read_manifest(folder, ANY_SIGNER)
    specs = {each.name: each for each in manifest.detectors}
    golden = specs[name].golden if name in specs else manifest.forecaster.golden
    x = np.array(json.loads((folder / golden).read_text(encoding="utf-8"))["x"][:1], np.float32)
    hidden = specs[name].hidden if name in specs else manifest.forecaster.hidden
    state = np.zeros((1, hidden), np.float32) if hidden else None
    model = load(folder / f"{name}.float32.tflite", RUNTIME)
    for _ in range(count):
        _, state = model.step(x, state)


def readings(folder: Path, count: int) -> None:
    """Take so many readings of a station from frame bytes to decision."""
    feed = Feed(load_bundle(folder, ANY_RUNTIME, ANY_SIGNER))
    frames = [feed.frames()[0] for _ in range(FRAMES)]
    for frame in frames[:count]:
        feed.take(frame)
    feed.check()


def main(what: str, count: int, folder: Path) -> None:
    """Do it."""
    if what == "reading":
        readings(folder, count)
    else:
        steps(folder, what, count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
