"""The example node in QEMU, and a line to it that does to frames what it is told."""

from __future__ import annotations

import os
import re
import select
import subprocess
import threading
import time
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from firmware_bridge.framing import BadFrame, Frame, FrameDecoder
from firmware_bridge.sim_pty import Pty

START_S = 30.0
_WAIT_S = 0.02

Fate = Callable[[bytes, Frame], bytes]
"""What becomes of the bytes of one frame on their way."""


def as_it_is(wire: bytes, frame: Frame) -> bytes:
    return wire


def build(directory: Path, out: Path) -> Path:
    """Build the example as its Makefile does."""
    subprocess.run(["make", "-s", "-C", directory, f"OUT={out}"], check=True, capture_output=True)
    return out / "node.elf"


class Qemu:
    """One virtual board whose UART is a pty."""

    def __init__(self, elf: Path) -> None:
        self._process = subprocess.Popen(
            ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none",
             "-kernel", elf, "-serial", "pty"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.device = self._find_device()

    def _find_device(self) -> str:
        output = self._process.stdout
        assert output is not None
        said, end = b"", time.monotonic() + START_S
        while time.monotonic() < end and self._process.poll() is None:
            if select.select([output], [], [], 0.1)[0]:
                said += os.read(output.fileno(), 4096)
            found = re.search(rb"redirected to (\S+)", said)
            if found is not None:
                return found[1].decode()
        self.close()
        raise RuntimeError(f"QEMU gave no pty: {said.decode(errors='replace')}")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Way:
    """One direction: whole frames are cut out of the bytes, and each meets its fate."""

    def __init__(self) -> None:
        self.fate: Fate = as_it_is
        self.seen: list[Frame] = []
        self.damaged = 0
        self._decoder = FrameDecoder()
        self._held = b""

    def carry(self, data: bytes) -> bytes:
        arrives = b""
        for byte in data:
            self._held += bytes((byte,))
            for item in self._decoder.receive(bytes((byte,))):
                if isinstance(item, BadFrame):
                    self.damaged += 1
                    arrives += self._held
                else:
                    self.seen.append(item)
                    arrives += self.fate(self._held, item)
                self._held = b""
        return arrives


class Line:
    """A cable between the pty of a node and one that the gateway opens; a thread of its own."""

    def __init__(self, node_device: str) -> None:
        self.pty = Pty()
        self.to_gateway = Way()
        self.to_node = Way()
        self._node = os.open(node_device, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._node)
        os.set_blocking(self._node, False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def device(self) -> str:
        return self.pty.device

    def _run(self) -> None:
        while not self._stop.is_set():
            if select.select([self._node], [], [], 0)[0]:
                data = self.to_gateway.carry(os.read(self._node, 4096))
                while data and not self._stop.is_set() and self.pty.listening():
                    data = self.pty.write(data, _WAIT_S)
            if not self.pty.listening():
                self._stop.wait(_WAIT_S)
                continue
            data = self.to_node.carry(self.pty.read(_WAIT_S / 10))
            while data and not self._stop.is_set():
                if select.select([], [self._node], [], _WAIT_S)[1]:
                    data = data[os.write(self._node, data) :]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.pty.close()
        os.close(self._node)
