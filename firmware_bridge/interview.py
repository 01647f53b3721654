"""What is asked of a TW1 node until its layout is known: HELLO, then DESCRIBE 0..n-1."""

from __future__ import annotations

from collections import deque

from firmware_bridge.framing import ACK_REQ, VERSION, Frame
from firmware_bridge.layout import Layout
from firmware_bridge.messages import DESCRIBE, HELLO, Description, Hello, Malformed

FIRST_WAIT_MS = 250
"""Wait for an answer before the question is put again; doubled at each silence."""
MAX_WAIT_MS = 5_000
RECHECK_MS = 10_000
"""Least time between two questions for HELLO that doubt, not a boot, gives rise to."""

_SEQ_WRAP = 1 << 16


class Interview:
    """The state of one node's interview. Time is an argument; answers may come unasked.

    The layout in use stays until a HELLO states another schema, so one stray frame costs nothing.
    """

    __slots__ = (
        "_answered_ms",
        "_described",
        "_due_ms",
        "_need_hello",
        "_seq",
        "_uids",
        "_wait_ms",
        "hello",
        "layout",
    )

    def __init__(self) -> None:
        self.hello: Hello | None = None
        self.layout: Layout | None = None
        self._described: dict[int, Description] = {}
        self._need_hello = True
        self._answered_ms: int | None = None
        self._due_ms: int | None = None  # None: at once
        self._wait_ms = FIRST_WAIT_MS
        self._seq = 0
        self._uids: deque[bytes] = deque(maxlen=4)

    def opened(self) -> None:
        """Ask anew who is there: it may be another node."""
        self._uids.clear()
        self.begin()

    def begin(self) -> None:
        """Ask anew who is there: the node has started anew."""
        self._need_hello = True
        self._at_once()

    def doubt(self) -> None:
        """Ask again who is there, but not too often: a sample did not fit what we know."""
        if self._need_hello:
            return
        self._need_hello = True
        self._at_once()
        if self._answered_ms is not None:
            self._due_ms = self._answered_ms + RECHECK_MS

    def expects(self, schema: int) -> bool:
        """Say whether this very layout is being asked for; its samples meanwhile are no doubt.

        Without this a busy node would never be understood by a gateway that starts late.
        """
        asked = self.hello is not None and not self._need_hello and self.layout is None
        return asked and self.hello is not None and self.hello.schema == schema

    def take_hello(self, hello: Hello, now_ms: int) -> Malformed | None:
        """Take a HELLO, asked for or not; `Malformed` if several nodes speak on this line."""
        before, self.hello = self.hello, hello
        self._need_hello = False
        self._answered_ms = now_ms
        self._at_once()
        if self.layout is not None and self.layout.schema != hello.schema:
            self.layout = None
            self._described.clear()
        return self._several(before, hello)

    def _several(self, before: Hello | None, hello: Hello) -> Malformed | None:
        """Say so if a node that another had taken the place of is back: both are on the line."""
        back = before is not None and before.uid != hello.uid and hello.uid in self._uids
        self._uids.append(hello.uid)
        if not back:
            return None
        uids = " and ".join(sorted({uid.hex() for uid in self._uids}))
        return Malformed(f"nodes {uids} speak on one line: a port has one TW1 node")

    def take_description(self, description: Description, now_ms: int) -> Malformed | None:
        """Take a DESCRIBE answer; `Malformed` if, all taken together, they make no layout."""
        if self.layout is not None:
            return None  # the answer to a question put twice
        if any(each.count != description.count for each in self._described.values()):
            self._described.clear()
        self._described[description.index] = description
        self._at_once()
        if len(self._described) < description.count:
            return None
        return self._settle(now_ms)

    def _settle(self, now_ms: int) -> Malformed | None:
        try:
            layout = Layout.shared([self._described[i] for i in range(len(self._described))])
        except ValueError as error:
            return self._start_over(str(error), now_ms)
        if self.hello is not None and self.hello.schema != layout.schema:
            detail = f"HELLO states schema {self.hello.schema:04x}, DESCRIBE {layout.schema:04x}"
            return self._start_over(detail, now_ms)
        self.layout = layout
        self._described.clear()
        return None

    def _start_over(self, detail: str, now_ms: int) -> Malformed:
        # Not at once: a node that contradicts itself would keep the line busy for ever.
        self._described.clear()
        self._need_hello = True
        self._wait_ms = MAX_WAIT_MS
        self._due_ms = now_ms + MAX_WAIT_MS
        return Malformed(detail)

    def _at_once(self) -> None:
        self._due_ms = None
        self._wait_ms = FIRST_WAIT_MS

    def due_ms(self, now_ms: int) -> int | None:
        """Say when `next_question` has something to do; None for never."""
        if not self._need_hello and self.layout is not None:
            return None
        return now_ms if self._due_ms is None else self._due_ms

    def next_question(self, now_ms: int) -> Frame | None:
        """Give the question to put now; None if there is none, or its answer is awaited."""
        if not self._need_hello and self.layout is not None:
            return None
        if self._due_ms is not None:
            if now_ms < self._due_ms <= now_ms + RECHECK_MS + MAX_WAIT_MS:
                return None  # a due time further off than any wait: our clock was set back
            if now_ms < self._due_ms:
                self._wait_ms = FIRST_WAIT_MS
        self._due_ms = now_ms + self._wait_ms
        self._wait_ms = min(2 * self._wait_ms, MAX_WAIT_MS)
        self._seq = (self._seq + 1) % _SEQ_WRAP
        if self._need_hello:
            return Frame(VERSION, ACK_REQ, HELLO, self._seq, 0, b"")
        index = next(i for i in range(len(self._described) + 1) if i not in self._described)
        return Frame(VERSION, ACK_REQ, DESCRIBE, self._seq, 0, bytes((index,)))
