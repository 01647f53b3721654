"""Start-up, first call and memory: only a process of its own can tell.

  python -m edge.bench_start BUNDLE RUNTIME PRECISION

starts as a gateway does up to its first reading, and prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Start:
    """One process from its start to its first reading; ``failed`` says why there is none.

    ``start_ms`` is seen from without: exec, interpreter, imports, the proof of the bundle, the
    first reading. ``first_us`` is that reading, ``resident_mb`` the memory after it.
    """

    start_ms: float
    import_ms: float
    bundle_ms: float
    first_us: float
    resident_mb: float | None
    failed: str = ""


def start(folder: Path, runtime: str, precision: str, kernels: str = "tuned") -> Start:
    """Start a process on a bundle, and wait for its first reading."""
    home = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (home, os.environ.get("PYTHONPATH", ""))))
    command = [sys.executable, "-m", "edge.bench_start", str(folder), runtime, precision]
    command.append(kernels)
    began = time.monotonic()
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        took_ms = (time.monotonic() - began) * 1000
        values = json.loads(done.stdout.splitlines()[-1])
        return Start(round(took_ms - values.pop("after_ms"), 3), **values)
    except (OSError, subprocess.SubprocessError) as error:
        return _failed(str(error))
    except (ValueError, IndexError, KeyError, TypeError):
        said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return _failed(said[:300])


def _failed(why: str) -> Start:
    return Start(0.0, 0.0, 0.0, 0.0, None, f"a process of its own did not come to a reading: {why}")


def _first(folder: Path, runtime: str, precision: str, kernels: str) -> dict[str, float | None]:
    """Be that process."""
    began = time.perf_counter()
    from edge.bench_method import resident_mb
    from edge.bench_node import EPOCH_MS, Stream, bench_config
    from edge.bundle import load_bundle
    from edge.config import RuntimeConfig
    from edge.pipeline import Pipeline
    from edge.trust import ANY_SIGNER
    from firmware_bridge.reading import Reading

    imported = time.perf_counter()
    bundle = load_bundle(folder, RuntimeConfig((runtime,), precision, kernels), ANY_SIGNER)
    loaded = time.perf_counter()
    pipeline = Pipeline(bench_config(bundle.manifest), {"bench": bundle})
    stream = Stream(bundle.manifest)
    frame = stream.frame()
    ready = time.perf_counter()
    for reading in stream.driver.receive(frame, EPOCH_MS):
        assert isinstance(reading, Reading)
        pipeline.receive(reading)
    ended = time.perf_counter()
    values = {
        "import_ms": (imported - began) * 1000,
        "bundle_ms": (loaded - imported) * 1000,
        "first_us": (ended - ready) * 1e6,
        "resident_mb": resident_mb(),
    }
    return values | {"after_ms": (time.perf_counter() - ended) * 1000}


if __name__ == "__main__":
    print(json.dumps(_first(Path(sys.argv[1]), *sys.argv[2:5])), flush=True)
    os._exit(0)  # how a process is torn down is not a matter of its start
