"""Gaps in a node's samples: asked for again, and filled in order.

While a gap may still be filled, what came after it is held, so that what leaves here is in order;
for `HOLD_MS` at most, as an alarm cannot wait for history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from firmware_bridge.commands import MAX_RESEND, Span

if TYPE_CHECKING:
    from firmware_bridge.reading import Dropped, Reading

HOLD_MS = 2_000
HOLD_SAMPLES = 512
AGAIN_MS = 400
"""So long after a node promised samples, those that did not come are asked for once more."""

_WRAP = 1 << 32
_HALF = 1 << 31


class Filling:
    """What is missing of one node's samples, and what waits for it."""

    __slots__ = ("_again_ms", "_held", "_missing", "_next", "_until_ms", "asked")

    def __init__(self) -> None:
        self._next: int | None = None
        """The index that is to leave next, while something is held."""
        self._held: dict[int, Reading | Dropped | None] = {}
        self._missing: dict[int, bool] = {}  # index -> asked for
        self._until_ms: int | None = None
        self._again_ms: int | None = None  # when what was promised and did not come is lost too
        self.asked: Span | None = None

    @property
    def waiting(self) -> bool:
        """Whether anything is held."""
        return self._next is not None

    def due_ms(self) -> int | None:
        """When what is held leaves, whatever is still missing, or is asked for once more."""
        if self._again_ms is None or self._until_ms is None:
            return self._until_ms
        return min(self._until_ms, self._again_ms)

    def begin(self, index: int, ahead: int, now_ms: int) -> bool:
        """Note that ``index`` came ``ahead`` (> 1) after the last; False if too much is missing."""
        absent = ahead - 1
        if absent + len(self._missing) > MAX_RESEND:
            return False
        first = (index - absent) % _WRAP
        if self._next is None:
            self._next = first
            self._until_ms = now_ms + HOLD_MS
        for k in range(absent):
            self._missing[(first + k) % _WRAP] = False
        return True

    def ask(self, now_ms: int) -> Span | None:
        """Give the first run of missing samples not asked for, or promised and lost once more."""
        if self._again_ms is not None and not now_ms < self._again_ms <= now_ms + AGAIN_MS:
            self._again_ms = None
            self._missing = dict.fromkeys(self._missing, False)
        run: list[int] = []
        for index, asked in self._missing.items():
            if asked:
                continue
            if run and index != (run[-1] + 1) % _WRAP:
                break
            run.append(index)
        if not run:
            return None
        for index in run:
            self._missing[index] = True
        self.asked = Span(run[0], run[-1])
        return self.asked

    def gone(self, asked: Span, given: Span | None, now_ms: int) -> None:
        """Note that of the samples asked for only those ``given`` will come."""
        self._again_ms = None if given is None else now_ms + AGAIN_MS
        for k in range(asked.count):
            index = (asked.first + k) % _WRAP
            if given is None or (index - given.first) % _WRAP >= given.count:
                self._missing.pop(index, None)

    def take(self, index: int, item: Reading | Dropped | None) -> bool:
        """Hold what came (None: it gave nothing), while waiting; False: let it pass at once."""
        if self._next is None or (index - self._next) % _WRAP >= _HALF or index in self._held:
            return False  # in _held: a node that restarted counts these again
        self._missing.pop(index, None)
        self._held[index] = item
        return True

    def release(self, now_ms: int) -> list[Reading | Dropped]:
        """Give in order what need not wait any longer."""
        if self._next is None:
            return []
        over = self._until_ms is not None and not (
            now_ms < self._until_ms <= now_ms + HOLD_MS  # or our clock was set back
        )
        if over or len(self._held) > HOLD_SAMPLES:
            return self.give_up()
        found: list[Reading | Dropped] = []
        while self._held and self._next not in self._missing:
            if self._next in self._held:
                item = self._held.pop(self._next)
                if item is not None:
                    found.append(item)
                self._next = (self._next + 1) % _WRAP
            else:  # not step by step: a node that lost its count is up to 2**31 ahead
                self._next = self._after(self._next)
        if not self._held:
            self.reset()
        return found

    def _after(self, index: int) -> int:
        """Give the next index that is held or missing."""
        return min((*self._held, *self._missing), key=lambda each: (each - index) % _WRAP)

    def give_up(self) -> list[Reading | Dropped]:
        """Give all that is held, in order, and wait no longer."""
        first = self._next or 0
        order = sorted(self._held, key=lambda index: (index - first) % _WRAP)
        found = [item for index in order if (item := self._held[index]) is not None]
        self.reset()
        return found

    def shift(self, step_ms: int) -> None:
        """Note that our own clock was set by so much."""
        if self._until_ms is not None:
            self._until_ms += step_ms
        if self._again_ms is not None:
            self._again_ms += step_ms

    def reset(self) -> None:
        """Forget everything: nothing is held and nothing awaited."""
        self._next = None
        self._held.clear()
        self._missing.clear()
        self._until_ms = self._again_ms = None
        self.asked = None
