"""The bench as it is called, a board made of files, and what the kernel may refuse to tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = ("--runtime", "litert", "--precision", "float32", "--core", "any")
"""One way, on any core: tests that run at once would else all crowd on the last."""
QUICK = (*ONE, "--count", "20", "--no-start")
BRIEF = (*ONE, "--rate", "400", "--seconds", "0.05")
COMMAND = [sys.executable, "-m", "edge", "bench"]


def bench(out: Path, *arguments: object) -> dict[str, Any]:
    """Run it to its end; what it writes."""
    assert main(["bench", *map(str, arguments), "--json", str(out)]) == 0
    return json.loads(out.read_text())


def begin(*arguments: object) -> subprocess.Popen[str]:
    """Begin it in a process of its own."""
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], sign: Callable[[str], bool]) -> list[str]:
    """Read lines until one is the sign."""
    lines = []
    for line in process.stdout or ():
        lines.append(line)
        if sign(line):
            return lines
    raise AssertionError("".join(lines) + (process.stderr.read() if process.stderr else ""))


def board(root: Path) -> Path:
    """A Raspberry Pi of files, warm and in a battery-saving governor, with an energy counter."""
    files = {
        "proc/cpuinfo": "processor\t: 0\nCPU part\t: 0xd03\n\nprocessor\t: 1\nCPU part\t: 0xd08\n",
        "proc/meminfo": "MemTotal:        3884000 kB\nMemFree: 1 kB\n",
        "proc/loadavg": "0.10 0.20 0.30 1/100 999\n",
        "sys/firmware/devicetree/base/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
        "sys/class/thermal/thermal_zone0/temp": "61350\n",
        "sys/class/thermal/thermal_zone1/temp": "0\n",
        "sys/class/powercap/intel-rapl:0/name": "package-0\n",
        "sys/class/powercap/intel-rapl:0/energy_uj": "9000000\n",
        "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "10000000\n",
        "sys/class/powercap/intel-rapl:0:0/name": "core\n",
        "sys/class/powercap/intel-rapl:0:0/energy_uj": "1\n",
    }
    for core in range(os.cpu_count() or 1):
        cpufreq = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        files |= {
            f"{cpufreq}/scaling_governor": "powersave\n",
            f"{cpufreq}/scaling_cur_freq": "1500000\n",
            f"{cpufreq}/cpuinfo_max_freq": "1800000\n",
        }
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def as_nobody(what: Callable[[], str]) -> str:
    """Run it as a user for whom the files of root may be closed; its answer."""
    if os.geteuid():
        return what()
    read, write = os.pipe()
    if not (child := os.fork()):  # the interpreter may be root's alone: no program can be started
        try:
            os.setuid(65534)
            os.write(write, what().encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as file:
        return file.read()
