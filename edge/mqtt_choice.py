"""Which broker is tried next, and when: times come from outside.

A broker that fails is tried again after a random part of a delay that doubles ("full jitter"), so
that gateways that lost it together do not come back together. One that has failed for ``patience``
gives way to the next in order.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RETRY_MIN_S = 0.5
RETRY_MAX_S = 30.0
RETRY_ALONE_MAX_S = 10.0
"""The longest delay where there is no other broker to go to."""
STABLE_S = 10.0
"""A connection that ends sooner, though it worked, does not start the delay anew: two gateways of
one name would throw each other out for ever, as fast as they can."""
PROVEN_PROBES = 2
"""A preferred broker that answers so often in a row is gone back to."""


class Choice:
    """The broker of the moment, by its place in the order of preference."""

    def __init__(
        self,
        count: int,
        patience_s: float,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.at = 0
        self.not_before_s = float("-inf")
        self._count = count
        self._patience_s = patience_s
        self._draw = draw
        self._failures = 0
        self._tried_s = 0.0
        self._worked = False
        self._moves = 0
        self._failing_since_s: float | None = None
        self._answered = [0] * count

    def tried(self, now_s: float) -> None:
        """Take that a connection is begun."""
        self._tried_s, self._worked = now_s, False
        if self._failing_since_s is None:
            self._failing_since_s = now_s

    def works(self) -> None:
        """Take that the broker has acknowledged a message: to be let in alone proves nothing."""
        self._worked = True
        self._moves = 0
        self._failing_since_s = None

    def failed(self, now_s: float) -> None:
        """Take that a connection could not be made, or ended."""
        self._answered = [0] * self._count
        if self._worked and now_s - self._tried_s >= STABLE_S:
            self._failures = 0
        self._failures = min(self._failures + 1, 32)
        if self._failing_since_s is None:  # it worked until now
            self._failing_since_s = now_s
        longest_s = RETRY_MAX_S if self._count > 1 else RETRY_ALONE_MAX_S
        delay_s = self._draw(0.0, min(longest_s, RETRY_MIN_S * 2.0 ** (self._failures - 1)))
        end_s = self._failing_since_s + self._patience_s
        if self._count > 1 and now_s >= end_s:
            self._move((self.at + 1) % self._count)
            self._moves += 1
            if self._moves < self._count:
                delay_s = 0.0  # each is tried once at once
        elif self._count > 1:
            delay_s = min(delay_s, end_s - now_s)
        self.not_before_s = now_s + delay_s

    def _move(self, place: int) -> None:
        self.at = place
        self._failing_since_s = None

    def probed(self, place: int, *, answered: bool) -> bool:
        """Take the answer of a preferred broker; whether to go back to it now."""
        self._answered[place] = self._answered[place] + 1 if answered else 0
        return place < self.at and self._answered[place] >= PROVEN_PROBES

    def go_back(self, place: int, now_s: float) -> None:
        """Prefer this one from now on."""
        self._answered = [0] * self._count
        self._failures = self._moves = 0
        self._move(place)
        self.not_before_s = now_s
