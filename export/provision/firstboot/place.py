"""Where things are at the first boot. All below one root, so that it can be run anywhere."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

STATE = "var/lib/talus-firstboot"
CARD = "talus"
ALLOWED = ("/etc/talus/", "/var/lib/talus/")
"""Below which a card may put files."""
_COMMAND_S = 600.0


class StepError(Exception):
    """What went wrong at a step, and what a person can do about it."""

    def __init__(self, what: str, todo: str, said: str = "") -> None:
        super().__init__(what)
        self.todo = todo
        self.said = said
        """All that a command wrote."""


@dataclass(frozen=True, slots=True)
class Place:
    """The root of the system, and its boot partition."""

    root: Path
    boot: Path

    @property
    def card(self) -> Path:
        """Return the folder that talus-export provision wrote."""
        return self.boot / CARD

    @property
    def state(self) -> Path:
        """Return where is kept what was done; made where there is none."""
        path = self.root / STATE
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path

    def did(self, what: str, card: str) -> bool:
        """Whether something was done for the card of that id, and not for one before it."""
        try:
            return (self.state / what).read_bytes() == card.encode()
        except FileNotFoundError:
            return False

    def note(self, what: str, card: str) -> None:
        """Note that something was done for a card; on the disk when this returns."""
        write(self.state / what, card.encode(), 0o600, None)

    @property
    def is_system(self) -> bool:
        """Whether this is a running system, not a folder."""
        return self.root == Path("/")

    @property
    def has_systemd(self) -> bool:
        """Whether services can be started here."""
        return self.is_system and Path("/run/systemd/system").is_dir()

    def at(self, path: str) -> Path:
        """Return where a whole path of the gateway is."""
        return self.root / path.lstrip("/")

    def target(self, path: str) -> Path:
        """Return where a card's file goes. Raises StepError where it may not go there."""
        if not path.startswith(ALLOWED) or ".." in path.split("/"):
            raise StepError(f"the card wants to write {path}", "write the card again")
        return self.at(path)

    def owner(self, name: str) -> tuple[int, int] | None:
        """Return uid and gid of a user of that root, None where there is none."""
        try:
            lines = self.at("/etc/passwd").read_text(encoding="utf-8").splitlines()
        except OSError:
            return None
        for line in lines:
            fields = line.split(":")
            if fields[0] == name and len(fields) > 3:
                return int(fields[2]), int(fields[3])
        return None


def find_place() -> Place:
    """Return the place told by TALUS_ROOT, or this system. Raises StepError without a card."""
    root = Path(os.environ.get("TALUS_ROOT") or "/")
    for path in ("boot/firmware", "boot"):
        if (root / path / CARD).is_dir():
            return Place(root, root / path)
    raise StepError("no folder talus/ on the boot partition", "write the card again")


def command(*words: str, env: dict[str, str] | None = None) -> str:
    """Run a command, return what it wrote. Raises StepError with the last line it said."""
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL, timeout=_COMMAND_S,
            env={**os.environ, "LC_ALL": "C", **(env or {})},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StepError(f"{words[0]}: {error}", f"is {words[0]} installed?") from error
    if done.returncode:
        said = done.stderr.strip() or done.stdout.strip() or f"ended with {done.returncode}"
        last = said.splitlines()[-1].strip()
        raise StepError(f"{words[0]}: {last}", "see journalctl -u talus-firstboot", said)
    return done.stdout


def write(path: Path, content: bytes, mode: int, owner: tuple[int, int] | None) -> None:
    """Put a file in its place in one step: after a power cut there is the old one or the new."""
    aside = path.with_name(f".{path.name}.new")
    aside.unlink(missing_ok=True)
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file:  # noqa: PTH123  (a descriptor has no path)
        file.write(content)
        if owner is not None and os.geteuid() == 0:
            os.fchown(file.fileno(), *owner)
        os.fchmod(file.fileno(), mode)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    flush(path.parent)


def write_plain(path: Path, content: bytes) -> None:
    """Do the same on the boot partition: FAT knows no owners, and refuses to be told of modes."""
    aside = path.with_name(f"{path.name}.new")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    flush(path.parent)


def overwrite(path: Path, content: bytes) -> None:
    """Put what is shorter where a secret lies, empty lines after it: nowhere is an old copy."""
    size = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        file.write(content.ljust(size, b"\n"))
        os.fsync(file.fileno())


def scrub(path: Path) -> None:
    """Overwrite a secret where it lies, and remove it. Flash may keep an old copy out of reach.

    After a power cut in between, the file is there and holds nothing: note what was taken from it
    before, and never take from it again.
    """
    if not path.exists():
        return
    size = path.stat().st_size
    with path.open("r+b", buffering=0) as file:
        for filling in (os.urandom(size), bytes(size)):
            file.seek(0)
            file.write(filling)
            os.fsync(file.fileno())
    path.unlink()
    flush(path.parent)


def flush(folder: Path) -> None:
    """Have a folder's names on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
