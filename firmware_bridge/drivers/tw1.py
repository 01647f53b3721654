"""The TW1 driver: a node that describes itself, numbers its samples and checks its frames."""

from __future__ import annotations

from collections import Counter, deque

from firmware_bridge.asking import Answer, Asking
from firmware_bridge.commands import (
    ENTER_UPDATE,
    GET_SET,
    PING,
    REBOOT,
    RESEND,
    SYNC,
    Refusal,
    Setting,
    Span,
    decode_span,
    reboot_request,
    update_request,
)
from firmware_bridge.framing import (
    ACK_REQ,
    DAMAGE,
    ERROR,
    FRAME_COST,
    RESERVED,
    RESPONSE,
    BadFrame,
    Frame,
    FrameDecoder,
    encode,
)
from firmware_bridge.interview import Interview
from firmware_bridge.link import ClockMap
from firmware_bridge.messages import (
    DATA,
    DATA_BATCH,
    DESCRIBE,
    HELLO,
    STATS,
    Description,
    Hello,
    Malformed,
    Stats,
    decode_description,
    decode_hello,
    decode_stats,
)
from firmware_bridge.reading import Channel, Dropped, LinkHealth, Reading
from firmware_bridge.samples import Samples
from firmware_bridge.sync import Syncing

_RESEND_TRIES = 3
MAX_ANSWERS = 64
"""Answers kept for who asked; the oldest go."""


class Tw1Driver:
    """One TW1 node on one port; see `reading.Driver`.

    `clock` is "sync" for real nodes, "arrival" for those without SYNC, "node" for simulators that
    run faster than time; see `link.ClockMap`, also for `epoch_ms`.
    """

    def __init__(self, source: str, clock: str = "sync", epoch_ms: int | None = None) -> None:
        self.source = source
        self._decoder = FrameDecoder()
        self._interview = Interview()
        self._asking = Asking()
        times = ClockMap(clock, epoch_ms)
        self._syncing = None if times.sync is None else Syncing(times.sync)
        self._samples = Samples(source, self._interview, times, self._drop)
        self._stats: Stats | None = None
        self._frames_ok = 0
        self._dropped: Counter[str] = Counter()
        self._ignored: Counter[str] = Counter()
        self._answers: deque[Answer] = deque(maxlen=MAX_ANSWERS)
        self._resend: tuple[int, Span] | None = None
        self._cut_short = 0  # bytes of the half frame held when the port was opened anew

    @property
    def layout(self) -> tuple[Channel, ...] | None:
        """The channels as the node describes them; None until it has."""
        layout = self._interview.layout
        return None if layout is None else layout.channels

    @property
    def hello(self) -> Hello | None:
        """Who the node says it is; None until it has."""
        return self._interview.hello

    def opened(self, now_ms: int) -> None:
        """Forget the half frame and ask anew who is there; what is known stays until then."""
        self._cut_short = self._decoder.reset() or self._cut_short
        self._interview.opened()
        self._asking.again()
        if self._syncing is not None:
            self._syncing.begin()

    def shift(self, step_ms: int) -> None:
        """Take over that our own clock was set: node times are mapped to the new one at once."""
        self._samples.shift(step_ms)

    # What is asked of the node

    def ping(self, payload: bytes = b"") -> int | None:
        """Ask the node to give these bytes back; gives a ticket, as do the others."""
        return self._asking.put(PING, payload)

    def get(self, key: int) -> int | None:
        """Ask for a setting."""
        return self._asking.put(GET_SET, Setting(key, None).encode())

    def set(self, key: int, value: int) -> int | None:
        """Set a setting."""
        return self._asking.put(GET_SET, Setting(key, value, written=True).encode())

    def reboot(self) -> int | None:
        """Restart the node, once; None before it has said who it is."""
        hello = self.hello
        return None if hello is None else self._asking.put(REBOOT, reboot_request(hello.boot_id))

    def enter_update(self) -> int | None:
        """Send the node into its boot loader; None before it has said who it is."""
        hello = self.hello
        if hello is None:
            return None
        return self._asking.put(ENTER_UPDATE, update_request(hello.boot_id))

    def answers(self) -> list[Answer]:
        """Give what became of commands since this was last called."""
        found = list(self._answers)
        self._answers.clear()
        return found

    def due_ms(self, now_ms: int) -> int | None:
        """Say when a question, a retry or the end of a wait for lost samples is due."""
        syncing = self._syncing if self._interview.hello is not None else None
        dues = (
            self._interview.due_ms(now_ms),
            self._asking.due_ms(now_ms),
            self._samples.filling.due_ms(),
            None if syncing is None else syncing.due_ms(now_ms),
        )
        return min((due for due in dues if due is not None), default=None)

    def write_next(self, now_ms: int) -> bytes:
        """Give the next question for the node; b"" if there is none."""
        question = self._interview.next_question(now_ms)
        if question is not None:
            return encode(question)
        if self._interview.hello is None:
            return b""
        if self._resend is None and self._samples.filling.waiting:
            self._ask_for_lost(now_ms)
        asked = self._asking.next_frame(now_ms)
        if isinstance(asked, Answer):
            self._take_answer(asked, now_ms)
            asked = None
        if asked is None and self._syncing is not None:
            asked = self._syncing.next_frame(now_ms)
        return b"" if asked is None else encode(asked)

    def _ask_for_lost(self, now_ms: int) -> None:
        span = self._samples.filling.ask(now_ms)
        if span is None:
            return
        ticket = self._asking.put(RESEND, span.encode(), _RESEND_TRIES)
        if ticket is not None:
            self._resend = ticket, span

    # What comes from the node

    def receive(self, data: bytes, now_ms: int) -> list[Reading | Dropped]:
        """Take any bytes at all; never raises."""
        found: list[Reading | Dropped] = []
        if self._cut_short:
            found.append(self._drop("truncated", "the port vanished", now_ms, self._cut_short))
            self._cut_short = 0
        for item in self._decoder.receive(data):
            if isinstance(item, BadFrame):
                found.append(self._drop(item.reason, DAMAGE[item.reason], now_ms, item.size))
                continue
            self._frames_ok += 1
            before = self._interview.layout
            found += self._take(item, now_ms)
            found += self._samples.release(before)
        if self._samples.filling.waiting:
            found += self._samples.filling.release(now_ms)
        return found

    def _take(self, frame: Frame, now_ms: int) -> list[Reading | Dropped]:
        flags = frame.flags
        if flags & (ACK_REQ | RESERVED):
            if flags & ACK_REQ:
                self._ignored["echo"] += 1  # our own question: RS-485 adapters repeat it
                return []
            self._ignored["flag"] += 1
        if frame.type in (DATA, DATA_BATCH) and not flags & ERROR:
            self._note_boot(frame.boot)
            return self._samples.take(frame.type, frame.payload, now_ms)
        dropped = self._take_other(frame, now_ms)
        return [] if dropped is None else [dropped]

    def _take_other(self, frame: Frame, now_ms: int) -> Dropped | None:
        message: Hello | Description | Stats | Malformed | None = None
        if frame.flags & RESPONSE and frame.type not in (HELLO, DESCRIBE):
            message = self._take_response(frame, now_ms)
        elif frame.flags & ERROR:
            self._ignored["error"] += 1
        elif frame.type == HELLO:
            message = decode_hello(frame.payload)
        elif frame.type == DESCRIBE:
            message = decode_description(frame.payload)
        elif frame.type == STATS:
            message = decode_stats(frame.payload)
        else:
            self._ignored["type"] += 1
        if message is not None and not isinstance(message, Malformed):
            self._note_boot(frame.boot)
            message = self._take_message(message, now_ms)
        if message is None:
            return None
        return self._drop("message", message.detail, now_ms, len(frame.payload) + FRAME_COST)

    def _take_response(self, frame: Frame, now_ms: int) -> Malformed | None:
        if frame.type == SYNC and self._syncing is not None:
            return self._syncing.take(frame, now_ms)
        answer = self._asking.take(frame)
        if answer is None:
            self._ignored["answer"] += 1  # of a question put twice
            return None
        return self._take_answer(answer, now_ms)

    def _take_answer(self, answer: Answer, now_ms: int) -> Malformed | None:
        if self._resend is None or answer.ticket != self._resend[0]:
            self._answers.append(answer)
            return None
        span, self._resend = self._resend[1], None
        given = None if answer.refused else decode_span(answer.payload)
        if answer.code == Refusal.UNKNOWN:
            self._samples.fillable = False
        malformed = given if isinstance(given, Malformed) else None
        self._samples.filling.gone(span, given if isinstance(given, Span) else None, now_ms)
        return malformed

    def _take_message(self, message: Hello | Description | Stats, now_ms: int) -> Malformed | None:
        if isinstance(message, Description):
            return self._interview.take_description(message, now_ms)
        if isinstance(message, Stats):
            self._stats = message
            return None
        if self._samples.ledger.note_boot_id(message.boot_id):
            self._restarted()
        return self._interview.take_hello(message, now_ms)

    def _note_boot(self, boot: int) -> None:
        if self._samples.ledger.note_boot(boot):
            self._restarted()
            self._interview.begin()

    def _restarted(self) -> None:
        self._samples.clock.restarted()
        self._samples.fillable = True  # it may be new firmware
        if self._syncing is not None:
            self._syncing.begin()

    def _drop(self, reason: str, detail: str, now_ms: int, size: int) -> Dropped:
        self._dropped[reason] += 1
        return Dropped(self.source, reason, detail, now_ms, size)

    def health(self) -> LinkHealth:
        """Give the counters so far."""
        hello, stats, samples = self._interview.hello, self._stats, self._samples
        return LinkHealth(
            source=self.source,
            frames_ok=self._frames_ok,
            dropped=tuple(sorted(self._dropped.items())),
            values_rejected=tuple(sorted(samples.rejected.items())),
            gaps=samples.ledger.gaps,
            duplicates=samples.ledger.duplicates,
            reboots=samples.ledger.reboots,
            battery_mv=stats.battery_mv if stats is not None and stats.battery_mv else None,
            node_uid=None if hello is None else hello.uid.hex(),
            firmware=None if hello is None else ".".join(map(str, hello.firmware)),
            ignored=tuple(sorted(self._ignored.items())),
            uncertainty_ms=samples.clock.uncertainty_ms,
            clock_jumps=0 if samples.clock.sync is None else samples.clock.sync.jumps,
        )
