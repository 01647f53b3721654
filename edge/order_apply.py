"""What an order does to a station."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.alarm import MODELS
from edge.order import MAX_SHELF_MS, Order, OrderError

if TYPE_CHECKING:
    from edge.alarm import AlarmChange
    from edge.station import Station


def carry_out(station: Station, order: Order, now_ms: int) -> list[AlarmChange]:
    """Do what an order says; gives the events that tell of it. Raises OrderError, nothing done."""
    if order.what == "acknowledge":
        if not station.alarm.level:
            raise OrderError(f"{station.name} stands at level 0: nothing to acknowledge")
        return [station.alarm.acknowledge(now_ms, order.who)]
    if order.what == "drill":
        return [station.alarm.drill(now_ms, order.level, order.who)]
    if order.what == "shelve":
        known = [MODELS]
        if station.rules is not None:
            known += [each.rule.name for each in station.rules.decider.engine.rules]
        if order.rule not in known:
            raise OrderError(f"no rule {order.rule!r} at {station.name}; there are: "
                             f"{', '.join(known)}")  # fmt: skip
        if order.until_ms - now_ms > MAX_SHELF_MS:
            raise OrderError(f"for {MAX_SHELF_MS // 86_400_000} days at most")
        return [station.alarm.shelve(now_ms, order.rule, order.until_ms, order.who, order.why)]
    try:
        return station.rezero(order.channel, now_ms, now_ms)
    except ValueError:
        there = ", ".join(station.channels)
        text = f"no channel {order.channel!r} at {station.name}; there are: {there}"
        raise OrderError(text) from None
