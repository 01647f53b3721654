"""One stray byte before a valid Modbus RTU reply: who reads it? Ours, pymodbus, minimalmodbus.

The peers run in a virtual environment of their own, `.venv-peers`, made on demand. Run it alone:
`python benchmarks/link_modbus.py [--quick]`.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

from firmware_bridge.drivers.modbus import ModbusDriver
from firmware_bridge.modbus_exchange import Exchange
from firmware_bridge.modbus_frame import Request
from firmware_bridge.modbus_plan import ModbusChannel, ModbusDevice, ModbusPlan
from firmware_bridge.port import Port
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_modbus import checksum
from firmware_bridge.sim_pty import Pty

SLAVE = 1
"""The address that devices leave the factory with. It matters: pymodbus looks for a known function
code behind each byte, and 1 is one; with an address that is none (see `main`) it reads on."""
OTHER_SLAVE = 100
TIMEOUT_S = 0.15
"""For one answer, the same for all three; the scripted slave answers at once."""
BAUD = 19200
STRAY = (0, 1, 2, 3, 4, 6, 16, 0x7F, 0x80, 0xFF, *range(5, 256, 6))
"""The 52 bytes: address, functions, byte count, the ends, and every sixth from 5 (0x83, the
refusal of function 3, among them)."""
PEERS = Path(__file__).resolve().parent.parent / ".venv-peers"
PACKAGES = ("pymodbus==3.16.1", "minimalmodbus==2.1.1", "pyserial>=3.5,<4")

# Each read is one call of the library, its retries left as they are: pymodbus 3 (each is answered
# with the same stray byte), minimalmodbus none.
_PEER = r"""
import json, sys
kind, device, slave, timeout, count = sys.argv[1:]
slave, timeout, count = int(slave), float(timeout), int(count)
good = 0
if kind == "pymodbus":
    import logging
    from pymodbus.client import ModbusSerialClient
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    client = ModbusSerialClient(device, baudrate=19200, timeout=timeout)
    client.connect()
    for i in range(count):
        try:
            reply = client.read_holding_registers(i, count=1, device_id=slave)
            good += not reply.isError() and reply.registers == [4660 + i]
        except Exception:
            pass
elif kind == "minimalmodbus":
    import minimalmodbus
    client = minimalmodbus.Instrument(device, slave)
    client.serial.baudrate = 19200
    client.serial.timeout = timeout
    for i in range(count):
        try:
            good += client.read_register(i, functioncode=3) == 4660 + i
        except Exception:
            pass
else:
    import time
    from pymodbus.framer.rtu import FramerRTU
    from pymodbus.pdu import DecodePDU
    framer = FramerRTU(DecodePDU(False))
    frame = bytes.fromhex(device)
    began = time.perf_counter()
    for _ in range(count):
        used, pdu = framer.handleFrame(frame, slave, 0)
        assert used == len(frame) and len(pdu.registers) == 20
    good = (time.perf_counter() - began) / count * 1e6
print(json.dumps(good))
"""


class ScriptedSlave:
    """Answers a request for register i with the i-th stray byte and a valid reply of 4660 + i."""

    def __init__(self, slave: int, stray: tuple[int, ...] | None) -> None:
        self.pty = Pty()
        self._slave = slave
        self._stray = stray
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.pty.close()

    def _run(self) -> None:
        held = b""
        while not self._stop.is_set():
            if not self.pty.listening():
                time.sleep(0.001)
                continue
            held += self.pty.read(0.01)
            while len(held) >= 8:
                request, held = held[:8], held[8:]
                assert checksum(request[:6]) == request[6:]
                i = request[2] << 8 | request[3]
                reply = bytes((self._slave, 3, 2, *divmod(4660 + i, 256)))
                before = b"" if self._stray is None else bytes((self._stray[i],))
                rest = before + reply + checksum(reply)
                while rest:
                    rest = self.pty.write(rest, 0.1)


def ours(slave: int, stray: tuple[int, ...] | None) -> int:
    """Count what our driver reads, one request each, no retry."""
    good = 0
    with ScriptedSlave(slave, stray) as line:
        port = Port(line.pty.device, BAUD)
        port.poll(0)
        for i in range(len(STRAY)):
            channel = ModbusChannel("value", i)
            device = ModbusDevice(
                slave, "slave", (channel,), 60.0, timeout_ms=round(TIMEOUT_S * 1000), retries=0
            )
            items = _one_read(port, ModbusDriver("bus", ModbusPlan((device,), gap_ms=2)))
            good += isinstance(items[0], Reading) and items[0].values == (4660 + i,)
        port.close()
    return good


def _one_read(port: Port, driver: ModbusDriver) -> list[Reading | Dropped]:
    items: list[Reading | Dropped] = []
    driver.opened(_now_ms())
    while not items:
        request = driver.write_next(_now_ms())
        if request:
            port.write(request)
        fileno = port.fileno()
        assert fileno is not None
        ready = select.select([fileno], [], [], 0.002)[0]
        items = driver.receive(port.read() if ready else b"", _now_ms())
    return items


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def peers(*, install: bool) -> str | None:
    """Give a Python that has the peers; None where there is none and none can be made."""
    python = PEERS / "bin" / "python"
    if _has_peers(python):
        return str(python)
    if not install:
        return None
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run([*pip, *PACKAGES], check=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"peers: not installed: {error}", file=sys.stderr)
        return None
    return str(python) if _has_peers(python) else None


def _has_peers(python: Path) -> bool:
    code = "import pymodbus, minimalmodbus"
    return (
        python.exists()
        and subprocess.run([python, "-c", code], capture_output=True, check=False).returncode == 0
    )


def _peer(python: str, *arguments: object) -> float | None:
    """Run the little script above; None, and why on stderr, if it fails."""
    command = [python, "-c", _PEER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        print(f"peers: {arguments[0]}: {done.stderr.strip()[-300:]}", file=sys.stderr)
        return None
    value: float = json.loads(done.stdout.splitlines()[-1])
    return value


def theirs(python: str | None, kind: str, slave: int, stray: tuple[int, ...] | None) -> int | None:
    """Count what a peer reads; None where it is not installed."""
    if python is None:
        return None
    with ScriptedSlave(slave, stray) as line:
        good = _peer(python, kind, line.pty.device, slave, TIMEOUT_S, len(STRAY))
    return None if good is None else int(good)


def stray_matrix(*, slave: int = SLAVE, install: bool = True) -> dict[str, int | None]:
    """Give how many of the 52 replies each reads, with a stray byte before each and without."""
    python = peers(install=install)
    return {
        "modbus_stray_ok": ours(slave, STRAY),
        "pymodbus_stray_ok": theirs(python, "pymodbus", slave, STRAY),
        "minimalmodbus_stray_ok": theirs(python, "minimalmodbus", slave, STRAY),
        "modbus_clean_ok": ours(slave, None),
        "pymodbus_clean_ok": theirs(python, "pymodbus", slave, None),
        "minimalmodbus_clean_ok": theirs(python, "minimalmodbus", slave, None),
    }


def _reply() -> bytes:
    body = bytes((SLAVE, 3, 40)) + os.urandom(40)
    return body + checksum(body)


def us_per_frame_modbus(rounds: int = 5, count: int = 20_000) -> float:
    """Give the median time to find and decode a reply of 20 registers."""
    frame, request = _reply(), Request(SLAVE, 3, 0, 20)
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            answer = Exchange(request, echo=False).receive(frame)
            assert answer is not None
        took.append((time.perf_counter() - began) / count * 1e6)
    return statistics.median(took)


def us_per_frame_pymodbus(*, install: bool = True, count: int = 20_000) -> float | None:
    """Give the same for pymodbus's framer; None where it is not installed."""
    python = peers(install=install)
    if python is None:
        return None
    took = [_peer(python, "speed", _reply().hex(), SLAVE, 0, count) for _ in range(3)]
    known = [each for each in took if each is not None]
    return statistics.median(known) if known else None


def main() -> int:
    """Print all of it."""
    install = "--quick" not in sys.argv[1:]
    figures: dict[str, float | None] = dict(stray_matrix(install=install))
    other = stray_matrix(slave=OTHER_SLAVE, install=install)
    figures |= {f"{name}_slave_{OTHER_SLAVE}": value for name, value in other.items()}
    figures["us_per_frame_modbus"] = us_per_frame_modbus()
    figures["us_per_frame_pymodbus"] = us_per_frame_pymodbus(install=install)
    for name, value in figures.items():
        print(f"{name:<36} {value if value is None else round(value, 2)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
