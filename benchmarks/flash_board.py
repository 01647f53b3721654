"""The C node of TW1 on a Cortex-M3 in QEMU, its UART a pty."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import firmware_bridge

if TYPE_CHECKING:
    from typing import Self

_SOURCE = Path(firmware_bridge.__file__).parent / "c/examples/mps2"
_START_S = 60.0


def why_not() -> str:
    """Return why there can be no board here, "" where there can."""
    tools = {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "make": "make",
             "qemu-system-arm": "qemu-system-arm"}  # fmt: skip
    absent = [package for name, package in tools.items() if shutil.which(name) is None]
    return f"apt install {' '.join(absent)}" if absent else ""


class Board:
    """One board, which starts when its firmware has been built."""

    def __init__(self, folder: Path) -> None:
        words = ["make", "-s", "-C", str(_SOURCE), f"OUT={folder}"]
        subprocess.run(words, check=True, capture_output=True)
        self._process = subprocess.Popen(
            ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none",
             "-kernel", folder / "node.elf", "-serial", "pty"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.device = self._find_device()

    def _find_device(self) -> str:
        output = self._process.stdout
        assert output is not None
        said, end_s = b"", time.monotonic() + _START_S
        while time.monotonic() < end_s and self._process.poll() is None:
            if select.select([output], [], [], 0.1)[0]:
                said += os.read(output.fileno(), 4096)
            found = re.search(rb"redirected to (\S+)", said)
            if found is not None:
                return found[1].decode()
        self.close()
        raise RuntimeError(f"QEMU gave no pty: {said.decode(errors='replace')}")

    def close(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
