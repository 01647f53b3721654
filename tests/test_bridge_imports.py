"""What importing the bridge loads, and what its pure modules may not import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import firmware_bridge

ROOT = Path(firmware_bridge.__file__).parent
SHELL = {
    "port.py", "devices.py", "simulator.py", "sim_pty.py", "sim_instruments.py",
    "flash.py", "flash_work.py", "update_journal.py", "update_node.py", "update_programs.py",
    "update_sim_file.py", "update_smp.py",
}  # fmt: skip
FORBIDDEN = {"serial", "socket", "time", "threading", "logging", "asyncio", "sqlite3", "select"}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").split(".")[0])
    return names


def test_pure_modules_import_no_io_and_no_clock() -> None:
    pure = [path for path in ROOT.rglob("*.py") if path.name not in SHELL]
    assert len(pure) > 10
    for path in pure:
        assert not imported(path) & FORBIDDEN, path


def test_only_the_port_and_the_finding_of_it_import_pyserial() -> None:
    using = sorted(path.name for path in ROOT.rglob("*.py") if "serial" in imported(path))
    assert using == ["devices.py", "port.py"]


def test_importing_the_bridge_is_light() -> None:
    code = (
        "import sys, firmware_bridge, firmware_bridge.drivers.tw1, firmware_bridge.drivers.lines\n"
        "print(*(m for m in ('serial', 'numpy', 'socket', 'threading') if m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT.parent,
    )
    assert done.stdout.split() == []
