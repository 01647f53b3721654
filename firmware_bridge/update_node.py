"""The running image as TW1 shows it: who it is, its battery and its samples."""

from __future__ import annotations

import select
import time
from typing import TYPE_CHECKING, Self

from firmware_bridge.drivers.tw1 import Tw1Driver
from firmware_bridge.port import Port, PortState
from firmware_bridge.reading import Reading
from firmware_bridge.update_target import MAX_SAMPLES, Sample, Samples, TargetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from firmware_bridge.messages import Hello

HELLO_WAIT_S = 10.0
"""How long a node that was restarted may take to say who it is."""
BATTERY_WAIT_S = 3.0
SAMPLE_WAIT_S = 60.0
"""How long samples are waited for at once."""
_TICK_S = 0.05


class NodeLine:
    """A TW1 node on a serial line, which is open only while something is asked."""

    def __init__(
        self,
        device: str,
        baud: int = 115_200,
        *,
        hello_wait_s: float = HELLO_WAIT_S,
        battery_wait_s: float = BATTERY_WAIT_S,
        sample_wait_s: float = SAMPLE_WAIT_S,
    ) -> None:
        self._device = device
        self._baud = baud
        self._hello_wait_s = hello_wait_s
        self._battery_wait_s = battery_wait_s
        self._sample_wait_s = sample_wait_s

    def who(self) -> tuple[Hello | None, int | None]:
        """Ask who runs, and the battery in mV; None for what does not come in time."""
        driver = Tw1Driver("node", clock="arrival")
        with _Talk(driver, self._device, self._baud) as talk:
            talk.until(lambda: driver.hello is not None, self._hello_wait_s)
            if driver.hello is not None:
                talk.until(lambda: driver.health().battery_mv is not None, self._battery_wait_s)
        return driver.hello, driver.health().battery_mv

    def samples(self, count: int) -> Samples:
        """Wait for so many samples; gives those that came."""
        count = min(count, MAX_SAMPLES)
        driver = Tw1Driver("node", clock="arrival")
        with _Talk(driver, self._device, self._baud) as talk:
            talk.until(lambda: len(talk.rows) >= count, self._sample_wait_s)
        layout = driver.layout or ()
        lows = tuple(channel.low for channel in layout)
        highs = tuple(channel.high for channel in layout)
        return Samples(tuple(Sample(values, lows, highs) for values in talk.rows[:count]))


class _Talk:
    """The port and its driver while they are in use."""

    def __init__(self, driver: Tw1Driver, device: str, baud: int) -> None:
        self.rows: list[tuple[float, ...]] = []
        """Values of each sample; none where the driver took none of them."""
        self._driver = driver
        self._port = Port(device, baud)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()

    def until(self, done: Callable[[], bool], limit_s: float) -> None:
        """Read and answer until `done` or the time is over. TargetError: the port is not there."""
        end = time.monotonic() + limit_s
        reason = ""
        while not done() and time.monotonic() < end:
            now_ms = time.time_ns() // 1_000_000
            event = self._port.poll(now_ms)
            if event is not None and event.state is PortState.OPENED:
                reason = ""
                self._driver.opened(now_ms)
            elif event is not None:
                reason = event.reason
            self._exchange(now_ms)
        if reason and not self._port.is_open:
            raise TargetError(f"{self._port.device}: {reason}")

    def _exchange(self, now_ms: int) -> None:
        fileno = self._port.fileno()
        if fileno is None:
            time.sleep(_TICK_S)
            return
        readable = select.select([fileno], [], [], _TICK_S)[0]
        items = self._driver.receive(self._port.read() if readable else b"", now_ms)
        for item in items[: MAX_SAMPLES - len(self.rows)]:
            if isinstance(item, Reading):
                self.rows.append(item.values)
            elif item.reason == "empty":
                self.rows.append(())
        asked = self._driver.write_next(now_ms)
        if asked:
            self._port.write(asked)
