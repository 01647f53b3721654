"""Work that must not delay an alarm, in a process of its own: `edge.backfill`, `edge.remote_proof`.

It is given one value, answers in lines of bytes, and is paused by not being read. When the gateway
ends, its next line finds nobody, and it ends too.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import edge

MAX_LINE_BYTES = 1024 * 1024
_READ_BYTES = 64 * 1024
_NICE = 19


class Child:
    """One such process. Raises OSError where none can be started."""

    def __init__(self, module: str, value: object) -> None:
        path = os.pathsep.join(
            filter(None, [str(Path(edge.__file__).parent.parent), os.environ.get("PYTHONPATH")])
        )
        with tempfile.TemporaryFile() as file:
            pickle.dump(value, file)
            file.seek(0)
            self._process = subprocess.Popen(
                # -P: what lies where the gateway was started is none of its modules
                [sys.executable, "-P", "-m", module],
                stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
            )  # fmt: skip
        assert self._process.stdout is not None
        self._out = self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._held = b""
        self.ended = False

    def lines(self, most: int) -> list[bytes]:
        """Give the lines that are there, no more than so many; `ended` once there are no more."""
        while b"\n" not in self._held and not self.ended:
            try:
                data = os.read(self._out.fileno(), _READ_BYTES)
            except BlockingIOError:
                return []
            if not data or len(self._held) > MAX_LINE_BYTES:
                self.stop()
                break
            self._held += data
        *whole, rest = self._held.split(b"\n", most)
        self._held = rest
        return whole

    def stop(self) -> None:
        """End it, if it has not ended."""
        self.ended = True
        self._process.kill()
        self._process.wait()
        self._out.close()


def given() -> Any:
    """Return the value that this process was given, and stand back for the gateway."""
    os.nice(_NICE)
    return pickle.load(sys.stdin.buffer)  # noqa: S301  (of the process that started this one)
