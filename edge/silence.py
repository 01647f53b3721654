"""What of a station no longer reports, told at the times it was due, however often one looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.alarm import MODELS
from edge.score import Scores

if TYPE_CHECKING:
    from edge.alarm import Alarm, AlarmChange
    from edge.config import StationConfig
    from edge.ruling import Ruling
    from edge.score import Head, Score
    from edge.watch import Watch

NEVER_MS = 2**62


class Silence:
    """When each channel and score was last heard, and which are silent."""

    def __init__(
        self,
        config: StationConfig,
        alarm: Alarm,
        *,
        expected: tuple[str, ...],
        armed: tuple[str, ...],
        kinds: tuple[str, ...],
        lacking: frozenset[str],
        unarmed: str,
        watches: bool,
    ) -> None:
        """Take what is to report.

        Args:
            config: of the station.
            alarm: is told what falls silent.
            expected: channels and scores whose silence is told.
            armed: all of them silent is NO-DATA; where there is none, all that is expected.
            kinds: scores, which rest while a channel is in maintenance.
            lacking: silent from the start on: a bundle is configured and cannot be armed.
            unarmed: why no bundle is armed.
            watches: whether there are rules or models at all.

        """
        self._config, self._alarm = config, alarm
        self._expected, self._armed, self._kinds = expected, armed, kinds
        self._lacking, self._unarmed, self._watches = lacking, unarmed, watches
        self._known: dict[str, int] = {}
        self._lately: dict[tuple[str, ...], int] = {}
        """When all of these were heard together, not put down one by one yet: see `_heard`."""
        self._excused: dict[str, int] = {}
        self.maintained: set[str] = set()
        """Ports in maintenance: nobody expects to hear from them."""
        self._since_ms: int | None = None
        self._begun = False
        self._heads: tuple[Head, ...] = ()
        self._names: tuple[str, ...] = ()
        """Of the armed among the scores under these heads."""
        self.due_ms = 0
        """Nothing can fall silent before this: a lower bound, so that readings need not look."""
        self._latest_ms = 0
        """When anything was last heard."""

    def begin(self, now_ms: int) -> None:
        """Take that a reading came: with the first the wait begins."""
        if not self._begun:  # known to a replay too, other than when the gateway was started
            self._begun, self._since_ms = True, now_ms

    def hear_scores(self, scores: Scores | tuple[Score, ...], at_ms: int) -> None:
        """Take the scores of one step; the armed among them report. ``at_ms``: see hear_values."""
        if not (isinstance(scores, Scores) and scores.whole):
            names: tuple[str, ...] = tuple("score " + s.kind for s in scores if s.armed)
        else:
            if scores.heads is not self._heads:
                armed = ("score " + head.kind for head in scores.heads if head.armed)
                self._heads, self._names = scores.heads, tuple(dict.fromkeys(armed))
            names = self._names
        self._hear_all(names, at_ms)

    def hear_values(self, names: tuple[str, ...], values: list[float], at_ms: int) -> None:
        """Take the values of all channels, NaN for those that do not report.

        ``at_ms`` is when the row arrived: one that had to wait says nothing of how it is now.
        """
        total = sum(values)
        if total == total:  # nothing is missing: most often
            self._hear_all(names, at_ms)
            return
        pairs = zip(names, values, strict=True)
        self._hear(tuple([name for name, value in pairs if value == value]), at_ms)

    def hear_waiting(self, names: tuple[str, ...], values: list[float], at_ms: int) -> None:
        """Take a row that waits to be judged: its sensors report, and scores are not due yet."""
        self.hear_values(names, values, at_ms)
        self._excused |= dict.fromkeys(self._kinds, at_ms)

    def _hear_all(self, names: tuple[str, ...], at_ms: int) -> None:
        """Take that these report, as they most often do."""
        if at_ms >= self._latest_ms:
            self._latest_ms = at_ms
            self._lately[names] = at_ms
        else:
            self._hear(names, at_ms)

    def _hear(self, names: tuple[str, ...], at_ms: int) -> None:
        heard = self._heard
        self._latest_ms = max(self._latest_ms, at_ms)
        for name in names:
            heard[name] = max(at_ms, heard.get(name, at_ms))

    @property
    def _heard(self) -> dict[str, int]:
        """When each was last heard; seldom asked for."""
        known = self._known
        for names, at_ms in self._lately.items():
            for name in names:
                known[name] = max(at_ms, known.get(name, at_ms))
        self._lately.clear()
        return known

    def ages(self, names: tuple[str, ...], now_ms: int) -> tuple[tuple[str, int], ...]:
        """Give how long ago each was last heard."""
        heard = self._heard
        return tuple((name, now_ms - heard[name]) for name in names if name in heard)

    def tick(self, now_ms: int) -> list[AlarmChange]:
        """Look for what has fallen silent, in the order and at the times it was due.

        However often this is called, the same changes come of it: replay agrees with the field.
        """
        if now_ms <= self.due_ms:
            return []
        if self._since_ms is None:
            self._since_ms = now_ms
        if not self._watches:
            self.due_ms = NEVER_MS
            why = f"not armed: {self._unarmed}"
            change = self._alarm.silence(now_ms, ("models",), no_data=True, why=why)
            return [] if change is None else [change]
        silent = set(self._alarm.silent)
        found: list[AlarmChange] = []
        if self._lacking and not self._lacking <= silent:
            silent |= self._lacking
            found += self._tell(now_ms, silent)
        dues = {name: due for name, due in self._dues().items() if name not in silent}
        for due in sorted({due for due in dues.values() if due < now_ms}):
            silent.update(name for name in dues if dues[name] == due)
            found += self._tell(due, silent)
        # With all of them silent nothing is due before one of them returns.
        self.due_ms = min((due for due in dues.values() if due >= now_ms), default=NEVER_MS)
        return found

    def maintain(self, ports: set[str], now_ms: int) -> tuple[str, ...]:
        """Take which ports are in maintenance from now on; give their channels.

        What its end leaves has as long to report as after a start.
        """
        before = self._exempt()
        self.maintained = ports
        self._excused |= dict.fromkeys(before - self._exempt(), now_ms)
        self.due_ms = 0
        return tuple(c.name for c in self._config.channels if c.port in self.maintained)

    def _exempt(self) -> set[str]:
        """Return what is not expected: channels in maintenance, and with them all scores."""
        if not self.maintained:
            return set()
        names = {c.name for c in self._config.channels if c.port in self.maintained}
        return names.union(self._kinds)

    def shift(self, delta_ms: int) -> None:
        """Move all times of arrival: the clock of the gateway was set."""
        self._known = {name: at + delta_ms for name, at in self._heard.items()}
        self._latest_ms += delta_ms
        self._excused = {name: at + delta_ms for name, at in self._excused.items()}
        if self._since_ms is not None:
            self._since_ms += delta_ms
            self.due_ms += delta_ms

    def _dues(self) -> dict[str, int]:
        """Return when each armed score and each channel needed falls silent if no more comes."""
        start, heard = self._since_ms or 0, self._heard
        limit = self._config.no_data_after_ms
        dues = {
            name: max(heard.get(name, start), self._excused.get(name, 0)) + limit
            for name in self._expected
        }
        for name in self._exempt():
            dues.pop(name, None)
        return dues

    def returned(self, now_ms: int) -> list[AlarmChange]:
        """Look whether something that was silent reports again."""
        limit = self._config.no_data_after_ms
        silent = {
            name
            for name in self._alarm.silent
            if name not in self._heard or self._heard[name] + limit < now_ms
        }
        if len(silent) < len(self._alarm.silent):
            self.due_ms = 0
        return self._tell(now_ms, silent)

    def _tell(self, at_ms: int, names: set[str]) -> list[AlarmChange]:
        silent = tuple(sorted(names))
        no_data = all(each in names for each in self._armed or self._expected)
        limit_s = self._config.no_data_after_ms / 1000
        late = ", ".join(name for name in silent if name in self._heard)
        unheard = (name for name in silent if name not in self._heard)
        never = ", ".join(name for name in unheard if name not in self._lacking)
        parts = [f"nothing for {limit_s:g} s from {late}"] if late else []
        if self._lacking:
            parts.append(f"models are not armed: {self._unarmed}")
        if never:  # a model that warms up does not watch yet, and that has to be said
            parts.append(f"not heard yet, {limit_s:g} s after the start: {never}")
        why = "; ".join(parts)
        change = self._alarm.silence(at_ms, silent, no_data=no_data, why=why)
        return [] if change is None else [change]

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """Return the state as JSON-ready values; how long each was silent is as of ``now_ms``."""
        since = now_ms if self._since_ms is None else self._since_ms
        return {
            "ages_ms": {name: now_ms - at for name, at in self._heard.items()},
            "excused_ms": {name: now_ms - at for name, at in self._excused.items()},
            "begun": self._begun,
            "since_ms": now_ms - since,
        }

    def restart(self, now_ms: int) -> None:
        """Begin the wait anew."""
        self._since_ms, self.due_ms = now_ms, 0

    def restore(self, state: dict[str, Any], now_ms: int) -> None:
        """Continue from a snapshot."""
        since_ms = now_ms - int(state["since_ms"])
        begun = bool(state["begun"])
        self._known = {name: now_ms - int(age) for name, age in state["ages_ms"].items()}
        self._lately.clear()
        self._latest_ms = max(self._known.values(), default=0)
        excused = state.get("excused_ms", {})  # older states have none
        self._excused = {name: now_ms - int(age) for name, age in excused.items()}
        self._since_ms, self._begun = since_ms, begun


def silence_of(
    config: StationConfig, alarm: Alarm, watch: Watch | None, rules: Ruling | None, unarmed: str
) -> Silence:
    """Return what listens for what models and rules of a station need."""
    kinds = () if watch is None else watch.armed_kinds
    used = () if watch is None else watch.channels
    needed = () if rules is None else rules.decider.needed
    lacks = unarmed and config.bundle and rules is not None
    return Silence(
        config, alarm, expected=tuple(dict.fromkeys((*kinds, *used, *needed))),
        armed=(*kinds, *(() if rules is None else rules.decider.moving)),
        kinds=kinds, lacking=frozenset({MODELS}) if lacks else frozenset(),
        unarmed=unarmed, watches=watch is not None or rules is not None,
    )  # fmt: skip
