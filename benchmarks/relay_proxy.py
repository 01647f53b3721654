"""A TCP proxy between gateway and broker that forwards, delays, holds back, swallows, and cuts.

One thread for all its connections. ``hold`` keeps bytes for later, as a partition that TCP
outlives; ``swallow`` takes them and gives them to nobody, as a link that died without a word: of
such a connection nothing can be made any more, so ``heal`` resets it.
"""

from __future__ import annotations

import selectors
import socket
import struct
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

READ_BYTES = 65536
MAX_PENDING_BYTES = 1 << 20
"""Bytes of one direction kept for later; beyond, the sender feels it."""
_TICK_S = 0.002
_LOOK_S = 0.01
_IDLE_S = 0.1
_RESET = struct.pack("ii", 1, 0)
UP, DOWN = "up", "down"
"""Gateway to broker, and back."""


@dataclass
class Way:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    pending: deque[tuple[float, bytes]] = field(default_factory=deque)
    bytes: int = 0
    swallowed: int = 0
    passed: int = 0


@dataclass
class Rules:
    """What is done with the bytes of one direction now."""

    delay_s: float = 0.0
    hold: bool = False
    swallow: bool = False


class Proxy:
    """Listens on ``port`` and forwards to ``target`` on the loopback. Use as a context."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.rules = {UP: Rules(), DOWN: Rules()}
        self.accepted = 0
        self._pairs: list[dict[str, Way]] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="proxy")

    @property
    def live(self) -> int:
        """Connections on which the broker has answered."""
        with self._lock:
            return sum(pair[DOWN].passed > 0 for pair in self._pairs)

    @property
    def swallowed(self) -> int:
        """Bytes swallowed on connections that still stand."""
        with self._lock:
            return sum(way.swallowed for pair in self._pairs for way in pair.values())

    def delay(self, delay_s: float) -> None:
        """Delay what comes from now on, both ways."""
        for rules in self.rules.values():
            rules.delay_s = delay_s

    def hold(self, *ways: str) -> None:
        """Hold back what goes these ways."""
        for way in ways:
            self.rules[way].hold = True

    def swallow(self, *ways: str) -> None:
        """Take what goes these ways, and give it to nobody."""
        for way in ways:
            self.rules[way].swallow = True

    def heal(self) -> None:
        """Forward as usual again; connections that lost bytes are reset."""
        with self._lock:
            self.rules = {UP: Rules(), DOWN: Rules()}
            for pair in [p for p in self._pairs if any(way.swallowed for way in p.values())]:
                self._close(pair, reset=True)

    def cut(self) -> int:
        """Reset every connection; returns how many."""
        with self._lock:
            pairs = list(self._pairs)
            for pair in pairs:
                self._close(pair, reset=True)
        return len(pairs)

    def _close(self, pair: dict[str, Way], *, reset: bool) -> None:
        if pair in self._pairs:
            self._pairs.remove(pair)
        for way in pair.values():
            with suppress(OSError):
                if reset:
                    way.source.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                way.source.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            with selectors.DefaultSelector() as selector:
                with self._lock:
                    wait_s = self._register(selector)
                ready: set[object] = {key.fileobj for key, _ in selector.select(wait_s)}
            with self._lock:
                self._turn(ready)

    def _register(self, selector: selectors.BaseSelector) -> float:
        """Register what is to be read; returns how long may be waited for it."""
        selector.register(self._listener, selectors.EVENT_READ)
        wait_s, now_s = _IDLE_S, time.monotonic()
        for pair in self._pairs:
            for way in pair.values():
                if way.pending:
                    wait_s = min(wait_s, max(_TICK_S, min(_LOOK_S, way.pending[0][0] - now_s)))
                if way.bytes < MAX_PENDING_BYTES:
                    selector.register(way.source, selectors.EVENT_READ)
        return wait_s

    def _turn(self, ready: set[object]) -> None:
        if self._listener in ready:
            self._accept()
        for pair in list(self._pairs):
            try:
                for name, way in pair.items():
                    if way.source in ready:
                        self._read(way, self.rules[name])
                    self._write(way, self.rules[name])
            except OSError:  # either end is gone: so is the connection
                self._close(pair, reset=False)

    def _accept(self) -> None:
        with suppress(OSError):
            client, _ = self._listener.accept()
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 1.0)
            except OSError:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                client.close()
                return
            for each in (client, server):
                each.setblocking(False)
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self._pairs.append({UP: Way(client, server), DOWN: Way(server, client)})

    @staticmethod
    def _read(way: Way, rules: Rules) -> None:
        try:
            data = way.source.recv(READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError
        if rules.swallow or way.swallowed:
            way.swallowed += len(data)
            return
        way.pending.append((time.monotonic() + rules.delay_s, data))
        way.bytes += len(data)

    @staticmethod
    def _write(way: Way, rules: Rules) -> None:
        while way.pending and not rules.hold and way.pending[0][0] <= time.monotonic():
            due_s, data = way.pending[0]
            try:
                sent = way.sink.send(data)
            except BlockingIOError:
                return
            way.bytes -= sent
            way.passed += sent
            if sent < len(data):
                way.pending[0] = (due_s, data[sent:])
                return
            way.pending.popleft()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.cut()
        self._listener.close()
