"""The Modbus driver against a simulated line, in simulated time: steps, faults, fairness."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.drivers.modbus import MAX_QUIET_MS, ModbusDriver
from firmware_bridge.modbus_frame import ORDERS, Request
from firmware_bridge.modbus_plan import (
    Check,
    ModbusChannel,
    ModbusDevice,
    ModbusPlan,
    Read,
    Wait,
    Write,
)
from firmware_bridge.modbus_poll import BACKOFF_MS
from firmware_bridge.reading import Dropped, Reading
from firmware_bridge.sim_faults import Faults
from firmware_bridge.sim_modbus import SimulatedBus, SimulatedSlave, checksum, registers

T0_MS = 1_760_000_000_000
Items = list[Reading | Dropped]


class Line:
    """A driver and a line in simulated time; bytes arrive in pieces of a size."""

    def __init__(
        self,
        plan: ModbusPlan,
        *slaves: SimulatedSlave,
        piece: int = 1000,
        babble: bytes = b"",
        look_ms: int = 1,
        **more,
    ) -> None:
        self.driver = ModbusDriver("bus", plan)
        self.bus = SimulatedBus(list(slaves), **more)
        self.now_ms = T0_MS
        self.items: Items = []
        self.asked: list[tuple[int, bytes]] = []
        self.recorded: list[tuple[int, bytes | None]] = []
        """Bytes when they came; None for a look that gave something, as a capture has it."""
        self._coming: list[tuple[int, bytes]] = []
        self._piece = piece
        self._babble = babble
        self._look_ms = look_ms  # the loop is busy with other things
        self.driver.opened(self.now_ms)

    def run(self, for_ms: int) -> Line:
        end_ms = self.now_ms + for_ms
        while self.now_ms < end_ms:
            items = self.driver.receive(b"", self.now_ms)
            self.items += items
            request = self.driver.write_next(self.now_ms)
            if items or request:
                self.recorded.append((self.now_ms, None))
            if request:
                self.asked.append((self.now_ms, request))
                for when_s, data in self.bus.receive(request, self.now_ms / 1000):
                    self._coming.append((math.ceil(when_s * 1000), data))
            self._coming.sort(key=lambda each: each[0])
            due_ms = self.driver.due_ms(self.now_ms)
            assert due_ms is not None
            next_ms = min([due_ms, end_ms, *(when for when, _ in self._coming)])
            if self._babble:
                next_ms = min(next_ms, self.now_ms + 5)
            self.now_ms = max(self.now_ms + (not request), next_ms)
            self.now_ms += (T0_MS - self.now_ms) % self._look_ms
            arrived = b"".join(data for when, data in self._coming if when <= self.now_ms)
            self._coming = [each for each in self._coming if each[0] > self.now_ms]
            arrived = self._babble + arrived
            for at in range(0, len(arrived), self._piece):
                self.recorded.append((self.now_ms, arrived[at : at + self._piece]))
                self.items += self.driver.receive(arrived[at : at + self._piece], self.now_ms)
        return self

    @property
    def readings(self) -> list[Reading]:
        return [item for item in self.items if isinstance(item, Reading)]

    @property
    def dropped(self) -> list[Dropped]:
        return [item for item in self.items if isinstance(item, Dropped)]

    def counts(self, device: str) -> dict[str, int]:
        return dict(dict(self.driver.health().nodes)[device])


def channel(name: str = "tilt", register: int = 0, **more) -> ModbusChannel:
    return ModbusChannel(name, register, **more)


def device(address: int = 1, *channels: ModbusChannel, **more) -> ModbusDevice:
    more = {"period_s": 1.0, "timeout_ms": 100} | more
    named = channels or (channel(f"tilt_{address}"),)
    return ModbusDevice(address, f"device-{address}", named, **more)


def slave(address: int = 1, *words: int, **more) -> SimulatedSlave:
    more = {"answer_s": 0.005} | more
    return SimulatedSlave(address, dict(enumerate(words or (address,))), **more)


def test_several_devices_each_at_its_own_period() -> None:
    plan = ModbusPlan((device(1), device(2, period_s=2.5), device(9, period_s=0.5)), gap_ms=5)
    line = Line(plan, slave(1, 11), slave(2, 22), slave(9, 99)).run(10_000)
    by_channel = {r.channels: r for r in line.readings}
    assert {name: r.values for name, r in by_channel.items()} == {
        ("tilt_1",): (11.0,),
        ("tilt_2",): (22.0,),
        ("tilt_9",): (99.0,),
    }
    assert [line.counts(f"device-{n}") for n in (1, 2, 9)] == [
        {"readings": 10},
        {"readings": 4},
        {"readings": 20},
    ]
    assert not line.dropped
    for reading in line.readings:
        assert reading.time_ms == reading.received_ms
        assert reading.sequence == -1
        assert reading.uncertainty_ms == pytest.approx(5, abs=1)


def test_the_gap_of_each_device_goes_before_its_request() -> None:
    plan = ModbusPlan((device(1, gap_ms=300), device(2), device(3)), gap_ms=10)
    line = Line(plan, slave(1), slave(2), slave(3)).run(3000)
    quiet_since = T0_MS
    for when_ms, request in line.asked:
        assert when_ms - quiet_since >= (300 if request[0] == 1 else 10)
        quiet_since = when_ms + 5
    assert len(line.asked) >= 8


@pytest.mark.parametrize("order", ORDERS)
def test_every_type_of_number_in_as_few_requests_as_can_be(order: str) -> None:
    values = {"h": -1234, "H": 54321, "i": -123_456_789, "I": 4_000_000_000, "f": -0.5, "d": 1e-300}
    types = ("int16", "uint16", "int32", "uint32", "float32", "float64")
    bank: dict[int, int] = {}
    channels = []
    at = 100
    for (format_, value), type_ in zip(values.items(), types, strict=True):
        words = registers(value, format_, order)
        bank |= {at + i: word for i, word in enumerate(words)}
        channels.append(channel(type_, at, type=type_, order=order, function=4))
        at += len(words)
    channels.append(channel("apart", 200, scale=0.5, offset=-3.0))
    channels.reverse()
    unit = SimulatedSlave(1, {200: 7}, bank, answer_s=0.005)
    line = Line(ModbusPlan((device(1, *channels),)), unit).run(900)
    (reading,) = line.readings
    assert reading.channels == tuple(each.name for each in channels)
    assert reading.values == (0.5, *reversed(values.values()))
    assert unit.asked == {4: 1, 3: 1}
    few = device(1, *channels, max_registers=4)
    again = Line(ModbusPlan((few,)), unit).run(900)
    assert again.readings[0].values == reading.values
    assert max(request[5] for _, request in again.asked) <= 4


def test_nothing_is_made_of_missing_values_and_zero_is_kept() -> None:
    words = registers(-9999.9, "f", "CDAB") + registers(math.nan, "f", "CDAB")
    words += registers(math.inf, "f", "CDAB") + registers(0.0, "f", "CDAB") + (0x8000, 0)
    channels = [
        channel(name, 2 * i, type="float32", order="CDAB", missing=(-9999.9,))
        for i, name in enumerate(("lost", "nan", "inf", "zero"))
    ]
    channels += [channel("word", 8, type="int16", missing=(-32768,)), channel("none", 9)]
    line = Line(ModbusPlan((device(1, *channels),)), slave(1, *words)).run(900)
    (reading,) = line.readings
    assert [math.isnan(value) for value in reading.values] == [True] * 3 + [False, True, False]
    assert reading.values[3] == reading.values[5] == 0.0
    assert dict(line.driver.health().values_rejected) == {"missing": 2, "nan": 1, "inf": 1}
    empty = Line(ModbusPlan((device(1, channel(missing=(0,))),)), slave(1, 0)).run(900)
    assert [item.reason for item in empty.items] == ["empty"]


def triggered(**more) -> ModbusDevice:
    steps = (Write(0x118, (1,)), Wait(500), Read(), Check(0x119))
    tilt = channel("tilt", 0x100, type="float32", order="CDAB")
    return ModbusDevice(1, "ipi", (tilt,), 2.0, steps, timeout_ms=100, **more)


def inclinometer(measure_s: float = 0.4, error: int = 0, **more) -> SimulatedSlave:
    def measured(number: int) -> dict[int, int]:
        low, high = registers(number / 4, "f", "CDAB")
        return {0x100: low, 0x101: high, 0x119: error}

    bank = {0x100: 0, 0x101: 0, 0x118: 0, 0x119: 0xFFFF}
    more = {"answer_s": 0.005} | more
    return SimulatedSlave(1, bank, trigger=0x118, measure_s=measure_s, measures=measured, **more)


def test_trigger_wait_read_check() -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.2)), gap_ms=5)
    unit = inclinometer()
    line = Line(plan, unit, slave(2)).run(8000)
    assert [r.values[0] for r in line.readings if r.channels == ("tilt",)] == [0.25, 0.5, 0.75, 1.0]
    assert unit.asked == {6: 4, 3: 8}
    assert not line.dropped
    first = next(r for r in line.readings if r.channels == ("tilt",))
    assert 500 < first.uncertainty_ms < 600  # since the trigger
    # The other was asked while this one measured.
    assert line.counts("device-2")["readings"] == 40


def test_a_measurement_with_an_error_is_no_reading() -> None:
    unit = inclinometer(error=4)
    line = Line(ModbusPlan((triggered(),)), unit).run(3900)
    assert [(item.reason, item.detail) for item in line.dropped] == [
        ("exception", "ipi (address 1): register 281 is 4, not 0")
    ] * 2
    assert not line.readings
    assert line.counts("ipi") == {"exception": 2}
    masked = (Write(0x118, (1,)), Wait(500), Read(), Check(0x119, mask=0xFFFB))
    lax = ModbusDevice(1, "ipi", triggered().channels, 2.0, masked)
    assert len(Line(ModbusPlan((lax,)), unit).run(3900).readings) == 2


def test_a_measurement_that_is_read_too_early_is_found_by_its_check() -> None:
    line = Line(ModbusPlan((triggered(),)), inclinometer(measure_s=0.9)).run(1900)
    assert [item.reason for item in line.items] == ["exception"]


def test_several_registers_are_written_with_function_16() -> None:
    steps = (Write(1, (7, 65535), 16), Read())
    unit = slave(1, 5, 0, 0)
    line = Line(ModbusPlan((device(1, channel(register=2), steps=steps),)), unit).run(900)
    assert line.readings[0].values == (65535.0,)
    assert unit.holding == {0: 5, 1: 7, 2: 65535}


def test_nothing_is_asked_before_the_warm_up_is_over_and_others_need_not_wait() -> None:
    plan = ModbusPlan((device(1, warm_up_ms=5000), device(2)))
    line = Line(plan, slave(1, warm_up_s=4.9, powered_s=T0_MS / 1000), slave(2)).run(8000)
    assert min(when for when, request in line.asked if request[0] == 1) == T0_MS + 5000
    assert line.counts("device-1") == {"readings": 3}
    assert line.counts("device-2") == {"readings": 8}
    early = Line(ModbusPlan((device(1),)), slave(1, warm_up_s=4.9)).run(8000)
    assert early.counts("device-1") == {"exception": 5, "readings": 3}
    assert "device failure (exception 4)" in early.dropped[0].detail


def test_a_refusal_is_not_asked_again_but_busy_is() -> None:
    refusing = slave(1)
    line = Line(ModbusPlan((device(1, channel(register=5)),)), refusing).run(900)
    assert [item.reason for item in line.items] == ["exception"]
    assert line.items[0].detail == (
        "device-1 (address 1): illegal data address (exception 2) to function 3, read register 5"
    )
    assert refusing.asked == {3: 1}
    busy = slave(1, busy=2)
    line = Line(ModbusPlan((device(1, period_s=5),)), busy).run(4000)
    assert [type(item) for item in line.items] == [Reading]
    assert line.counts("device-1") == {"readings": 1, "retries": 2}


def test_a_dead_device_has_its_losses_and_the_others_have_their_turn() -> None:
    plan = ModbusPlan((device(1, timeout_ms=900), device(2), device(3, period_s=0.5)), gap_ms=5)
    gone = slave(1, dead=True)
    line = Line(plan, gone, slave(2), slave(3)).run(600_000)
    assert {item.reason for item in line.dropped} == {"timeout"}
    assert all("device-1 (address 1)" in item.detail for item in line.dropped)
    assert line.counts("device-2")["readings"] >= 590
    assert line.counts("device-3")["readings"] >= 1170
    lost = line.counts("device-1")
    assert lost["timeout"] == len(line.dropped) <= 12
    assert lost["timeout"] + lost["skipped"] >= 300  # the last wait is not over
    gone.dead = False
    line.run(BACKOFF_MS + 10_000)
    assert line.counts("device-1")["readings"] >= 10  # and is back at its own period
    assert line.counts("device-1").keys() == {"timeout", "skipped", "readings", "retries"}
    total = sum(lost for _, lost in line.driver.health().dropped)
    assert total == len(line.dropped)
    assert line.driver.health().gaps == sum(
        line.counts(f"device-{n}").get("skipped", 0) for n in (1, 2, 3)
    )


def two_blocks(**more) -> ModbusDevice:
    """Two blocks of one shape: nothing in an answer tells which of them it is."""
    pair = (channel("low", 10), channel("high", 20))
    return device(1, *pair, timeout_ms=200, period_s=3.0, **more)


def counting(slave_: SimulatedSlave, line: Line, for_ms: int) -> None:
    """Let the registers count up, a second a step, the high ones from 1000."""
    for _ in range(for_ms // 1000):
        slave_.holding[10] += 1
        slave_.holding[20] += 1
        line.run(1000)


def block_slave() -> SimulatedSlave:
    return SimulatedSlave(1, {10: 0, 20: 1000}, answer_s=0.01)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([1, 1000]), st.booleans())
def test_a_bad_line_gives_true_readings_and_every_loss_has_its_device(
    seed: int, piece: int, echo: bool
) -> None:
    faults = Faults(0.05, 0.2, 0.1, 0.1, seed=seed)
    unit = block_slave()
    plan = ModbusPlan((two_blocks(), device(2)), gap_ms=10, echo=echo)
    line = Line(plan, unit, slave(2, 4242), piece=piece, faults=faults, echo=echo)
    counting(unit, line, 90_000)
    for reading in line.readings:
        if reading.channels == ("tilt_2",):
            assert reading.values == (4242.0,)
        else:
            low, high = reading.values
            assert 1 <= low <= 90
            assert 0 <= high - low - 1000 <= 1  # a second may have begun between them
    counts = line.counts("device-1")
    assert counts["readings"] + counts.get("timeout", 0) + counts.get("crc", 0) >= 25
    assert counts["readings"] >= 20
    health = line.driver.health()
    assert sum(count for _, count in health.dropped) == len(line.dropped)
    by_device = sum(
        count
        for _, counts in health.nodes
        for what, count in counts
        if what in {"timeout", "crc", "exception"}
    )
    assert by_device == len(line.dropped)
    assert dict(health.ignored).get("echo", 0) == (len(line.asked) if echo else 0)


@pytest.mark.parametrize("seed", range(5))
def test_answers_that_come_late_are_not_taken_for_those_of_the_next_request(seed: int) -> None:
    unit = block_slave()
    # Late by one and a half times the timeout: the next request is out by then.
    line = Line(
        ModbusPlan((two_blocks(),), gap_ms=10),
        unit,
        late_rate=0.3,
        late_s=0.3,
        faults=Faults(seed=seed),
    )
    counting(unit, line, 120_000)
    assert line.bus.late > 10
    assert len(line.readings) > 30
    for reading in line.readings:
        low, high = reading.values
        assert 0 <= high - low - 1000 <= 1


def test_two_devices_at_one_address_are_damage_and_never_a_reading() -> None:
    line = Line(ModbusPlan((device(1, retries=1),)), slave(1, 0x1234), slave(1, 0x4321)).run(20_000)
    assert not line.readings
    assert {item.reason for item in line.dropped} == {"crc"}
    assert dict(line.driver.health().ignored)["noise"] >= 7 * len(line.dropped)


def test_an_echo_is_removed_and_counted() -> None:
    plan = ModbusPlan((triggered(),), echo=True)
    line = Line(plan, inclinometer(), echo=True, piece=1).run(1900)
    assert line.readings[0].values == (0.25,)
    assert dict(line.driver.health().ignored) == {"echo": 3}
    dead = Line(plan, inclinometer(dead=True), echo=True).run(1900)
    assert [item.reason for item in dead.items] == ["timeout"]  # its own voice is no answer


@pytest.mark.parametrize("babble", [b"\x00", b"\x01\x03\x02", b"\xff" * 40, b"\x01" * 7])
def test_a_line_that_babbles_keeps_nobody_past_the_deadline(babble: bytes) -> None:
    plan = ModbusPlan((device(1, retries=0), device(2, retries=0)))
    line = Line(plan, slave(1), slave(2, dead=True), babble=babble).run(30_000)
    assert all(reading.values == (1.0,) for reading in line.readings)
    assert line.counts("device-1")["readings"] >= 10
    out = [when for when, request in line.asked if request[0] == 2]
    lost = [item.received_ms for item in line.dropped if "device-2" in item.detail]
    assert len(lost) >= 3
    for asked_ms, given_up_ms in zip(out, lost, strict=False):
        assert given_up_ms - asked_ms <= 100 + 5  # the timeout, and one look
    for before, after in zip(line.asked, line.asked[1:], strict=False):
        assert after[0] - before[0] <= 1000 + 100 + MAX_QUIET_MS + 10


@settings(deadline=None, max_examples=50)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=20), st.integers(10, 500))
def test_any_babble_returns_by_its_deadline(pieces: list[bytes], timeout_ms: int) -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1, timeout_ms=timeout_ms, retries=0),)))
    driver.opened(T0_MS)
    now_ms = T0_MS + 50
    assert driver.write_next(now_ms)
    deadline_ms = now_ms + timeout_ms
    assert driver.due_ms(now_ms) == deadline_ms
    items: Items = []
    while not items:
        assert now_ms <= deadline_ms
        items += driver.receive(pieces[now_ms % len(pieces)], now_ms)
        now_ms += 1
    (item,) = items
    if isinstance(item, Dropped) and item.reason != "exception":
        assert item.received_ms == deadline_ms
    assert driver.write_next(now_ms) == b""


def test_a_line_that_is_never_silent_is_spoken_on_all_the_same() -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1),)))
    driver.opened(T0_MS)
    now_ms = T0_MS
    while not driver.write_next(now_ms):
        driver.receive(b"\x55", now_ms)
        now_ms += 5
    assert MAX_QUIET_MS <= now_ms - T0_MS <= MAX_QUIET_MS + 10


def test_a_port_that_vanishes_within_an_answer() -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1), device(2))))
    driver.opened(T0_MS)
    assert driver.write_next(T0_MS + 40)
    driver.receive(b"\x01\x03", T0_MS + 45)
    driver.opened(T0_MS + 60)
    (item,) = driver.receive(b"", T0_MS + 60)
    assert isinstance(item, Dropped)
    assert (item.reason, item.size) == ("truncated", 2)
    assert driver.write_next(T0_MS + 99) == b""
    assert driver.write_next(T0_MS + 100)[0] == 1  # anew, after the gap
    driver.opened(T0_MS + 200)
    (item,) = driver.receive(b"", T0_MS + 200)
    assert isinstance(item, Dropped)
    assert item.reason == "timeout"
    assert dict(driver.health().dropped) == {"truncated": 1, "timeout": 1}


@pytest.mark.parametrize("step_ms", [-(10**9), -40_000, 40_000, 10**9])
def test_setting_our_own_clock_changes_nothing(step_ms: int) -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.7, warm_up_ms=300)))
    still = Line(plan, inclinometer(), slave(2)).run(9000)
    moved = Line(plan, inclinometer(), slave(2))
    for _ in range(9):
        moved.run(1000)
        moved.driver.shift(step_ms)
        moved.now_ms += step_ms
        moved._coming = [(when + step_ms, data) for when, data in moved._coming]
        for each in moved.bus.slaves:
            if each._ready_s is not None:
                each._ready_s += step_ms / 1000
    assert [r.values for r in moved.readings] == [r.values for r in still.readings]
    assert len(still.readings) == 5 + 13
    assert moved.driver.health() == still.driver.health()


def test_without_being_told_a_clock_set_back_keeps_nobody_waiting() -> None:
    line = Line(ModbusPlan((device(1),)), slave(1)).run(3000)
    line.now_ms -= 10**9
    line.run(3000)
    assert len(line.readings) >= 5


def replayed(line: Line, plan: ModbusPlan) -> tuple[ModbusDriver, Items]:
    """Give what a capture of the line gives again (as `edge.replay` does it)."""
    driver = ModbusDriver("bus", plan)
    driver.opened(T0_MS)
    items: Items = []
    for now_ms, data in line.recorded:
        items += driver.receive(data or b"", now_ms)
        if data is None:
            driver.write_next(now_ms)
    return driver, items


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10_000), st.sampled_from([b"", b"\x01\x03"]), st.sampled_from([1, 1000]))
def test_a_capture_gives_the_readings_of_the_live_run(seed: int, babble: bytes, piece: int) -> None:
    plan = ModbusPlan((triggered(), device(2, period_s=0.7, warm_up_ms=300), device(3)), gap_ms=7)
    line = Line(
        plan,
        inclinometer(),
        slave(2, busy=1),
        slave(3, dead=True),
        piece=piece,
        babble=babble,
        look_ms=7,
        faults=Faults(0.05, 0.1, 0.05, 0.05, seed=seed),
        late_rate=0.1,
        late_s=0.15,
    ).run(25_000)
    line.run(1000)
    driver, items = replayed(line, plan)
    assert items == line.items
    assert driver.health() == line.driver.health()
    assert any(isinstance(item, Reading) for item in items)
    assert any(isinstance(item, Dropped) for item in items)


PIECES = st.one_of(
    st.binary(max_size=60),
    st.sampled_from(
        [
            Request(1, 3, 0, 1).encode(),
            b"\x01\x03\x02\x00\x07" + checksum(b"\x01\x03\x02\x00\x07"),
            b"\x01\x83\x02" + checksum(b"\x01\x83\x02"),
        ]
    ),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(PIECES, st.integers(-(10**13), 10**13)), max_size=25))
def test_any_bytes_at_any_time_never_raise(parts: list[tuple[bytes, int]]) -> None:
    driver = ModbusDriver("bus", ModbusPlan((device(1), triggered_at(7)), echo=True))
    for data, now_ms in parts:
        driver.receive(data, now_ms)
        due_ms = driver.due_ms(now_ms)
        assert due_ms is None or due_ms <= now_ms + BACKOFF_MS + 10_000
        driver.write_next(now_ms)
        driver.receive(b"", now_ms)
        driver.shift(now_ms)
        driver.health()
        if len(data) % 3 == 0:
            driver.opened(now_ms)


def triggered_at(address: int) -> ModbusDevice:
    return ModbusDevice(address, "ipi", (channel("x"),), 2.0, triggered().steps)


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES, max_size=12))
def test_whole_or_one_by_one(parts: list[bytes]) -> None:
    whole, single = (ModbusDriver("bus", ModbusPlan((device(1),))) for _ in range(2))
    data = b"".join(parts)
    for driver in (whole, single):
        driver.opened(T0_MS)
        assert driver.write_next(T0_MS + 40)
    items = whole.receive(data, T0_MS + 50)
    pieces = [item for byte in data for item in single.receive(bytes((byte,)), T0_MS + 50)]
    assert items == pieces
    assert whole.receive(b"", T0_MS + 150) == single.receive(b"", T0_MS + 150)
    assert whole.due_ms(T0_MS + 151) == single.due_ms(T0_MS + 151)
    assert dict(whole.health().dropped) == dict(single.health().dropped)
