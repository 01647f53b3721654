"""The programs that speak with boot loaders: what each is told, and what its output says.

esptool (5 or later), stm32loader (0.7) and avrdude. Only their command lines are made here;
`update_programs` runs them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Protocol

from firmware_bridge.update_target import TargetError


class Program(Protocol):
    """How one boot loader program is told what to do; file names are relative to its folder."""

    @property
    def name(self) -> str:
        """What it is called on PATH."""
        ...

    @property
    def chunk_bytes(self) -> int:
        """How much is written at once; 0: the whole image."""
        ...

    def identify(self) -> list[str]:
        """Ask what chip it is; it then starts its image."""
        ...

    def read(self, file: str, size: int) -> list[str]:
        """Read from the image's address into a file; size 0: all of the flash."""
        ...

    def write(self, file: str, offset: int) -> list[str]:
        """Write a file to the image's address plus `offset`, erasing what is under it."""
        ...

    def board(self, output: str) -> str:
        """Give the board as manifests name it, of what `identify` said; "" if it does not say."""
        ...

    def extent(self, size: int, output: str) -> int:
        """Give how much writing an image of this size changes, bytes; 0: all of the flash."""
        ...


@dataclass(frozen=True, slots=True)
class Esptool:
    """ESP32 and ESP8266. The board of a manifest is the chip, such as esp32-c3."""

    port: str
    baud: int
    part: str
    """Chip, or "" to find out."""
    address: int
    name: str = "esptool"
    chunk_bytes: int = 64 * 1024

    def _command(self, *words: str) -> list[str]:
        chip = self.part or "auto"
        return [self.name, "--chip", chip, "--port", self.port, "--baud", str(self.baud), *words]

    def identify(self) -> list[str]:
        """Ask for the flash's id, which needs the chip to answer."""
        return self._command("flash-id")

    def read(self, file: str, size: int) -> list[str]:
        """Read a region."""
        return self._command("read-flash", "--no-progress", hex(self.address), str(size), file)

    def write(self, file: str, offset: int) -> list[str]:
        """Write a region as it stands."""
        keep = ["--flash-mode", "keep", "--flash-freq", "keep", "--flash-size", "keep"]
        return self._command(
            "write-flash", "--no-progress", *keep, hex(self.address + offset), file
        )

    def board(self, output: str) -> str:
        """Find "Chip type: ESP32-C3 (...)"."""
        found = re.search(r"Chip (?:type:|is)\s*(ESP[0-9A-Z-]+)", output)
        return found.group(1).lower() if found else ""

    def extent(self, size: int, output: str) -> int:
        """Whole sectors of 4096 bytes."""
        return -(-size // 4096) * 4096


@dataclass(frozen=True, slots=True)
class Stm32loader:
    """STM32 through its ROM boot loader. The board is the chip id, such as stm32-0x410.

    All of the flash is erased, as stm32loader 0.7 cannot erase a part of it at its address.
    """

    port: str
    baud: int
    part: str
    """Family, such as F1: without it the size of the flash is not known."""
    address: int
    name: str = "stm32loader"
    chunk_bytes: int = 0

    def _command(self, *words: str) -> list[str]:
        family = ["--family", self.part, "--no-progress"]
        return [self.name, "--port", self.port, "--baud", str(self.baud), *family, *words]

    def identify(self) -> list[str]:
        """Connect, which says the chip id and the size of the flash."""
        return self._command()

    def read(self, file: str, size: int) -> list[str]:
        """Read a region."""
        return self._command("--read", "--address", hex(self.address), "--length", str(size), file)

    def write(self, file: str, offset: int) -> list[str]:
        """Erase all, write, and compare."""
        address = hex(self.address + offset)
        return self._command("--erase", "--write", "--verify", "--address", address, file)

    def board(self, output: str) -> str:
        """Find "Chip id: 0x410 (...)"."""
        found = re.search(r"Chip id: 0x([0-9A-Fa-f]{1,8})", output)
        return f"stm32-0x{found.group(1).lower()}" if found else ""

    def extent(self, size: int, output: str) -> int:
        """Find "Flash size: 64 KiB"; TargetError if it does not say."""
        found = re.search(r"Flash size: (\d{1,5}) KiB", output)
        if found is None:
            raise TargetError("stm32loader: no flash size: give --part with the family, such as F1")
        return int(found.group(1)) * 1024


@dataclass(frozen=True, slots=True)
class Avrdude:
    """AVR through a boot loader. The board is the signature, such as avr-1e950f."""

    port: str
    baud: int
    part: str
    programmer: str
    name: str = "avrdude"
    chunk_bytes: int = 0

    def _command(self, *words: str) -> list[str]:
        what = ["-c", self.programmer, "-p", self.part, "-P", self.port, "-b", str(self.baud)]
        return [self.name, *what, *words]

    def identify(self) -> list[str]:
        """Connect, which says the signature."""
        return self._command("-v")

    def read(self, file: str, size: int) -> list[str]:
        """Read all of the flash, with the 0xFF at its end."""
        return self._command("-A", "-U", f"flash:r:{file}:r")

    def write(self, file: str, offset: int) -> list[str]:
        """Write from the start of the flash, and compare."""
        return self._command("-A", "-D", "-U", f"flash:w:{file}:r")  # no erase: the loader does it

    def board(self, output: str) -> str:
        """Find "Device signature = 0x1e950f", or "1E 95 0F" as newer ones write it."""
        found = re.search(r"[Dd]evice signature = ((?:0x)?[0-9A-Fa-f ]{6,9})", output)
        return "avr-" + found.group(1).replace(" ", "").removeprefix("0x").lower() if found else ""

    def extent(self, size: int, output: str) -> int:
        """All of the flash."""
        return 0
