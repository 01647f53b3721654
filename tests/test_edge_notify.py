"""What goes over systemd's socket, heard by a real one."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress

import pytest

from edge.notify import MAX_STATUS, Notifier


@pytest.fixture(params=["path", "abstract"])
def supervisor(request, tmp_path):
    """A socket as systemd has it, and the environment that it gives."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@talus-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if name[0] == "@" else name)
        heard.settimeout(10)
        yield heard, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "4000000", "OTHER": "stays"}


def test_each_word_arrives_as_one_datagram(supervisor) -> None:
    heard, environ = supervisor
    notifier = Notifier(environ)
    notifier.ready("one port")
    notifier.alive("still one\nWATCHDOG=trigger")
    notifier.status("x" * 5000)
    notifier.stopping()
    assert heard.recv(4096) == b"READY=1\nSTATUS=one port"
    assert heard.recv(4096) == b"WATCHDOG=1\nSTATUS=still one WATCHDOG=trigger"
    assert heard.recv(4096) == b"STATUS=" + b"x" * MAX_STATUS
    assert heard.recv(4096) == b"STOPPING=1"
    notifier.close()
    notifier.alive("")
    heard.setblocking(False)
    with pytest.raises(BlockingIOError):
        heard.recv(4096)


def test_no_child_inherits_the_right_to_speak(supervisor) -> None:
    _, environ = supervisor
    assert Notifier(environ).watchdog_s == 4.0
    assert environ == {"OTHER": "stays"}


def test_a_watchdog_meant_for_another_process_is_none_of_ours(supervisor) -> None:
    _, environ = supervisor
    assert Notifier(environ | {"WATCHDOG_PID": str(os.getpid())}).watchdog_s == 4.0
    assert Notifier(environ | {"WATCHDOG_PID": "1"}).watchdog_s == 0.0
    for odd in ("", "soon", "-5", "²"):
        assert Notifier(environ | {"WATCHDOG_USEC": odd}).watchdog_s == 0.0


def test_a_supervisor_that_is_gone_or_full_hangs_nobody(supervisor, tmp_path) -> None:
    heard, environ = supervisor
    notifier = Notifier(environ)
    for _ in range(5000):  # more than any socket holds
        notifier.alive("x" * 100)
    heard.close()
    notifier.alive("")
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready("")


def test_a_start_that_could_not_be_told_is_told_with_the_next_pet(supervisor) -> None:
    heard, environ = supervisor
    notifier = Notifier(environ)
    for _ in range(5000):
        notifier.status("x" * 100)
    notifier.ready("one port")  # it hears nothing now
    heard.setblocking(False)
    with suppress(BlockingIOError):
        while said := heard.recv(4096):
            assert b"READY" not in said
    for _ in range(2):
        notifier.alive("up")
    assert heard.recv(4096) == b"READY=1\nWATCHDOG=1\nSTATUS=up"
    assert heard.recv(4096) == b"WATCHDOG=1\nSTATUS=up"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_systemd_nothing_is_said(environ) -> None:
    notifier = Notifier(environ | {"WATCHDOG_USEC": "1000"})
    notifier.ready("")
    assert notifier.watchdog_s == 0.0


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="NOT TESTED: no systemd")
def test_it_says_what_systemd_notify_says(supervisor) -> None:
    heard, environ = supervisor
    command = ["systemd-notify", "--no-block", "--ready", "--status=up"]
    subprocess.run(command, env=os.environ | environ, check=True)
    words = set(heard.recv(4096).split(b"\n"))
    Notifier(dict(environ)).ready("up")
    assert set(heard.recv(4096).split(b"\n")) <= words


def test_the_module_loads_nothing_heavy() -> None:
    code = "import edge.notify, edge.progress, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "paho", "serial", "sqlite3"} & set(done.stdout.split())
