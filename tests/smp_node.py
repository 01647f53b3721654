"""A node with MCUboot on a pty: SMP as Zephyr's server answers it, and TW1, on one line."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import struct
import threading
import time

import cbor2

from firmware_bridge.mcuboot_image import MAGIC, TLV_MAGIC, image_hash
from firmware_bridge.reading import Channel, Quantity, Unit
from firmware_bridge.sim_node import NodeIdentity, SimulatedNode, describe
from firmware_bridge.sim_pty import Pty

BOARD = "nrf52840dk/nrf52840"
CHANNEL = Channel("tilt", Quantity.TILT, Unit.MRAD, 0.0, 10.0, 50)
HEADER = struct.Struct("!BBHHBB")


def make_image(
    version: tuple[int, int, int] = (1, 0, 0), size: int = 3000, *, value: float = 5.0,
    lies: bool = False, boots: bool = True, protected: bytes = b"",
) -> bytes:  # fmt: skip
    """An image as imgtool signs it, whose body says how it will behave."""
    body = json.dumps({"value": value, "lies": lies, "boots": boots}).encode().ljust(128)
    body += bytes(i * 31 % 251 for i in range(size - 128))
    more = b""
    if protected:
        more = struct.pack("<HHHH", 0x6908, 8 + len(protected), 0x50, len(protected)) + protected
    header = struct.pack("<IIHHII", MAGIC, 0, 32, len(more), len(body), 0)
    header += struct.pack("<BBHII", *version, 0, 0)
    digest = hashlib.sha256(header + body + more).digest()
    tlvs = struct.pack("<HH", 0x10, 32) + digest + struct.pack("<HH", 0x22, 64) + bytes(64)
    return header + body + more + struct.pack("<HH", TLV_MAGIC, 4 + len(tlvs)) + tlvs


class SmpNode:
    """The node; what a test does to it: `silent` requests, a power cut, another mode."""

    def __init__(self, image: bytes, mode: int = 1) -> None:
        self.pty = Pty()
        self.primary, self.secondary = image, b""
        self.pending, self.permanent, self.confirmed = False, False, True
        self.mode = mode
        self.requests = 0
        self.silent: set[int] = set()
        """Numbers of requests that are carried out and not answered."""
        self.cut_at: int | None = None
        """Number of the request at which the power goes and returns."""
        self._upload = b""
        self._upload_size = 0
        self._buffer = b""
        self._packet = b""
        self._stop = threading.Event()
        self._start()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self.pty.close()

    def power_cut(self) -> None:
        """Lose what is not in the flash, and boot as MCUboot does."""
        self._upload, self._packet, self._buffer = b"", b"", b""
        if self.pending and _whole(self.secondary):
            self.primary, self.secondary = self.secondary, self.primary
            self.confirmed = self.permanent
        elif not self.pending and not self.confirmed:
            self.primary, self.secondary = self.secondary, self.primary
            self.confirmed = True
        self.pending = self.permanent = False
        self._start()
        if not self._does["boots"] and not self.confirmed:
            self.power_cut()  # the watchdog

    def _start(self) -> None:
        self._does = json.loads(self.primary[32 : 32 + 128])
        digest = bytes(8) if self._does["lies"] else bytes.fromhex(image_hash(self.primary))[:8]
        if self._does["lies"]:
            digest = b"\xff" * 8
        firmware = tuple(self.primary[20:22]) + struct.unpack_from("<H", self.primary, 22)
        identity = NodeIdentity(firmware=firmware, image_hash=digest, battery_mv=3700)
        self._tw1 = SimulatedNode(describe([CHANNEL]), identity, stats_every=2)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            self._take(self.pty.read(0.005))
            if time.monotonic() >= due and self.pty.listening():
                due = time.monotonic() + 0.02
                t_us = time.monotonic_ns() // 1000
                self._send(b"".join(self._tw1.sample([self._does["value"]], t_us)))

    def _send(self, data: bytes) -> None:
        while data and not self._stop.is_set() and self.pty.listening():
            data = self.pty.write(data, 0.05)

    def _take(self, data: bytes) -> None:
        self._buffer += data
        while self._buffer:
            starts = [
                at for mark in (b"\x06\x09", b"\x04\x14") if (at := self._buffer.find(mark)) >= 0
            ]
            if not starts or min(starts):
                end = min(starts, default=len(self._buffer))
                self._send(self._tw1.receive(self._buffer[:end], time.monotonic_ns() // 1000))
                self._buffer = self._buffer[end:]
                continue
            line, found, rest = self._buffer.partition(b"\n")
            if not found:
                return
            self._buffer = rest
            self._line(line)

    def _line(self, line: bytes) -> None:
        self._packet = (b"" if line[:2] == b"\x06\x09" else self._packet) + line[2:]
        try:
            data = base64.b64decode(self._packet)
        except binascii.Error:
            return
        if len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            return
        frame = data[2:-2]
        assert binascii.crc_hqx(data[2:], 0) == 0
        op, _, _, group, sequence, command = HEADER.unpack_from(frame)
        number, self.requests = self.requests, self.requests + 1
        if number == self.cut_at:
            self.power_cut()
            return
        answer = self._answer(group, command, op & 7, cbor2.loads(frame[8:]))
        if number not in self.silent:
            payload = cbor2.dumps(answer)
            head = HEADER.pack(op + 1, 0, len(payload), group, sequence, command)
            self._send(_packets(head + payload))
        if (group, command) == (0, 5):
            time.sleep(0.05)
            self.power_cut()

    def _answer(self, group: int, command: int, op: int, asked: dict) -> dict:
        if (group, command) == (0, 6):
            return {"buf_size": 512, "buf_count": 4}
        if (group, command) == (0, 7):
            return {"output": BOARD}
        if (group, command) == (0, 8):
            return {"mode": self.mode}  # as os_mgmt_bootloader_info does
        if (group, command) == (0, 5):
            return {}
        if (group, command) == (1, 1):
            return self._write(asked)
        if (group, command) == (1, 0):
            return self._states() if op == 0 else self._set(asked)
        return {"rc": 8}

    def _states(self) -> dict:
        images = [
            {"slot": 0, "version": _version(self.primary), "active": True, "bootable": True,
             "hash": bytes.fromhex(image_hash(self.primary)), "pending": False,
             "confirmed": self.confirmed, "permanent": False}
        ]  # fmt: skip
        if _whole(self.secondary):
            images.append(
                {"slot": 1, "version": _version(self.secondary), "bootable": True, "active": False,
                 "hash": bytes.fromhex(image_hash(self.secondary)), "pending": self.pending,
                 "confirmed": False, "permanent": self.permanent}
            )  # fmt: skip
        return {"images": images, "splitStatus": 0}

    def _set(self, asked: dict) -> dict:
        digest = asked.get("hash", b"").hex()
        if digest == image_hash(self.primary):
            if not asked.get("confirm"):
                return {"err": {"group": 1, "rc": 33}}
            self.confirmed = True
        elif _whole(self.secondary) and digest == image_hash(self.secondary):
            self.pending, self.permanent = True, bool(asked.get("confirm"))
        else:
            return {"err": {"group": 1, "rc": 24}}
        return self._states()

    def _write(self, asked: dict) -> dict:
        if asked["off"] == 0 and (self.pending or not self.confirmed):
            return {"err": {"group": 1, "rc": 9}}
        if asked["off"] == 0:
            self._upload, self._upload_size, self.secondary = b"", asked["len"], b""
        elif asked["off"] != len(self._upload):
            return {"off": len(self._upload)}
        self._upload += asked["data"]
        if len(self._upload) < self._upload_size:
            return {"off": len(self._upload)}
        self.secondary = self._upload
        return {"off": len(self._upload), "match": True}


def _whole(image: bytes) -> bool:
    try:
        image_hash(image)
    except ValueError:
        return False
    return True


def _version(image: bytes) -> str:
    first, second, third = struct.unpack_from("<BBH", image, 20)
    return f"{first}.{second}.{third}"


def _packets(frame: bytes) -> bytes:
    crc = binascii.crc_hqx(frame, 0).to_bytes(2, "big")
    text = base64.b64encode((len(frame) + 2).to_bytes(2, "big") + frame + crc)
    parts = [text[i : i + 120] for i in range(0, len(text), 120)]
    lines = [(b"\x04\x14" if i else b"\x06\x09") + part + b"\n" for i, part in enumerate(parts)]
    return b"".join(lines)
