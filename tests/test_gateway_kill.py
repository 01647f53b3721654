"""SIGKILL while rows are in memory alone: not yet a message, or a message not yet on disk."""

from __future__ import annotations

import time

import pytest
from test_gateway_lines import config_of, good_lines

from edge.spool import spool_path
from edge.spool_records import read
from firmware_bridge.simulator import Pty

PATIENCE_S = 60.0
ROWS = 40


def wait(what) -> None:
    end = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("away", "every_s"), [(True, "0.05"), (True, "5"), (False, "0.05"), (False, "600")]
)
def test_a_kill_loses_no_row_that_was_taken(tmp_path, broker, room, talus, away, every_s) -> None:
    pty = Pty(tmp_path / "tty")
    config = config_of(tmp_path, pty.device, broker.port)
    text = config.read_text(encoding="utf-8")
    assert text.count("telemetry_every_s = 0.5 ") == 1
    text = text.replace("telemetry_every_s = 0.5 ", f"telemetry_every_s = {every_s} ")
    config.write_text(text, encoding="utf-8")
    lines = good_lines(1.0)[:ROWS]
    gateway = talus(config)
    wait(pty.listening)
    gateway.wait_log("opened")
    if away:
        broker.stop()
    spool = spool_path(tmp_path / "talus-data")
    for n, line in enumerate(lines):
        assert pty.write(line.encode() + b"\n", 1.0) == b""
        time.sleep(0.02)
        wait(lambda n=n: f",{n},".encode() in spool.read_bytes() or f",{n}," in str(room.raw))
    gateway.kill()
    if away:
        broker.start()
    again = talus(config)
    again.wait_log("opened", times=2)
    room.wait(lambda: room.rows() >= ROWS)
    taken = [row[1] for values in room.of("telemetry") for row in values["rows"]]
    assert set(taken) == set(range(ROWS))
    if away:
        assert len(taken) == ROWS
    totals = again.stop()
    assert totals["waiting"] == 0
    assert totals["carried_over"] == totals["published"]
    assert not spool.exists()
    pty.close()


def test_what_was_sent_and_acknowledged_is_not_taken_over(tmp_path, broker, room, talus) -> None:
    pty = Pty(tmp_path / "tty")
    config = config_of(tmp_path, pty.device, broker.port)
    gateway = talus(config)
    wait(pty.listening)
    gateway.wait_log("opened")
    for line in good_lines(1.0)[:ROWS]:
        pty.write(line.encode() + b"\n", 1.0)
    room.wait(lambda: room.rows() == ROWS)
    pty.write(good_lines(1.0)[ROWS].encode() + b"\n", 1.0)  # with it goes that those have left
    room.wait(lambda: room.rows() == ROWS + 1)
    spool = spool_path(tmp_path / "talus-data")

    def pending() -> int:
        log = spool.read_bytes()
        left = read(log, log[8:44])[2]
        return sum(m.message.rows for m in left.messages) + len(left.rows)

    wait(lambda: pending() <= 1)
    gateway.kill()
    again = talus(config)
    again.wait_log("opened", times=2)
    assert again.stop()["carried_over"] <= 1
    pty.close()
