"""Figures for Prometheus: on a local port, in a text file, or both.

The loop makes a text now and then; whoever asks is given the last one by a thread that does
nothing else, and takes nothing from anybody but a request of MAX_REQUEST bytes.
"""

from __future__ import annotations

import errno
import json
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge.metrics_text import metrics_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from edge.parse_metrics import MetricsConfig

MAX_REQUEST = 8192
REQUEST_S = 2.0
"""How long one who asks may take, in all: the next one waits behind it."""
_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BACKLOG = 16
_ABSENT = b"# nothing yet\n"


class Metrics:
    """The metrics of one gateway; without a table [metrics] it does nothing."""

    def __init__(self, config: MetricsConfig, folder: Path) -> None:
        self._config = config
        self._file = folder / config.file if config.file else None
        self._due_ms: int | None = None
        self._text = _ABSENT
        self._server: socket.socket | None = None
        self._told = ""
        self.log: list[str] = []
        if config.port:
            self._serve()

    def _serve(self) -> None:
        where = f"{self._config.host} port {self._config.port}"
        try:
            self._server = socket.create_server(
                (self._config.host, self._config.port), backlog=_BACKLOG
            )
        except (OSError, UnicodeError) as error:  # nobody's slope goes unwatched for that
            self._say(f"cannot listen on {where}: {error}")
            return
        threading.Thread(
            target=_answer_all, args=(self._server, lambda: self._text), daemon=True, name="metrics"
        ).start()

    @property
    def port(self) -> int:
        """The port it listens on, 0 if none."""
        return 0 if self._server is None else int(self._server.getsockname()[1])

    def look(self, now_ms: int, health: Callable[[], bytes]) -> None:
        """Make the text anew where it is due; ``health``: the payload of the health message."""
        if self._server is None and self._file is None:
            return
        every_ms = self._config.every_ms
        if self._due_ms is not None and now_ms < self._due_ms <= now_ms + every_ms:
            return
        self._due_ms = now_ms + every_ms
        values: dict[str, Any] = json.loads(health())
        self._text = metrics_text(values).encode()
        if self._file is not None:
            self._write(self._file)

    def _write(self, path: Path) -> None:
        """Put the text in the place of the last one, in one step: nobody reads half of it."""
        fresh = path.with_name(f".{path.name}.new")
        try:
            fresh.write_bytes(self._text)
            fresh.chmod(0o644)
            fresh.replace(path)
        except OSError as error:
            self._say(f"{path}: {error.strerror}")
        else:
            self._told = ""

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self.log.append(f"metrics: {line}")

    def close(self) -> None:
        """Listen no longer, and take the file away: what it says is no longer so."""
        if self._server is not None:
            with suppress(OSError):  # the thread is woken from accept()
                self._server.shutdown(socket.SHUT_RDWR)
            self._server.close()
        if self._file is not None:
            with suppress(OSError):
                self._file.unlink()


def _answer_all(server: socket.socket, text: Callable[[], bytes]) -> None:
    """Answer one after the other until the server is closed."""
    while True:
        try:
            peer, _ = server.accept()
        except OSError as error:
            if server.fileno() < 0 or error.errno not in _PASSING:
                return
            time.sleep(0.1)
            continue
        with peer, suppress(OSError):
            _answer(peer, text())


# Too many files, no memory, a peer that left: the next one may do.
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EINTR}
)


def _answer(peer: socket.socket, text: bytes) -> None:
    request = _request(peer)
    words = request.split(b"\r\n", 1)[0].split(b" ")
    status, body = "200 OK", text
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        status, body = "400 Bad Request", b"not HTTP\n"
    elif words[0] not in {b"GET", b"HEAD"}:
        status, body = "405 Method Not Allowed", b"GET only\n"
    elif words[1].partition(b"?")[0] not in {b"/metrics", b"/"}:
        status, body = "404 Not Found", b"see /metrics\n"
    head = f"HTTP/1.1 {status}\r\nContent-Type: {_TYPE}\r\nContent-Length: {len(body)}\r\n"
    head += "Connection: close\r\n\r\n"
    peer.settimeout(REQUEST_S)
    peer.sendall(head.encode() + (b"" if words[0] == b"HEAD" else body))


def _request(peer: socket.socket) -> bytes:
    """Read the head of a request, in its time and size. Raises OSError."""
    end_s = time.monotonic() + REQUEST_S
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_REQUEST:
        peer.settimeout(max(0.001, end_s - time.monotonic()))
        piece = peer.recv(1024)
        if not piece:
            break
        data += piece
    return data
