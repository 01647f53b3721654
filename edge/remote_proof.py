"""The proof of a staged bundle, in a process of its own: models that crash one crash not the watch.

As at any start: signature, sha256 of each file, counter, golden outputs on this CPU.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from edge.remote_child import Child, given

if TYPE_CHECKING:
    from pathlib import Path

    from edge.config import Config

PATIENCE_S = 300.0
"""The slowest board is done by then."""


class Proof:
    """A proof at work. Raises OSError where none can be started."""

    def __init__(self, folder: Path, config: Config) -> None:
        self._child = Child("edge.remote_proof", (folder, config))
        self._end_s = time.monotonic() + PATIENCE_S

    def look(self) -> tuple[bool, str] | None:
        """Return at its end whether it held, and the words for it."""
        for line in self._child.lines(1):
            self._child.stop()
            values = json.loads(line)
            return bool(values["holds"]), str(values["text"])
        if self._child.ended:
            return False, "the process that runs its models ended without a word"
        if time.monotonic() > self._end_s:
            self._child.stop()
            return False, f"its models were not proven in {PATIENCE_S:g} s"
        return None

    def stop(self) -> None:
        """Give it up."""
        self._child.stop()


def main() -> None:
    """Prove a bundle for a gateway, which reads what this prints."""
    from edge.bundle import load_bundle
    from edge.bundle_install import sync
    from edge.counters import read_counters
    from edge.errors import TalusError

    folder, config = given()
    kept, _ = read_counters(config.data_dir)
    try:
        for path in folder.iterdir():  # a card takes its time, and the loop has none
            sync(path)
        sync(folder)
        bundle = load_bundle(folder, config.runtime, config.trust, kept)
    except (TalusError, OSError) as error:
        values = {"holds": False, "text": str(error)[:1000]}
    else:
        models = (bundle.forecaster, *bundle.detectors)
        worst = max(each.golden_error for each in models)
        text = f"{bundle.manifest.label}, {len(models)} models, golden error {worst:.3g}"
        values = {"holds": True, "text": text}
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
