"""What only memory holds, once more where the end of this process does not reach it.

Rows that are gathered and messages that are held are kept from the disk, as it wears. Here they go
to a file in memory of the kernel (tmpfs): a SIGKILL leaves it, a power cut takes it, and no card is
touched. The next start takes over what had neither left nor come to disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edge.spool_records import (
    ALL_GONE,
    GONE,
    MESSAGE,
    ROW,
    ROWS_OUT,
    START,
    Left,
    header,
    message_body,
    read,
    record,
    row_body,
)

if TYPE_CHECKING:
    from edge.outbox_held import Stored
    from edge.spool_records import Row

AREA_BYTES = 1024 * 1024
"""What is pending beyond this is in memory alone."""
TIDY_BYTES = 16 * 1024
"""So much longer than what is pending the log grows before it begins anew."""
_MEMORY = Path("/dev/shm")  # noqa: S108 (what is found there is taken only if it is ours alone)
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def spool_path(data_dir: Path) -> Path | None:
    """Return where the spool of a gateway is; None where no memory that outlives it is to be had.

    systemd's folder comes first: of /dev/shm it takes away what a service leaves (RemoveIPC).
    """
    name = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:16]
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given and os.access(given, os.W_OK | os.X_OK):
        return Path(given) / f"spool-{name}"
    if os.access(_MEMORY, os.W_OK | os.X_OK) and os.path.ismount(_MEMORY):
        return _MEMORY / f"talus-{os.geteuid()}-{name}"
    return None


class Spool:
    """The spool of one gateway, without a path of none. For one thread; never raises."""

    def __init__(self, path: Path | None = None) -> None:
        self.left = Left()
        self.note = ""
        """Why nothing is kept for the next start, or was not to be had from it; "": all is well."""
        self._path = path
        self._file = -1
        self._generation = self._start = self._end = 0
        self._held: dict[int, bytes] = {}
        self._rows: list[bytes] = []
        self._fresh: list[Row] = []
        self._pending_bytes = 0
        self._news: list[tuple[int, int, bytes]] = []
        self._wanted = False
        self._boot = b""
        if path is not None:
            try:
                self._open(path)
            except (OSError, ValueError, struct.error) as error:  # begun anew at the first `begin`
                self.note = f"{path}: nothing taken over from it: {error}"

    def _open(self, path: Path) -> None:
        self._boot = _BOOT.read_bytes()[:36]
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        found = os.fstat(file)
        ours = found.st_uid == os.geteuid() and found.st_nlink == 1 and stat.S_ISREG(found.st_mode)
        if not ours or found.st_mode & 0o077:
            os.close(file)
            self.note = (
                f"{path}: not a file of ours alone: what is gathered does not outlive a kill"
            )
            return
        self._file = file
        content = os.pread(file, START[1] + AREA_BYTES, 0)
        self._generation, self._start, self.left = read(content, self._boot)

    def take_left(self) -> Left:
        """Give what an earlier run has left, once."""
        left, self.left = self.left, Left()
        return left

    def gathered(self, rows: list[Row]) -> None:
        """Take the rows of a reading that are gathered."""
        if self._file >= 0:
            self._fresh += rows

    def rows_out(self) -> None:
        """Take that all that was gathered is in messages now."""
        self._fresh.clear()
        if self._rows:
            self._pending_bytes -= sum(map(len, self._rows))
            self._rows.clear()
            self._add(ROWS_OUT)

    def message(self, stored: Stored) -> None:
        """Take a message that is held; what is retained is said again at the next start anyway."""
        if self._file >= 0 and not stored.message.retain:
            body = self._held[stored.id] = message_body(stored)
            self._pending_bytes += len(body)
            self._add(MESSAGE, stored.id, body)

    def gone(self, each: int) -> None:
        """Take that a message has left. That may be written later: it would come with its id."""
        body = self._held.pop(each, None)
        if body is not None:
            self._pending_bytes -= len(body)
            self._news.append((GONE, each, b""))

    def all_gone(self) -> None:
        """Take that all that was held goes to disk, before anything else is committed."""
        if self._held:
            self._pending_bytes -= sum(map(len, self._held.values()))
            self._held.clear()
            self._add(ALL_GONE)

    def _add(self, kind: int, key: int = 0, body: bytes = b"") -> None:
        self._news.append((kind, key, body))
        self._wanted = True

    def commit(self) -> None:
        """Write what came since the last time, in one piece."""
        if self._file < 0:
            return
        for row in self._fresh:
            body = row_body(row)
            self._rows.append(body)
            self._pending_bytes += len(body)
            self._add(ROW, 0, body)
        self._fresh.clear()
        if self._end - self._start > TIDY_BYTES + 2 * self._pending_bytes:
            self.begin()
        elif self._wanted:
            if not self._append(self._news):
                self.begin()
            self._news.clear()
        self._wanted = False

    def begin(self) -> None:
        """Begin the log anew with what is pending, beside the old one, which stands until then.

        Where there is no room for it the old one stands: what comes now has no second place.
        """
        if self._file < 0 or self._pending_bytes > AREA_BYTES:
            return
        before = self._generation, self._start, self._end
        self._generation = (self._generation + 1) % 2**32
        self._start = self._end = START[self._start == START[0]]
        pending = [(MESSAGE, each, body) for each, body in self._held.items()]
        pending += [(ROW, 0, body) for body in self._rows]
        if self._append(pending) and self._write(
            header(self._boot, self._generation, self._start), 0
        ):
            self._news.clear()
        else:
            self._generation, self._start, self._end = before

    def _append(self, records: list[tuple[int, int, bytes]]) -> bool:
        """Write records behind the others; whether all of them are there."""
        data = b"".join([record(self._generation, *each) for each in records])
        if self._end + len(data) > self._start + AREA_BYTES or not self._write(data, self._end):
            return False
        self._end += len(data)
        return True

    def _write(self, data: bytes, at: int) -> bool:
        try:
            return os.pwrite(self._file, data, at) == len(data)
        except OSError:
            return False

    def close(self) -> None:
        """Take that nothing is in memory alone any more."""
        if self._file >= 0 and self._path is not None:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
