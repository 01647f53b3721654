"""A slope that fails, recorded as a gateway here reads it, for another machine to decide on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from export.demo import DAYS, make_node, write_config
from export.local_broker import free_port
from export.slope import STEP_MS

if TYPE_CHECKING:
    from pathlib import Path

_ROWS_A_SECOND = 60.0
_PATIENCE_S = 300.0


def record(folder: Path) -> Path:
    """Run the demo's slope into a gateway that records; returns the capture, config beside it."""
    node = make_node(_ROWS_A_SECOND)
    config = write_config(folder, node.device, free_port())
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace("# capture =", "capture ="), encoding="utf-8")
    rows = int(DAYS * 86_400_000 / STEP_MS)
    with (folder / "gateway.log").open("wb") as log, node:
        command = [sys.executable, "-m", "edge", "run", "--config", str(config)]
        gateway = subprocess.Popen(command, stdout=log, stderr=log)
        end_s = time.monotonic() + _PATIENCE_S
        while node.rows_sent < rows and time.monotonic() < end_s and gateway.poll() is None:
            time.sleep(0.1)
        time.sleep(1.0)
        gateway.send_signal(signal.SIGTERM)
        if gateway.wait(timeout=60) or node.rows_sent < rows:
            said = (folder / "gateway.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"{node.rows_sent} of {rows} rows were recorded:\n{said[-1500:]}")
    return folder / "talus-data" / "raw.capture"


def replay(config: Path, capture: Path, form: str) -> bytes:
    """Return what a replay here says."""
    command = [sys.executable, "-m", "edge", "replay", form, "--config", str(config), str(capture)]
    return subprocess.run(command, capture_output=True, check=True).stdout
