"""Readings in, scores and alarm changes out: the pure core of the gateway.

No clock and no I/O: time comes with each reading and each tick. The same readings give the
same alarms, live or replayed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.calibration import Board, full_name, referenced
from edge.dues import Dues
from edge.order import OrderError
from edge.order_apply import carry_out
from edge.qc_repeat import rows_each
from edge.quality import TimeGate
from edge.station import Station
from edge.station_state import UNUSABLE
from firmware_bridge.record import record

if TYPE_CHECKING:
    from edge.alarm import AlarmChange
    from edge.bundle import Bundle
    from edge.config import Config
    from edge.flags import Flagged
    from edge.order import Order
    from edge.watch import Scored
    from firmware_bridge.reading import Reading


MAX_ORDERS = 64
"""Orders remembered, so that one that comes twice is done once."""


@record
class Row:
    """A calibrated reading of one station, to be published (NaN: missing or rejected)."""

    station: str
    time_ms: int
    sequence: int
    values: list[float]
    flags: tuple[Flagged, ...] = ()
    """What is wrong with values of this row, or turned out to have been with earlier ones."""


@record
class Outcome:
    """What became of one reading: refused for ``reason``, or rows to publish and events."""

    reason: str
    rows: tuple[Row, ...]
    scored: tuple[Scored, ...]
    changes: tuple[AlarmChange, ...]


_REFUSED = {
    reason: Outcome(reason, (), (), ())
    for reason in ("time_range", "time_skew", "time_backwards", "time_jump", "no_station")
}


class Pipeline:
    """All stations of one gateway. ``bundles`` holds a Bundle, or the reason for having none."""

    def __init__(self, config: Config, bundles: dict[str, Bundle | str]) -> None:
        self.board = Board(config.reference_max_age_ms)
        shared = frozenset(
            full_name(station.name, name)
            for station in config.stations
            for channel in station.channels
            for name in referenced(channel.plan.stages)
        )
        self.gates = {port.name: TimeGate(port.time) for port in config.ports}
        kept = rows_each(len(config.stations))
        self.stations = {
            station.name: Station(station, bundles[station.name], self.board, shared, kept)
            for station in config.stations
        }
        self._in_order = tuple(self.stations.values())
        self._by_port = {
            port.name: tuple((i, s) for i, s in enumerate(self._in_order) if port.name in s.ports)
            for port in config.ports
        }
        self.maintained: set[str] = set()
        """Ports in maintenance."""
        self._orders: list[str] = []
        self._now_ms = 0
        self._dues = Dues(len(self._in_order))
        self._dues.lower_all(0)

    def receive(self, reading: Reading) -> Outcome:
        """Take one reading of a port."""
        verdict = self.gates[reading.source].check(reading.time_ms, reading.received_ms)
        stations = self._by_port[reading.source]
        if verdict.reason or not stations:
            for _, station in stations:
                station.refuse_time(reading.source, verdict.reason)
            return _REFUSED[verdict.reason or "no_station"]
        rows, scored = [], []
        changes = self.tick(reading.received_ms)
        for place, station in stations:
            values, new_scored, new_changes = station.receive(reading, rebased=verdict.rebased)
            self._dues.lower(place, station.due_ms)
            rows.append(Row(station.name, reading.time_ms, reading.sequence, values, station.flags))
            scored += new_scored
            changes += new_changes
        return Outcome("", tuple(rows), tuple(scored), tuple(changes))

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for silence. ``now_ms`` is on the clock of ``received_ms``."""
        self._now_ms = now_ms
        found: list[AlarmChange] = []
        for place in self._dues.passed(now_ms):
            station = self._in_order[place]
            if now_ms > station.due_ms:
                found += station.tick(now_ms)
            self._dues.lower(place, station.due_ms)
        if len(found) > 1:  # as if one had looked all the time
            found.sort(key=lambda change: change.received_ms)
        return found

    def maintain(self, port: str, *, begun: bool, now_ms: int) -> list[AlarmChange]:
        """Take that maintenance of a port begins or ends; what was silent before is told first."""
        found = self.tick(now_ms)
        if begun:
            self.maintained.add(port)
        else:
            self.maintained.discard(port)
        for place, station in self._by_port.get(port, ()):
            found.append(station.maintain(port, self.maintained, now_ms))
            self._dues.lower(place, station.due_ms)
        return found

    def order(self, order: Order, now_ms: int) -> list[AlarmChange]:
        """Do what a person says; what was silent before is told first. Raises OrderError.

        The same order twice, by its id, is done once.
        """
        station = self.stations.get(order.station)
        if station is None:
            known = ", ".join(self.stations)
            raise OrderError(f"no station {order.station!r}; there are: {known}")
        if order.id in self._orders:
            return []
        found = self.tick(now_ms)
        found += carry_out(station, order, now_ms)
        self._orders = [*self._orders[1 - MAX_ORDERS :], order.id]
        return found

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set by so much."""
        self._now_ms += delta_ms
        self._dues.lower_all(0)
        for station in self.stations.values():
            station.shift(delta_ms)

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as JSON-ready values."""
        return {
            "gates": {name: gate.snapshot() for name, gate in self.gates.items()},
            "board": self.board.snapshot(),
            "stations": {name: s.snapshot(self._now_ms) for name, s in self.stations.items()},
            "maintained": sorted(self.maintained),
            "orders": list(self._orders),
        }

    def restore(self, state: dict[str, Any], now_ms: int) -> list[str]:
        """Continue from a snapshot; returns what could not be restored, in words.

        Each part stands for itself: damage in one costs no other station its level.
        """
        notes = []
        self._now_ms = now_ms
        self._dues.lower_all(0)
        orders = state.get("orders")
        self._orders = list(map(str, orders)) if isinstance(orders, list) else []
        maintained = state.get("maintained")  # older states have none
        self.maintained = (
            set(maintained) & set(self.gates) if isinstance(maintained, list) else set()
        )
        for name, station in self.stations.items():
            station.silence.maintained = self.maintained & station.ports
            try:
                if name in state["stations"]:
                    notes += station.restore(state["stations"][name], now_ms)
            except UNUSABLE as error:
                notes.append(f"{name}: the saved alarm level cannot be used ({error!r})")
        for name, gate in self.gates.items():
            try:
                if name in state["gates"]:
                    gate.restore(state["gates"][name])
            except UNUSABLE as error:
                notes.append(f"port {name}: the saved times cannot be used ({error!r})")
        try:
            self.board.restore(state["board"])
        except UNUSABLE as error:
            notes.append(f"the saved references cannot be used ({error!r})")
        return notes
