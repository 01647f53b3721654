"""The reference broker with a token, and what signs beside it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mqtt_parts import PATIENCE_S, ReferenceBroker, until

from export.__main__ import main
from export.local_broker import free_port, mosquitto_path
from export.provision.firstboot.request import (
    Ticket,
    parse_ticket,
)

broker_needed = pytest.mark.skipif(mosquitto_path() is None, reason="NOT TESTED: no mosquitto")


class Enrolling(ReferenceBroker):
    """The reference broker with a token for gw7, and what signs beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.enrol_port = free_port()
        self.signer: subprocess.Popen[str] | None = None

    def ticket(self, name: str = "gw7", *more: str) -> Ticket:
        words = ["enrol", "--broker", str(self.out), "--token", name, *more]
        assert main([*words, "--port", str(self.enrol_port)]) == 0
        return parse_ticket((self.out / "enrol" / f"{name}.json").read_bytes())

    def start(self) -> None:
        super().start()  # returns when the first port listens, and this is another

        def listens() -> bool:
            try:
                socket.create_connection(("127.0.0.1", self.enrol_port), 0.2).close()
            except OSError:
                return False
            return True

        until(listens)

    def reload(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def serve(self, *more: str) -> None:
        words = ["enrol", "--broker", str(self.out), "--serve", *more]
        self.signer = subprocess.Popen(
            [sys.executable, "-m", "export", *words], stdout=subprocess.PIPE, text=True
        )
        assert "waiting" in self.signer.stdout.readline()

    def stop_signer(self) -> int:
        self.signer.send_signal(signal.SIGINT)
        return self.signer.wait(timeout=PATIENCE_S)

    def __exit__(self, *args: object) -> None:
        if self.signer is not None and self.signer.poll() is None:
            self.signer.kill()
            self.signer.wait()
        super().__exit__(*args)


@contextlib.contextmanager
def enrolling_for_gw7(tmp_path: Path) -> Iterator[Enrolling]:
    with_token = Enrolling(tmp_path / "site" / "broker")
    with_token.ticket()
    with with_token:
        yield with_token
