"""The way to a broker: one connection at a time, made again, to the next broker, or back.

While a broker that is not the preferred one serves, the preferred ones are asked now and then, on
a connection of another name that publishes nothing, whether they let this gateway in.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

from edge.mqtt_choice import Choice
from edge.mqtt_link import CONNECT_S, Event, Link
from edge.wake import Wake

if TYPE_CHECKING:
    from pathlib import Path

    from edge.parse_mqtt import Broker, MqttConfig

_STUCK_S = 10.0
"""A connection that was cut has ended by then; if not, it is left alone, as it cannot publish."""
_GOODBYE_S = 2.0
"""A broker that does not take the goodbye within that time is left without."""
MAX_EVENTS_A_TURN = 1000


class Route:
    """Keeps a connection up. ``turn`` gives what happened on it, ``events`` of no other."""

    def __init__(
        self, config: MqttConfig, folder: Path, client_id: str, will: tuple[str, bytes]
    ) -> None:
        self.link: Link | None = None
        self.wanted_back: int | None = None
        """The preferred broker that answers again: to be gone to once nothing is on the air."""
        self._config = config
        self._folder = folder
        self._client_id = client_id
        self._will = will
        self._choice = Choice(len(config.brokers), config.patience_s)
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.wake = Wake()
        """Wakes whoever calls `turn`."""
        self._begun_s = 0.0
        self._cut_s: float | None = None
        self._left_s: float | None = None
        self._probe: Link | None = None
        self._probe_at = -1
        self._probe_begun_s = 0.0
        self._open = False

    @property
    def broker(self) -> Broker:
        """Return the broker of the moment."""
        return self.link.broker if self.link else self._config.brokers[self._choice.at]

    @property
    def place(self) -> int:
        """Return its place in the order of preference, 0 first."""
        return self._choice.at

    def start(self) -> None:
        """Begin to connect."""
        self._open = True

    def turn(self, now_s: float) -> list[Event]:
        """Do what is due; returns what happened on the connection."""
        happened = []
        for _ in range(MAX_EVENTS_A_TURN):
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            if event.link is self._probe:
                self._probed(event, now_s)
            elif event.link is self.link:
                happened.append(event)
                self._take(event, now_s)
        self._watch(now_s)
        if self.link is None and self._open and now_s >= self._choice.not_before_s:
            self._begin(now_s)
        return happened

    def _begin(self, now_s: float) -> None:
        self._choice.tried(now_s)
        self._begun_s, self._cut_s, self._left_s = now_s, None, None
        broker = self._config.brokers[self._choice.at]
        self.link = Link(
            self._config, self._folder, self._client_id, broker, self._events, self.wake, self._will
        )
        self.link.start()

    def _take(self, event: Event, now_s: float) -> None:
        if event.kind == "connected":
            self._probe_begun_s = now_s
        elif event.kind == "acknowledged" and not event.reason.is_failure:
            self._choice.works()
        elif event.kind == "ended":
            self.link = None
            if self.wanted_back is not None:
                self._choice.go_back(self.wanted_back, now_s)
                self.wanted_back = None
            else:
                self._choice.failed(now_s)

    def _watch(self, now_s: float) -> None:
        """End what takes too long, and ask the preferred brokers."""
        link = self.link
        if link is None:
            return
        if self._cut_s is not None:
            if now_s - self._cut_s > _STUCK_S:
                self._take(Event("ended", link), now_s)
        elif self._left_s is not None:
            if now_s - self._left_s > _GOODBYE_S:
                self.cut(now_s)
        elif not link.was_connected and now_s - self._begun_s > CONNECT_S:
            self.cut(now_s)
        if link.was_connected and self.place and self._cut_s is None and self.wanted_back is None:
            self._ask(now_s)

    def _ask(self, now_s: float) -> None:
        """Begin to ask a preferred broker, in turn, or end what takes too long."""
        waited_s = now_s - self._probe_begun_s
        if self._probe is not None:
            if waited_s > CONNECT_S:
                self._probe.cut()
                self._answered(now_s, answered=False)
        elif waited_s >= self._config.probe_s:
            self._probe_at = (self._probe_at + 1) % self.place
            broker = self._config.brokers[self._probe_at]
            name = f"{self._client_id}-probe"
            self._probe_begun_s = now_s
            self._probe = Link(self._config, self._folder, name, broker, self._events, self.wake)
            self._probe.start()

    def _probed(self, event: Event, now_s: float) -> None:
        if event.kind == "connected":
            event.link.leave()
        elif event.kind == "ended":
            self._answered(now_s, answered=event.link.was_connected)

    def _answered(self, now_s: float, *, answered: bool) -> None:
        self._probe = None
        self._probe_begun_s = now_s
        if self._choice.probed(self._probe_at, answered=answered) and self.link is not None:
            self.wanted_back = self._probe_at

    def hurry(self, hurry: bool) -> None:
        """Say whether acknowledgements, too, are to wake whoever calls `turn`."""
        self.wake.hurry = hurry
        if hurry and self._events.qsize():  # they came before that was said
            self.wake.call()

    def leave(self, now_s: float) -> None:
        """Say goodbye to this broker."""
        if self.link is not None:
            self._left_s = now_s
            self.link.leave()

    def cut(self, now_s: float) -> None:
        """Give this connection up."""
        if self.link is not None and self._cut_s is None:
            self._cut_s = now_s
            self.link.cut()

    def stop(self) -> None:
        """Begin no other connection."""
        self._open = False
        if self._probe is not None:
            self._probe.cut()
