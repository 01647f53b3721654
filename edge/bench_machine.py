"""The machine under test, as its kernel tells of it. What cannot be read is said, and why."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ABSENT, NO_PERMISSION = "absent", "no permission"
MAX_BYTES = 256 * 1024
_CPU = "sys/devices/system/cpu"
_ARM_PARTS = {
    0xB76: "ARM1176", 0xC07: "Cortex-A7", 0xC08: "Cortex-A8", 0xC09: "Cortex-A9",
    0xC0F: "Cortex-A15", 0xD01: "Cortex-A32", 0xD03: "Cortex-A53", 0xD04: "Cortex-A35",
    0xD05: "Cortex-A55", 0xD07: "Cortex-A57", 0xD08: "Cortex-A72", 0xD09: "Cortex-A73",
    0xD0A: "Cortex-A75", 0xD0B: "Cortex-A76", 0xD0C: "Neoverse-N1", 0xD41: "Cortex-A78",
    0xD42: "Cortex-A78AE",
}  # fmt: skip
_PACKAGES = {"litert": "ai-edge-litert", "onnxruntime": "onnxruntime", "tflite": "tflite-runtime"}
BUSY = 0.5
"""A load of so much a core, and others are at work."""
_SLOW = {"powersave", "conservative"}


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine; None where ``unreadable`` says why."""

    host: str
    arch: str
    system: str
    board: str | None
    cpu: str | None
    cores: int
    governor: str | None
    frequency_mhz: float | None
    frequency_max_mhz: float | None
    temperature_c: float | None
    load: float | None
    memory_mb: float | None
    python: str
    numpy: str
    runtimes: dict[str, str | None]
    unreadable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What of it changes while it works; None where it does not tell.

    ``throttled`` is what the firmware says: bits of Raspberry Pi, or how often the cores of a PC
    were slowed down.
    """

    governor: str | None
    frequency_mhz: float | None
    temperature_c: float | None
    throttled: int | None


class Kernel:
    """The files of a kernel below a root folder; ``unread`` holds why something was not told."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root
        self.unread: dict[str, str] = {}

    def text(self, what: str, *names: str) -> str | None:
        """Return what the first file says that can be read; else None, and the reason is kept."""
        why = ABSENT
        for name in names:
            for path in sorted(self.root.glob(name)) if "*" in name else [self.root / name]:
                try:
                    with path.open("rb") as file:
                        found = file.read(MAX_BYTES).decode("utf-8", "replace").strip("\0 \n\t")
                except PermissionError:
                    why = NO_PERMISSION
                except OSError:  # a sensor that is switched off answers with an error
                    continue
                else:
                    if found:
                        self.unread.pop(what, None)
                        return " ".join(found.split()) if "cpuinfo" not in name else found
        self.unread[what] = why
        return None

    def number(self, what: str, *names: str, base: int = 10) -> int | None:
        """Return a whole number as `text` does."""
        found = self.text(what, *names)
        try:
            return None if found is None else int(found, base)
        except ValueError:
            self.unread[what] = f"not a number: {found[:40]!r}" if found else ABSENT
            return None

    def conditions(self, core: int | None = None) -> Conditions:
        """Return how things stand now, at one core or at the first."""
        cpufreq = f"{_CPU}/cpu{core or 0}/cpufreq"
        governor = self.text("governor", f"{cpufreq}/scaling_governor")
        khz = self.number("frequency", f"{cpufreq}/scaling_cur_freq", f"{cpufreq}/cpuinfo_cur_freq")
        bits = self.number(
            "throttled", "sys/devices/platform/soc/soc:firmware/get_throttled", base=16
        )
        if bits is None:
            bits = self.number("throttled", f"{_CPU}/cpu{core or 0}/thermal_throttle/*_count")
        return Conditions(
            governor, None if khz is None else khz / 1000, self._temperature_c(), bits
        )

    def _temperature_c(self) -> float | None:
        """Return the hottest zone; a zone that is off says 0, or something absurd."""
        found = []
        for zone in sorted(self.root.glob("sys/class/thermal/thermal_zone*")):
            name = zone.relative_to(self.root)
            warm = (self.number("temperature", f"{name}/temp") or 0) / 1000
            found += [warm] if warm and -60 < warm < 200 else []
        if found:
            self.unread.pop("temperature", None)
            return max(found)
        self.unread.setdefault("temperature", ABSENT)
        return None


def look(root: Path = Path("/"), core: int | None = None) -> Machine:
    """Describe the machine. Nothing here is fatal."""
    kernel = Kernel(root)
    now = kernel.conditions(core)
    kernel.unread.pop("throttled", None)  # most boards have no such counter
    khz = kernel.number("frequency_max", f"{_CPU}/cpu{core or 0}/cpufreq/cpuinfo_max_freq")
    memory = kernel.text("memory", "proc/meminfo")
    return Machine(
        host=platform.node(),
        arch=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        board=_board(kernel),
        cpu=_cpu(kernel),
        cores=os.cpu_count() or 1,
        governor=now.governor,
        frequency_mhz=now.frequency_mhz,
        frequency_max_mhz=None if khz is None else khz / 1000,
        temperature_c=now.temperature_c,
        load=_load(kernel.text("load", "proc/loadavg")),
        memory_mb=_memory_mb(memory),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        numpy=_version("numpy") or "unknown",
        runtimes={name: _version(package) for name, package in _PACKAGES.items()},
        unreadable=dict(kernel.unread),
    )


def warnings(machine: Machine) -> Iterator[str]:
    """Say what of the machine makes its figures less than they could be."""
    if machine.governor in _SLOW:
        yield (
            f"governor {machine.governor}: it may keep the cores slow (sudo cpupower "
            "frequency-set -g performance); the figures are of the board as it stands"
        )
    if machine.load is not None and machine.load > BUSY * machine.cores:
        yield (
            f"load {machine.load:.1f} on {machine.cores} cores: other programs are at work; trust "
            "the quietest round, and no percentile above the median"
        )


def _board(kernel: Kernel) -> str | None:
    found = kernel.text("board", "sys/firmware/devicetree/base/model", "proc/device-tree/model")
    if found is not None:
        return found
    names = [kernel.text("board", f"sys/class/dmi/id/{n}") for n in ("sys_vendor", "product_name")]
    known = " ".join(name for name in names if name)
    if known:
        kernel.unread.pop("board", None)
    return known or None


def _cpu(kernel: Kernel) -> str | None:
    """Return the model of the cores; of each kind, where there are several."""
    found: dict[str, None] = {}
    for line in (kernel.text("cpu", "proc/cpuinfo") or "").splitlines():
        key, _, value = (word.strip() for word in line.partition(":"))
        if key == "model name" and value:
            found[value] = None
        elif key == "CPU part":
            found[_arm(value)] = None
    if not found:
        kernel.unread["cpu"] = kernel.unread.get("cpu", "not told in /proc/cpuinfo")
        return None
    return " + ".join(found)


def _arm(part: str) -> str:
    try:
        return _ARM_PARTS.get(int(part, 16), f"ARM part {part}")
    except ValueError:
        return f"ARM part {part}"


def _memory_mb(text: str | None) -> float | None:
    words = (text or "").split()
    try:
        return int(words[words.index("MemTotal:") + 1]) / 1000
    except (ValueError, IndexError):
        return None


def _load(text: str | None) -> float | None:
    try:
        return float((text or "").split()[0])
    except (ValueError, IndexError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
