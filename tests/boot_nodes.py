"""Nodes with one slot on a pty: a boot loader that real programs speak to, and TW1 after it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path

from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_node import NodeIdentity, SimulatedNode, describe
from firmware_bridge.sim_pty import Pty

CHANNEL = Channel("tilt", Quantity.TILT, Unit.MRAD, 0.0, 10.0, 20)
IDLE_S = 0.4


def make_app(
    size: int = 3000, value: float = 5.0, version: tuple[int, int, int] = (1, 0, 0)
) -> bytes:
    head = json.dumps({"size": size, "value": value, "version": version}).encode().ljust(128)
    return head + bytes(i * 31 % 251 for i in range(size - 128))


class BootNode:
    """A node whose boot loader answers when it is called, and starts its image when left alone."""

    base = 0
    size = 32 * 1024
    call = b""

    def __init__(self, app: bytes, boot0: Path | None = None) -> None:
        self._boot0 = boot0
        self.pty = Pty()
        self.flash = bytearray(b"\xff" * self.size)
        self.flash[: len(app)] = app
        self.calls = 0
        self.die_after_writes: int | None = None
        self.writes = 0
        self._bytes = b""
        self._loader = False
        self._used_s = 0.0
        self._app: SimulatedNode | None = None
        self._value = 0.0
        self._stop = threading.Event()
        self._boot()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.pty.close()

    def image(self, size: int) -> bytes:
        return bytes(self.flash[:size])

    def _boot(self) -> None:
        self._loader, self._app = False, None
        try:
            head = json.loads(bytes(self.flash[:128]))
            image = self.image(head["size"])
        except (ValueError, KeyError, TypeError):
            return  # erased or torn: nothing runs
        if image != make_app(head["size"], head["value"], tuple(head["version"])):
            return
        digest = hashlib.sha256(image).digest()[:8]
        identity = NodeIdentity(firmware=tuple(head["version"]), image_hash=digest, battery_mv=3700)
        self._value = head["value"]
        self._app = SimulatedNode(describe([CHANNEL]), identity, stats_every=2)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._bytes += self.pty.read(0.003)
            now = time.monotonic()
            if self._boot0 is not None and self._boot0.exists():
                self._loader, self._used_s = True, now
            if self._loader:
                if self._bytes:
                    self._used_s = now
                while self._bytes and self._serve():
                    pass
                if now - self._used_s > IDLE_S:
                    self._bytes = b""
                    self._boot()
            elif self._bytes.startswith(self.call):
                self._loader, self._used_s = True, now
                self.calls += 1
            elif self._bytes:
                data, self._bytes = self._bytes, b""
                if self._app is not None:
                    self.send(self._app.receive(data, time.monotonic_ns() // 1000))
            elif self._app is not None and now >= due and self.pty.listening():
                due = now + 0.02
                self.send(b"".join(self._app.sample([self._value], time.monotonic_ns() // 1000)))

    def send(self, data: bytes) -> None:
        while data and not self._stop.is_set() and self.pty.listening():
            data = self.pty.write(data, 0.05)

    def take(self, count: int) -> bytes | None:
        """Give so many bytes, once they are there."""
        end = time.monotonic() + 1.0
        while len(self._bytes) < count:
            if time.monotonic() > end or self._stop.is_set():
                self._bytes = b""
                return None
            self._bytes += self.pty.read(0.01)
        data, self._bytes = self._bytes[:count], self._bytes[count:]
        return data

    def put(self, at: int, data: bytes) -> bool:
        """Write; False once the power has gone."""
        self.writes += 1
        if self.die_after_writes is not None and self.writes > self.die_after_writes:
            self.die_after_writes = None
            self._bytes = b""
            self._boot()
            return False
        self.flash[at : at + len(data)] = data
        return True

    def _serve(self) -> bool:
        raise NotImplementedError


class AvrNode(BootNode):
    """An ATmega328P with a boot loader as on an Arduino Uno (STK500v1)."""

    call = b"0 "
    _at = 0

    def _serve(self) -> bool:
        command = self.take(1)
        if command is None:
            return False
        sizes = {b"0": 1, b"A": 2, b"B": 21, b"E": 6, b"P": 1, b"Q": 1, b"U": 3, b"V": 5, b"u": 1}
        if command in (b"d", b"t"):
            return self._page(command)
        rest = self.take(sizes.get(command, 1))
        if rest is None or not rest.endswith(b" "):
            return False
        answer = {b"A": b"\x04", b"V": b"\x00", b"u": b"\x1e\x95\x0f"}.get(command, b"")
        if command == b"U":
            self._at = 2 * int.from_bytes(rest[:2], "little")
        self.send(b"\x14" + answer + b"\x10")
        if command == b"Q":
            self._boot()
            return False
        return True

    def _page(self, command: bytes) -> bool:
        head = self.take(3)
        if head is None:
            return False
        size = int.from_bytes(head[:2], "big")
        if command == b"t":
            if self.take(1) is None:
                return False
            self.send(b"\x14" + bytes(self.flash[self._at : self._at + size]) + b"\x10")
            return True
        data = self.take(size + 1)
        if data is None or not self.put(self._at, data[:size]):
            return False
        self.send(b"\x14\x10")
        return True


class StmNode(BootNode):
    """An STM32F103 with its boot loader in ROM (AN3155)."""

    base = 0x0800_0000
    size = 64 * 1024
    call = b"\x7f"
    _ACK = b"\x79"

    def _serve(self) -> bool:
        first = self.take(1)
        if first is None:
            return False
        if first == b"\x7f":
            self.send(self._ACK)
            return True
        if self.take(1) is None:
            return False
        self.send(self._ACK)
        command = first[0]
        if command == 0x00:
            commands = bytes((0x00, 0x01, 0x02, 0x11, 0x21, 0x31, 0x43))
            self.send(bytes((len(commands), 0x22)) + commands + self._ACK)
        elif command == 0x02:
            self.send(b"\x01\x04\x10" + self._ACK)
        elif command == 0x43:
            if self.take(2) is None or not self.put(0, b"\xff" * self.size):
                return False
            self.send(self._ACK)
        elif command in (0x11, 0x31):
            return self._memory(command)
        return True

    def _memory(self, command: int) -> bool:
        head = self.take(5)
        if head is None:
            return False
        self.send(self._ACK)
        at = int.from_bytes(head[:4], "big")
        if command == 0x11:
            count = self.take(2)
            if count is None:
                return False
            self.send(self._ACK + self._read(at, count[0] + 1))
            return True
        count = self.take(1)
        data = None if count is None else self.take(count[0] + 2)
        if data is None or not self.put(at - self.base, data[:-1]):
            return False
        self.send(self._ACK)
        return True

    def _read(self, at: int, size: int) -> bytes:
        if at == 0x1FFFF7E0:  # the size of the flash, KiB
            return (self.size // 1024).to_bytes(2, "little") + bytes(size - 2)
        if not self.base <= at < self.base + self.size:
            return bytes(size)
        return bytes(self.flash[at - self.base : at - self.base + size])
