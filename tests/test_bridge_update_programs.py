"""One slot, with the real avrdude and stm32loader against boot loaders on a pty.

stm32loader and esptool are GPL and never installed with Talus: where a virtual environment of
theirs is named in TALUS_FLASH_TOOLS, or they are on PATH, they are run, and else that is told.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import flash_parts
import pytest
from boot_nodes import AvrNode, StmNode, make_app

from firmware_bridge.update_loaders import Avrdude, Esptool, Stm32loader
from firmware_bridge.update_programs import MAX_OUTPUT_BYTES, ProgramTarget, run_program
from firmware_bridge.update_target import Samples, TargetError

TOOLS = os.environ.get("TALUS_FLASH_TOOLS", "")
OLD, NEW = make_app(), make_app(5000, version=(1, 1, 0))
WILD = make_app(4000, 99.0, (1, 1, 0))


def tool(name: str) -> str:
    found = shutil.which(name, path=f"{TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"NOT TESTED: no {name} here (set TALUS_FLASH_TOOLS to a folder that has it)")
    return found


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return folder


@pytest.fixture(params=["avr", "stm32"])
def rig(request, tmp_path):
    """A node, and the options with which talus-flash updates it through the real program."""
    if request.param == "avr":
        tool("avrdude")
        node, path = AvrNode(OLD), None
        options = ["--target", "avr", "--part", "m328p", "--programmer", "arduino"]
        board = "avr-1e950f"
    else:
        real = tool("stm32loader")
        # A pty has neither modem lines nor parity; all else is the program as it is. Opening a port
        # raises DTR, which holds the chip in reset; RTS is its BOOT0: here that is a file.
        python = Path(real).read_text().splitlines()[0]
        path = script(
            tmp_path / "bin", "stm32loader",
            f"{python}\nimport pathlib, serial, sys, time\nfrom stm32loader.main import main\n"
            "boot0 = pathlib.Path(__file__).with_name('boot0')\nboot0.touch()\ntime.sleep(0.1)\n"
            "serial.Serial.setDTR = lambda *_: None\n"
            "serial.Serial.setRTS = lambda _, level: boot0.unlink() if level else boot0.touch()\n"
            "main(*sys.argv[1:], '--parity', 'none')\n",
        )  # fmt: skip
        node = StmNode(OLD, path / "boot0")
        options = ["--target", "stm32", "--part", "F1"]
        board = "stm32-0x410"
    yield node, options, board, path
    node.close()


def run(rig, folder: Path, image: bytes) -> tuple[int, str]:
    node, options, board, path = rig
    flash_parts.signed(folder, image, board)
    made = flash_parts.Parts(folder)
    more = ["--no-gateway", "--journal", str(made.journal), *options]
    return flash_parts.flash(made.options(*more, port=node.pty.device), path=path)


def test_the_real_program_updates_a_node_and_it_is_proven(rig, tmp_path) -> None:
    node, _, _, path = rig
    code, said = run(rig, tmp_path, NEW)
    assert code == 0, said
    assert node.image(len(NEW)) == NEW
    code, said = flash_parts.flash(
        ["identify", "--port", node.pty.device, "--no-gateway", *rig[1]], path=path
    )
    assert code == 0, said
    assert rig[2] in said
    assert "version  1.1.0" in said


def test_an_image_that_fails_is_written_over_with_the_backup(rig, tmp_path) -> None:
    before = bytes(rig[0].flash)
    code, said = run(rig, tmp_path, WILD)
    assert code == 4, said
    assert bytes(rig[0].flash) == before


@pytest.mark.parametrize("rig", ["stm32"], indirect=True)  # avrdude takes a minute to give up
def test_a_power_cut_in_the_middle_of_writing_is_written_again(rig, tmp_path) -> None:
    node = rig[0]
    node.die_after_writes = 6
    code, said = run(rig, tmp_path, NEW)
    assert code == 0, said
    assert "trying again" in said
    assert node.image(len(NEW)) == NEW


# Command lines: the real programs take them


@pytest.mark.parametrize(
    ("program", "reads"),
    [
        (Esptool("/dev/null", 115_200, "", 0x10000), "Could not|not find|port"),
        (Stm32loader("/dev/nowhere", 115_200, "F1", 0x0800_0000), "port|device|open"),
        (Avrdude("/dev/nowhere", 115_200, "m328p", "arduino"), "port|open|exist"),
    ],
)
def test_the_real_program_understands_every_command_line(tmp_path, program, reads) -> None:
    """They fail at the port, and not at what they were told."""
    name = tool(program.name)
    (tmp_path / "chunk.bin").write_bytes(bytes(4096))
    for command in (
        program.identify(), program.read("read.bin", 4096), program.write("chunk.bin", 0)
    ):  # fmt: skip
        done = subprocess.run(
            [name, *command[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode not in (0, None)
        for wrong in ("usage:", "Usage:", "unrecognized", "No such option", "invalid option"):
            assert wrong not in said, said
        assert any(word in said for word in reads.split("|")), said


# esptool, as its output was recorded: a program that keeps a flash in a file

ESPTOOL = f"""#!{sys.executable}
import json, pathlib, sys
at = pathlib.Path(__file__).parent
words = sys.argv[1:]
with (at / "log").open("a") as log:
    log.write(json.dumps(words) + "\\n")
flash = at / "flash"
data = bytearray(flash.read_bytes())
print("esptool v5.6.0")
print("Connected to ESP32-C3 on /dev/ttyUSB0:")
print("Chip type:          ESP32-C3 (QFN32) (revision v0.4)")
rest = words[6:]
if rest[0] == "read-flash":
    start, size, file = int(rest[2], 0), int(rest[3]), rest[4]
    pathlib.Path(file).write_bytes(data[start:start + size])
elif rest[0] == "write-flash":
    start, new = int(rest[-2], 0), pathlib.Path(rest[-1]).read_bytes()
    assert start % 4096 == 0
    data[start:start + len(new)] = new
    flash.write_bytes(data)
print("Hard resetting via RTS pin...")
"""


class NoApp:
    """Nobody answers by TW1."""

    def who(self):
        return None, None

    def samples(self, count: int) -> Samples:
        return Samples(())


@pytest.fixture
def esp(tmp_path, monkeypatch):
    folder = script(tmp_path / "bin", "esptool", ESPTOOL)
    (folder / "flash").write_bytes(bytes(range(256)) * 2048)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    program = Esptool("/dev/ttyUSB0", 460_800, "esp32c3", 0x10000)
    return ProgramTarget(program, tmp_path, NoApp(), 460_800), folder


def test_esptool_reads_writes_in_chunks_and_brings_the_backup_back(esp) -> None:
    target, folder = esp
    before = (folder / "flash").read_bytes()
    image = os.urandom(100_000)
    digest = target.prepare(image)
    assert target.identify().board == "esp32-c3"
    old = target.backup().digest
    size = target.chunk_bytes
    for offset in range(0, len(image), size):
        written = target.write(offset, image[offset : offset + size])
        assert written.next_offset == min(offset + size, len(image))
    assert target.read_back(len(image)).digest == digest
    flash = (folder / "flash").read_bytes()
    assert flash[0x10000 : 0x10000 + len(image)] == image
    assert flash[:0x10000] == before[:0x10000]
    assert target.revert(old).digest == old
    assert (folder / "flash").read_bytes() == before
    log = (folder / "log").read_text()
    assert '["--chip", "esp32c3", "--port", "/dev/ttyUSB0", "--baud", "460800", "flash-id"]' in log


def test_a_backup_that_is_not_the_one_that_was_made_is_not_written(esp, tmp_path) -> None:
    target, folder = esp
    target.prepare(bytes(5000))
    old = target.backup().digest
    (tmp_path / "backup.bin").write_bytes(b"other")
    before = (folder / "flash").read_bytes()
    with pytest.raises(TargetError, match="is not the backup that was made"):
        target.revert(old)
    assert (folder / "flash").read_bytes() == before


# Programs that misbehave


def test_a_program_that_is_missing_fails_or_hangs_is_told(tmp_path) -> None:
    with pytest.raises(TargetError, match="absent-program: No such file"):
        run_program(["absent-program"], tmp_path, 5)
    with pytest.raises(TargetError, match="esptool-absent: is not installed"):
        ProgramTarget(Esptool("x", 1, "", 0, name="esptool-absent"), tmp_path, NoApp(), 1)
    fails = script(tmp_path / "b", "fails", "#!/bin/sh\necho one\necho 'A fatal error'\nexit 3\n")
    with pytest.raises(TargetError, match="A fatal error"):
        run_program([str(fails / "fails")], tmp_path, 5)
    child = tmp_path / "child"
    hangs = script(
        tmp_path / "b", "hangs", f"#!/bin/sh\nsleep 600 &\necho $! > {child}\nsleep 600\n"
    )
    began = time.monotonic()
    with pytest.raises(TargetError, match="did not end within 1 s"):
        run_program([str(hangs / "hangs")], tmp_path, 1)
    assert time.monotonic() - began < 30
    state = Path(f"/proc/{child.read_text().strip()}/stat")
    end = time.monotonic() + 10
    while state.exists() and state.read_text().split()[2] != "Z":  # its child went with it
        assert time.monotonic() < end
        time.sleep(0.01)


def test_output_without_end_fills_no_memory(tmp_path) -> None:
    talks = script(
        tmp_path / "b", "talks", "#!/bin/sh\nyes abcdefghi | head -c 5000000\necho the end\n"
    )
    said = run_program([str(talks / "talks")], tmp_path, 30)
    assert len(said) <= MAX_OUTPUT_BYTES
    assert said.endswith("the end\n")
