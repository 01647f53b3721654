"""The sketch for Arduino-class boards: run on the host, and built for an Uno that it fits into."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from c_link import loaded

from firmware_bridge.commands import PING
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.framing import ACK_REQ, RESPONSE, VERSION, Frame, FrameDecoder, encode
from firmware_bridge.messages import DATA, DESCRIBE, HELLO
from firmware_bridge.reading import Reading

link_c = loaded()
SKETCH = link_c.C_DIR / "examples" / "arduino" / "talus_node.ino"
SHIM = link_c.VECTORS_DIR / "arduino"
CORE = Path("/usr/share/arduino/hardware/arduino/avr")
UNO = ("-mmcu=atmega328p", "-DF_CPU=16000000L", "-DARDUINO=10808", "-DARDUINO_AVR_UNO",
       "-DARDUINO_ARCH_AVR", "-Os", "-ffunction-sections", "-fdata-sections", "-flto")  # fmt: skip
UNO_FLASH, UNO_RAM = 32_256, 2_048
UNO_STACK = 300
"""RAM that is to stay free for the stack."""
NOW_MS = 1_700_000_000_000


def run(*command: object) -> str:
    made = subprocess.run(
        [str(word) for word in command], check=False, capture_output=True, text=True
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.mark.skipif(shutil.which("g++") is None, reason="NOT TESTED: the sketch, for want of g++")
def test_the_sketch_speaks_with_the_gateway(tmp_path: Path) -> None:
    objects = []
    for name in link_c.NODE_SOURCES:
        objects.append(tmp_path / f"{name}.o")
        run("gcc", *link_c.STRICT, *link_c.SANITIZE, "-c", link_c.C_DIR / name, "-o", objects[-1])
    program = tmp_path / "sketch"
    run("g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", *link_c.SANITIZE, f"-I{link_c.C_DIR}",
        f"-I{SHIM}", "-include", "Arduino.h", "-x", "c++", SKETCH, SHIM / "main.cpp",
        "-x", "none", *objects, "-o", program)  # fmt: skip
    asked = [(HELLO, b""), (DESCRIBE, b"\0"), (DESCRIBE, b"\1"), (PING, b"echo")]
    questions = b"".join(
        encode(Frame(VERSION, ACK_REQ, kind, seq, 0, payload))
        for seq, (kind, payload) in enumerate(asked)
    )
    said = subprocess.run([program], input=questions, capture_output=True, check=True).stdout

    frames = FrameDecoder().receive(said)
    assert all(isinstance(frame, Frame) for frame in frames)
    answers = [frame for frame in frames if frame.flags & RESPONSE]
    assert [(a.type, a.seq) for a in answers] == [
        (kind, seq) for seq, (kind, _) in enumerate(asked)
    ]
    assert answers[-1].payload == b"echo"
    times = [int.from_bytes(f.payload[6:14], "little") for f in frames if f.type == DATA]
    assert len(times) == 20
    assert all(b - a == 500_000 for a, b in zip(times, times[1:], strict=False))  # over the wrap

    driver = Tw1Driver("uno", clock="arrival")
    driver.opened(NOW_MS)
    readings = [each for each in driver.receive(said, NOW_MS) if isinstance(each, Reading)]
    assert driver.layout is not None
    assert [channel.name for channel in driver.layout] == ["crack", "temperature"]
    assert readings[-1].values == (24.97, 24.7)


@pytest.mark.skipif(
    shutil.which("avr-g++") is None or not CORE.exists(),
    reason="NOT TESTED: the sketch built for an Uno "
    "(apt install gcc-avr avr-libc arduino-core-avr)",
)
def test_it_fits_into_an_uno(tmp_path: Path) -> None:
    core = CORE / "cores" / "arduino"
    flags = [*UNO, f"-I{core}", f"-I{CORE / 'variants' / 'standard'}", f"-I{link_c.C_DIR}",
             f"-I{CORE / 'libraries' / 'EEPROM' / 'src'}"]  # fmt: skip
    cxx = ["avr-g++", "-std=gnu++11", "-fpermissive", "-fno-exceptions", *flags]
    # WString.cpp does not build with this compiler, and nothing here uses it.
    sources = [each for each in core.glob("*.c*") if each.stem in {
        "HardwareSerial", "HardwareSerial0", "Print", "abi", "hooks", "main", "new", "wiring",
        "wiring_analog", "wiring_digital"}]  # fmt: skip
    objects = []
    for source in (*sources, *(link_c.C_DIR / name for name in link_c.NODE_SOURCES)):
        objects.append(tmp_path / f"{source.name}.o")
        ours = source.parent == link_c.C_DIR
        compiler = cxx if source.suffix == ".cpp" else ["avr-gcc", *flags]
        run(*compiler, *(link_c.STRICT if ours else ("-w",)), "-c", source, "-o", objects[-1])
    objects.append(tmp_path / "sketch.o")
    run(*cxx, "-Wall", "-Wextra", "-Werror", "-include", "Arduino.h", "-x", "c++", "-c", SKETCH,
        "-o", objects[-1])  # fmt: skip
    elf = tmp_path / "uno.elf"
    run("avr-gcc", "-w", "-Os", "-flto", "-fuse-linker-plugin", "-Wl,--gc-sections",
        "-mmcu=atmega328p", *objects, "-lm", "-o", elf)  # fmt: skip
    found = re.search(r"^\s*(\d+)\s+(\d+)\s+(\d+)", run("avr-size", elf), re.MULTILINE)
    assert found is not None
    text, data, bss = map(int, found.groups())
    assert text + data <= UNO_FLASH
    assert data + bss <= UNO_RAM - UNO_STACK
