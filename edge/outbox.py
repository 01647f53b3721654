"""Store and forward: an alarm is on disk before ``put`` returns, and so before it is on the air.

Telemetry and health are in memory for HOLD_MS: what the broker has acknowledged by then never
costs a write, the rest goes to disk in one transaction (SQLite, WAL, synchronous=FULL).

A full disk first costs telemetry ("disk_full"), then the reserve file, and an alarm only then
waits in memory. A damaged file costs what cannot be read of it ("outbox_damaged"). What the
bounds cost stands in edge/outbox_bounds.py; it is never an alarm.
"""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, TypeAlias

from edge.database import is_broken
from edge.disk_use import DiskUse
from edge.message import ALARM, TELEMETRY, Message
from edge.outbox_bounds import Bounds
from edge.outbox_held import HOLD_MS, Held, Stored
from edge.outbox_open import first_store, new_store, store
from edge.outbox_reserve import Reserve
from edge.outbox_unsaved import Unsaved
from edge.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from edge.outbox_store import Store

__all__ = ["Outbox", "Stored"]

State: TypeAlias = bytes


class Outbox:
    """The outbox of one gateway, for one thread. Counters are since the program started."""

    def __init__(
        self, folder: Path, max_bytes: int, max_days: int = 30,
        clock: Callable[[], float] = time.monotonic, spool: Spool | None = None,
    ) -> None:  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / "outbox.db"
        self._clock = clock
        self._began_s = clock()
        self.notes: list[str] = []
        self.quarantined = ""
        """Damage that is not told yet; an alarm is raised about it."""
        self.disk = DiskUse(clock)
        self._bounds = Bounds(max_bytes, max_days, self.note)
        self.lost = self._bounds.lost
        """Readings given up, by reason."""
        self._reserve = Reserve(folder / "reserve", self.note)
        self._unsaved = Unsaved()
        self.spool = spool or Spool()
        self._held = Held(spool)
        self._out: frozenset[int] = frozenset()  # on the air: left alone by the bounds
        self._owed = 0  # readings delivered that no done() has returned yet
        self._parts = self.path, self.disk, self._reserve
        self._store = self._opened(*first_store(*self._parts))
        self._base_ms, self._last_id = self._store.newest_ms, self._store.last_id
        self._reserve.refill()
        self._take_over(self.spool.left.messages)

    def _take_over(self, left: list[Stored]) -> None:
        """Store what an earlier run was killed over, but for what had come to disk."""
        self._last_id = max((self._last_id, *(stored.id for stored in left)))
        self._base_ms = max((self._base_ms, *(stored.put_ms for stored in left)))
        new: list[Stored] = []
        known = self._try(lambda: new.extend(self._store.without_saved(left)))
        for stored in new if known else left:
            self._held.add(stored)
        self.notes += filter(None, [self.spool.note])

    def _opened(self, store: Store, damage: str) -> Store:
        if damage:
            self.quarantined = damage
            self.note(damage)
        return store

    @property
    def dropped_messages(self) -> int:
        """Messages given up."""
        return self._bounds.dropped_messages

    @property
    def bytes(self) -> int:
        """Bytes of all messages that wait, as they are stored."""
        return self._store.bytes + self._held.bytes

    @property
    def rows(self) -> int:
        """Readings that wait."""
        return self._store.rows + self._held.rows + self._owed

    @property
    def messages(self) -> int:
        """Messages that wait, but for alarms that no disk takes."""
        return self._store.messages + len(self._held)

    @property
    def unsaved(self) -> int:
        """Alarms that wait in memory because the disk takes nothing."""
        return len(self._unsaved)

    @property
    def lost_alarms(self) -> int:
        """Alarms for which there was not even memory."""
        return self._unsaved.lost

    def _now_ms(self) -> int:
        """How long this outbox has run, over all starts."""
        return self._base_ms + round((self._clock() - self._began_s) * 1000)

    def age_ms(self, stored: Stored) -> int:
        """How long a message has waited here; time without power does not count."""
        return max(0, self._now_ms() - stored.put_ms)

    def put(self, messages: Iterable[Message], state: dict[str, State] | None = None) -> bool:
        """Take messages and state; False if the disk did not take all.

        Alarms and state are on disk when this returns, in one transaction. A retained message
        takes the place of one that still waits under its topic. A disk without room for the
        reserve is left to alarms.
        """
        direct: list[Stored] = []
        taken = True
        now_ms = self._now_ms()
        for message in messages:
            self._last_id += 1
            stored = Stored(self._last_id, message, now_ms)
            if message.retain:
                self._held.replace(message.topic)
            if message.priority == ALARM or self._replaces_saved(message, direct):
                direct.append(stored)
            else:
                self._held.add(stored)
        if direct or state:
            taken = self._write(direct, state or {})
        if self._held.full or self.bytes > self._bounds.max_bytes:
            taken = self.flush() and taken
        self._try(lambda: self._bounds.keep(self._store, self._held.bytes, self._out, now_ms))
        return taken

    def _replaces_saved(self, message: Message, direct: list[Stored]) -> bool:
        """Whether a retained message must go to disk, as the one that it replaces is there."""
        if not message.retain:
            return False
        found = [s.message.topic == message.topic for s in direct if s.message.retain]
        self._try(lambda: found.append(self._store.has_retained(message.topic)))
        return any(found)

    def wait_ms(self, hold_ms: int) -> float:
        """Say in how many ms `settle` has something to write down."""
        return self._held.wait_ms(self._now_ms(), hold_ms)

    def settle(self, hold_ms: int = HOLD_MS) -> None:
        """Write down what was held for its time, and keep to the bounds: called at every turn."""
        if self.wait_ms(hold_ms) == 0:
            self.flush()
        self._try(lambda: self._bounds.look(self._store, self._out, self._now_ms()))

    def flush(self) -> bool:
        """Write down what is held; whether the disk took all of it."""
        return not self._held or self._write(self._held.clear(), {})

    def _try(self, what: Callable[[], object]) -> bool:
        """Do something with the store; False, and the error dealt with, where it fails."""
        try:
            what()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            self._failed(error)
            return False
        return True

    def _write(self, wanted: list[Stored], state: dict[str, State]) -> bool:
        """Bring to disk what it takes; what it does not is lost, but for alarms."""
        if self._reserve_stands() and self._save(wanted, state):
            return True
        kept = [s for s in wanted if s.message.priority != TELEMETRY]
        self._bounds.lose_all("disk_full", (s for s in wanted if s.message.priority == TELEMETRY))
        if not (kept or state) or self._save(kept, state):
            return len(kept) == len(wanted)
        alarms = [s for s in kept if s.message.priority == ALARM]
        self._bounds.lose_all("disk_full", (s for s in kept if s.message.priority != ALARM))
        if alarms:
            self._reserve.give()
            if not (self._save(alarms, state) or self._save(alarms, {})):
                self._unsaved.add(alarms)
        return False

    def _reserve_stands(self) -> bool:
        """Whether the reserve is there, or could be filled now."""
        return self._reserve.stands or (not len(self._unsaved) and self._reserve.refill())

    def _save(self, wanted: list[Stored], state: dict[str, State]) -> bool:
        """Store these, after the alarms that wait in memory: their order is kept."""
        rest = self._unsaved
        for _ in range(2):
            if self._try(lambda: self._store.save([*rest.waiting, *wanted], state, rest.left)):
                self._unsaved.clear()
                return True
            self._store.reuse_log()
        return False

    def _failed(self, error: Exception) -> None:
        """Note what the disk says; a file that is damaged now gives way to a new one."""
        self.note(f"{self.path}: {error}")
        if is_broken(error) or self._store.closed:
            rows = self._store.rows
            self._store.close()
            try:
                found = new_store(*self._parts, error) if is_broken(error) else store(*self._parts)
                self._store = self._opened(*found)
            except (sqlite3.Error, OSError) as worse:  # tried again with what comes next
                self.note(f"{self.path}: {worse}")
                return
            self._last_id = max(self._last_id, self._store.last_id)
            self._bounds.lose("outbox_damaged", 0, max(0, rows - self._store.rows))

    def note(self, text: str) -> None:
        """Keep one line for the log; the same line in a row is kept once."""
        if not self.notes or self.notes[-1] != text:
            self.notes.append(text)
            del self.notes[:-20]

    def waiting(self, limit: int, flying: frozenset[int], max_bytes: int) -> list[Stored]:
        """Return what should leave next: alarms before all else, then the oldest.

        At most ``limit`` messages, and no more once they hold ``max_bytes``.
        """
        found = self._held.all()
        if self._store.messages:
            found += self._due_on_disk(limit, flying, max_bytes)
        found += self._unsaved.waiting  # younger than alarms on disk: a state must not be overtaken
        found.sort(key=lambda stored: (stored.message.priority, stored.id))
        chosen: list[Stored] = []
        for stored in (each for each in found if each.id not in flying):
            if len(chosen) >= limit or max_bytes <= 0:
                break
            chosen.append(stored)
            max_bytes -= len(stored.message.payload)
        self._out = flying.union(stored.id for stored in chosen)
        return chosen

    def _due_on_disk(self, limit: int, flying: frozenset[int], most: int) -> list[Stored]:
        read: list[tuple[list[Stored], list[int]]] = []
        self._try(lambda: read.append(self._store.due(limit, flying, most)))
        found, spoilt = read[0] if read else ([], [])  # a disk may give nothing back
        if spoilt and (rows := self._remove(spoilt)) is not None:
            self._bounds.lose("outbox_damaged", len(spoilt), rows)
            self.quarantined = f"{self.path}: {len(spoilt)} messages cannot be read any more"
            self.note(self.quarantined)
        return found

    def done(self, ids: Iterable[int]) -> int | None:
        """Let go of what the broker has acknowledged; returns its readings, None if it cannot."""
        gone = frozenset(ids)
        self._unsaved.done(gone)
        on_disk = [each for each in gone if not self._held.has(each)]
        self._owed += self._held.remove(gone)
        if on_disk and self._store.messages:
            removed = self._remove(on_disk)
            for make_room in (self._store.reuse_log, self._reserve.give):
                if removed is None:  # on a full disk: to delete takes room as well, for a while
                    make_room()
                    removed = self._remove(on_disk)
            if removed is None:
                return None
            self._owed += removed
        rows, self._owed = self._owed, 0
        return rows

    def _remove(self, ids: list[int]) -> int | None:
        removed: list[int] = []
        self._try(lambda: removed.append(self._store.remove(ids)))
        return removed[0] if removed else None

    def mend(self) -> None:
        """Try to save what waits in memory, and to fill the reserve again."""
        if self._unsaved:
            self._save([], {})
        self._reserve_stands()

    def load_state(self, name: str) -> State | None:
        """Return a state stored with ``put``."""
        return self._store.load_state(name)

    def close(self) -> None:
        """Write down what is held, and close the database."""
        self.flush()
        if self._unsaved:
            self._save([], {})
        self._store.close()
        self.spool.close()
