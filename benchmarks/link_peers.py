"""Others' framing beside ours, on the same payloads: MIN, pymodbus, pyubx2, and COBS in C.

They live in a venv beside, .venv-peers, which is made on demand; this file is what runs in it.
MIN's Python is on no index: put its host/min.py into the venv's site-packages to have it measured.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import time
import venv
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv-peers"
PACKAGES = {"pymodbus": "pymodbus==3.16.1", "pyubx2": "pyubx2==1.4.0", "cobs": "cobs==1.2.2"}
ROUNDS = 5
"""At least; they go on for the seconds given."""
READ_BYTES = 4096
FEW = 100
"""Frames a round for those that take long: a short round finds a quiet moment."""


def python() -> Path:
    """Give the interpreter of the venv, made if there is none, with what can be installed."""
    path = VENV / "bin" / "python"
    if not path.exists():
        venv.create(VENV, with_pip=True, symlinks=True)
    for name, wanted in PACKAGES.items():
        known = subprocess.run([path, "-c", f"import {name}"], capture_output=True, check=False)
        if known.returncode:
            command = [str(path), "-m", "pip", "install", "-q", wanted]
            subprocess.run(command, capture_output=True, check=False, timeout=120)
    return path


def peers(payloads: list[bytes], seconds: float) -> dict[str, tuple[float | None, str]]:
    """Time each over these payloads: us a frame of its quietest round, or None; and a note."""
    asked = json.dumps([payload.hex() for payload in payloads])
    try:
        done = subprocess.run(
            [python(), Path(__file__).resolve(), str(seconds)],
            input=asked, capture_output=True, text=True, check=True, timeout=300,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return dict.fromkeys(PEERS, (None, f".venv-peers: {error}"))
    return {name: (us, note) for name, (us, note) in json.loads(done.stdout).items()}


def quietest(run: Callable[[], int], count: int) -> float:
    """Give the least time of a frame over the rounds, us; each must find every frame."""
    took: list[float] = []
    deadline = time.perf_counter() + float(sys.argv[1])
    while len(took) < ROUNDS or time.perf_counter() < deadline:
        began = time.perf_counter()
        found = run()
        took.append((time.perf_counter() - began) / count * 1e6)
        if found != count:
            raise RuntimeError(f"{found} frames of {count}")
    return min(took)


def cobs_in_c(payloads: list[bytes]) -> tuple[float, str]:
    """Decode our own wire bytes with the C extension of cobs; a tuple, not a `Frame`."""
    from struct import Struct
    from zlib import crc32

    cobs: Any = importlib.import_module("cobs.cobs")

    def wire(payload: bytes) -> bytes:
        body = b"\x10\x30\0\0\0" + payload
        stuffed: bytes = cobs.encode(body + crc32(body).to_bytes(4, "little"))
        return b"\0" + stuffed + b"\0"

    head = Struct("<BBHB")
    stream = b"".join(map(wire, payloads))

    def run() -> int:
        held, found = b"", []
        for at in range(0, len(stream), READ_BYTES):
            *chunks, held = (held + stream[at : at + READ_BYTES]).split(b"\0")
            for chunk in chunks:
                if chunk:
                    raw = cobs.decode(chunk)
                    if crc32(raw) == 0x2144DF1C:
                        found.append((*head.unpack_from(raw), raw[5:-4]))
        return len(found)

    return quietest(run, len(payloads)), "cobs (C), crc32, a tuple a frame"


def min_python(payloads: list[bytes]) -> tuple[float, str]:
    """Decode MIN frames of the same payloads with MIN's own reference."""
    try:
        module: Any = importlib.import_module("min")
    except ImportError:
        raise ImportError("on no index: put MIN's host/min.py into .venv-peers") from None

    class Fed(module.MINTransport):  # type: ignore[misc]
        data = b""
        sent = b""

        def _now_ms(self) -> int:
            return 0

        def _serial_write(self, data: bytes) -> None:
            self.sent += data

        def _serial_read_all(self) -> bytes:
            return self.data

    sender = Fed()
    for payload in payloads:
        sender.send_frame(1, payload)
    stream = sender.sent

    def run() -> int:
        receiver = Fed()
        found = 0
        for at in range(0, len(stream), READ_BYTES):
            receiver.data = stream[at : at + READ_BYTES]
            found += len(receiver.poll())
        return found

    return quietest(run, len(payloads)), "MIN 2.0, host/min.py"


def pymodbus_rtu(payloads: list[bytes]) -> tuple[float, str]:
    """Decode answers of function 3 that carry the same payloads, one at a time as it needs them."""
    pymodbus: Any = importlib.import_module("pymodbus")
    framing: Any = importlib.import_module("pymodbus.framer")
    pdu: Any = importlib.import_module("pymodbus.pdu")
    framer = framing.FramerRTU(pdu.DecodePDU(is_server=False))
    answers = []
    for payload in payloads:
        even = payload + bytes(len(payload) % 2)
        answers.append(framer.encode(bytes((3, len(even))) + even, 1, 0))

    def run() -> int:
        return sum(framer.handleFrame(each, 1, 0)[1] is not None for each in answers)

    return quietest(run, len(payloads)), f"pymodbus {pymodbus.__version__}, function 3"


def pyubx2_relposned(payloads: list[bytes]) -> tuple[float, str]:
    """Read UBX NAV-RELPOSNED, 64 bytes of payload, with pyubx2's reader."""
    pyubx2: Any = importlib.import_module("pyubx2")
    message = pyubx2.UBXMessage("NAV", "NAV-RELPOSNED", 0, version=1, relPosN=1, relPosE=2)
    stream = message.serialize() * len(payloads)

    def run() -> int:
        return sum(1 for _ in pyubx2.UBXReader(BytesIO(stream), quitonerror=0))

    return quietest(run, len(payloads)), f"pyubx2 {pyubx2.version}, NAV-RELPOSNED of 64 bytes"


PEERS: dict[str, Callable[[list[bytes]], tuple[float, str]]] = {
    "cobs_c": cobs_in_c,
    "min": min_python,
    "pymodbus": pymodbus_rtu,
    "pyubx2": pyubx2_relposned,
}


def main() -> None:
    """Time what is here; payloads in, figures out, as JSON."""
    payloads = [bytes.fromhex(each) for each in json.load(sys.stdin)]
    found: dict[str, tuple[float | None, str]] = {}
    for name, timed in PEERS.items():
        try:
            found[name] = timed(payloads if name == "cobs_c" else payloads[:FEW])
        except ImportError as error:
            found[name] = None, str(error)
        except Exception as error:  # whatever another's library does is its figure
            found[name] = None, f"{type(error).__name__}: {error}"
    print(json.dumps(found))


if __name__ == "__main__":
    main()
