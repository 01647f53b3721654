"""The files by which the kernel and the system tell of themselves, below any folder.

The doctor looks at / ; a mounted card, or a tree made for a test, is looked at below its own root.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

MAX_BYTES = 256 * 1024
PROGRAM_S = 10.0
"""No program that is asked may keep the doctor for longer."""


class Root:
    """A root folder. Nothing here raises: what cannot be read is not there."""

    def __init__(self, path: Path = Path("/")) -> None:
        self.path = path

    @property
    def is_live(self) -> bool:
        """Whether it is the system that runs this program."""
        return self.path == Path("/")

    def text(self, name: str | Path) -> str | None:
        """Return what a file says, without the blanks around it; None where nothing can be read."""
        try:
            with (self.path / name).open("rb") as file:
                return file.read(MAX_BYTES).decode("utf-8", "replace").strip()
        except (OSError, ValueError):
            return None

    def number(self, name: str | Path, base: int = 10) -> int | None:
        """Return the whole number that a file begins with; None where there is none."""
        words = (self.text(name) or "").split()
        try:
            return int(words[0], base)
        except (IndexError, ValueError):
            return None

    def pairs(self, name: str | Path) -> dict[str, int]:
        """Return the lines ``name: number ...`` or ``name number`` of a file."""
        found = {}
        for line in (self.text(name) or "").splitlines():
            words = line.replace(":", " ").split()
            if len(words) > 1 and words[1].lstrip("-").isdecimal():
                found[words[0]] = int(words[1])
        return found

    def glob(self, pattern: str) -> list[Path]:
        """Return what matches, in order, as paths below this root."""
        try:
            return [path.relative_to(self.path) for path in sorted(self.path.glob(pattern))]
        except OSError:
            return []

    def exists(self, name: str | Path) -> bool:
        """Whether there is such a file or folder."""
        try:
            return (self.path / name).exists()
        except OSError:
            return False

    def ask(self, program: str, *words: str) -> str | None:
        """Run a program of this root; what it prints, None where it is absent, fails or hangs."""
        path = shutil.which(program) if self.is_live else self._program(program)
        if path is None:
            return None
        try:
            done = subprocess.run(
                [path, *words], capture_output=True, timeout=PROGRAM_S, check=False,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        if done.returncode:
            return None
        return done.stdout[:MAX_BYTES].decode("utf-8", "replace").strip()

    def _program(self, program: str) -> str | None:
        path = self.path / "usr/bin" / program
        return str(path) if path.is_file() else None
