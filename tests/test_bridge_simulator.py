"""Simulated instruments over a real pty and port, to readings."""

from __future__ import annotations

import math
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from firmware_bridge.drivers.lines import LineDriver, LineFormat
from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Driver, Dropped, Reading
from firmware_bridge.sim_rows import CHANNELS, creep
from firmware_bridge.simulator import (
    Faults,
    LinePty,
    Pty,
    PtyNode,
    SimulatedNode,
    describe,
)

Items = list[Reading | Dropped]


def gathered(port: Port, driver: Driver, enough: Callable[[Items], bool]) -> Items:
    """Run a small gateway loop until there is enough, at most 20 s."""
    items: Items = []
    end = time.monotonic() + 20
    while not enough(items) and time.monotonic() < end:
        now_ms = time.time_ns() // 1_000_000
        event = port.poll(now_ms)
        if event is not None and event.state is PortState.OPENED:
            driver.opened(now_ms)
        question = driver.write_next(now_ms)
        if question:
            port.write(question)
        fileno = port.fileno()
        if fileno is None:
            time.sleep(0.02)
        elif select.select([fileno], [], [], 0.02)[0]:
            items += driver.receive(port.read(), time.time_ns() // 1_000_000)
    return items


def readings(items: Items) -> list[Reading]:
    return [item for item in items if isinstance(item, Reading)]


def test_every_row_arrives_in_order_across_a_reboot() -> None:
    rows = [*creep(300), (math.nan, 1.0, 2.0, 3.0)]
    node = PtyNode(
        SimulatedNode(describe(CHANNELS), stats_every=100),
        rows,
        interval_s=0,
        step_us=3_600_000_000,
        faults=Faults(reboot_rows=(100, 250)),
    )
    driver = Tw1Driver("n", clock="node", epoch_ms=0)
    port = Port(node.device)
    with node:
        items = gathered(port, driver, lambda items: len(items) >= len(rows))
        port.close()
    got = readings(items)
    assert len(got) == len(items) == len(rows)
    assert [reading.sequence for reading in got] == list(range(len(rows)))
    assert [reading.time_ms for reading in got] == [i * 3_600_000 for i in range(len(rows))]
    for reading, row in zip(got[:-1], rows, strict=False):
        assert reading.values == tuple(round(value, 3) for value in row)
    assert math.isnan(got[-1].values[0])
    health = driver.health()
    assert (health.reboots, health.gaps, health.battery_mv) == (2, 0, 3600)
    assert not Path(node.device).exists()


def test_what_faults_on_the_wire_took_is_asked_for_again_and_comes_in_order() -> None:
    node = PtyNode(
        SimulatedNode(describe(CHANNELS)),
        creep(1500),
        interval_s=0.001,
        faults=Faults(0.05, 0.05, 0.05, seed=11),
    )
    driver = Tw1Driver("n", clock="node")
    port = Port(node.device)
    with node:
        items = gathered(
            port,
            driver,
            lambda items: bool(readings(items)) and readings(items)[-1].sequence > 1490,
        )
        port.close()
    got = readings(items)
    health = driver.health()
    assert node.node.resent > 50
    assert health.duplicates > 20
    assert [reading.sequence for reading in got] == list(range(len(got)))
    assert [reading.time_ms for reading in got] == sorted(reading.time_ms for reading in got)


def test_a_node_that_comes_back_with_another_layout(tmp_path: Path) -> None:
    link = tmp_path / "node"
    port, driver = Port(str(link)), Tw1Driver("n")
    first = SimulatedNode(describe(CHANNELS))
    with PtyNode(first, [(1.0, 1.0, 1.0, 1.0)] * 5, link=link, interval_s=0):
        assert len(readings(gathered(port, driver, lambda items: len(items) >= 5))) == 5
    second = SimulatedNode(describe(CHANNELS[:2]))
    second.reboot()
    second.sample_index = 5
    with PtyNode(second, [(2.0, 3.0)] * 5, link=link, interval_s=0):
        items = gathered(port, driver, lambda items: len(readings(items)) >= 5)
        port.close()
    assert [reading.values for reading in readings(items)] == [(2.0, 3.0)] * 5
    assert driver.layout == CHANNELS[:2]
    assert (driver.health().reboots, driver.health().gaps) == (1, 0)


def test_rows_that_nobody_hears_are_lost_without_hold_and_the_node_goes_on() -> None:
    node = PtyNode(SimulatedNode(describe(CHANNELS)), creep(50), interval_s=0, hold=False)
    with node:
        end = time.monotonic() + 5
        while node.rows_unheard < 50 and time.monotonic() < end:
            time.sleep(0.01)
    assert (node.rows_sent, node.rows_unheard) == (0, 50)


def test_a_logger_sends_its_lines(tmp_path: Path) -> None:
    lines = [f"2020-01-01 00:00:{i:02d},{i},0.0" for i in range(20)] + ["2020,broken"]
    format_ = LineFormat(",", (("x", 2),), 3, time_column=0, record_column=1)
    driver = LineDriver("log", format_)
    with LinePty(lines, link=tmp_path / "logger", interval_s=0) as logger:
        port = Port(str(tmp_path / "logger"))
        items = gathered(port, driver, lambda items: len(items) >= len(lines))
        port.close()
    assert logger.rows_sent == len(lines)
    assert [item.sequence for item in readings(items)] == list(range(20))
    assert [item.reason for item in items if isinstance(item, Dropped)] == ["columns"]
    assert not (tmp_path / "logger").is_symlink()


def test_a_link_taken_over_by_a_successor_is_left_alone(tmp_path: Path) -> None:
    first, second = Pty(tmp_path / "dev"), Pty(tmp_path / "dev")
    first.close()
    assert (tmp_path / "dev").readlink() == Path(second.path)
    second.close()
    assert not (tmp_path / "dev").is_symlink()


def test_the_command_sends_a_csv(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("tilt,rain\n1.5,0\n2.5,x\n")
    command = [sys.executable, "-m", "firmware_bridge.simulator", "node", "--interval", "0"]
    command += ["--csv", str(tmp_path / "rows.csv"), "--link", str(tmp_path / "node")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            device = process.stdout.readline().strip()
            port, driver = Port(device), Tw1Driver("n")
            items = gathered(port, driver, lambda items: len(items) >= 2)
            port.close()
        finally:
            process.terminate()
    got = readings(items)
    assert [reading.channels for reading in got] == [("tilt", "rain")] * 2
    assert got[0].values == (1.5, 0.0)
    assert math.isnan(got[1].values[1])


def test_the_command_refuses_a_ragged_csv(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3\n")
    command = [sys.executable, "-m", "firmware_bridge.simulator", "node", "--csv"]
    done = subprocess.run(
        [*command, str(tmp_path / "rows.csv")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "rows.csv:3: 1 columns, the header has 2" in done.stderr
