"""The alarm of one station: levels 0-4 and NO-DATA, latched, acknowledged, shelved, tried out.

States, after ISA-18.2 / IEC 62682:

    level          the higher of what the bundle's scores (`score_level`) and the rules ask for
    latched        from the latch level on a level stays until somebody acknowledges it
    acknowledged   somebody has seen it; it falls as soon as nothing asks for it any more
    shelved        a rule, or "models", asks for nothing until a time that is always stated
    drill          an event that is marked as one; it changes no state
    silence        changes ``silent``; it never lowers a level
    NO-DATA        while everything armed is silent; the level held is reported beside it
    maintenance    begins and ends with a change of its own; like silence it never lowers a level

Levels follow the times of the readings alone, whenever these arrive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edge.score_level import TOP, ScoreLevel

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge.config import AlarmConfig
    from edge.evidence import Tripped
    from edge.score import Forecast, Score, Scores

    Given = Scores | tuple[Score, ...]

LEVELS = ("normal", "attention", "caution", "warning", "alarm")
MODELS = "models"
"""What the scores of the bundle are shelved as."""
NEVER_LATCHED = 5
MAX_SHELVED = 64


@dataclass(frozen=True, slots=True)
class AlarmChange:
    """A change that the operations room must hear of, with its evidence.

    ``time_ms`` is the time of the readings, ``received_ms`` when the gateway had them;
    ``silent`` names armed scores and channels that no longer report.
    """

    id: str
    station: str
    time_ms: int
    received_ms: int
    level: int
    previous_level: int
    no_data: bool
    silent: tuple[str, ...]
    reason: str
    evidence: tuple[Score, ...]
    bundle: str
    maintenance: tuple[str, ...] = ()
    """Channels whose port is in maintenance: their silence is expected."""
    kind: str = "level"
    """"level", "silence", "maintenance", "acknowledged", "shelved", "drill" or "quality"."""
    rules: tuple[Tripped, ...] = ()
    """Rules that stand, highest first, with what they see."""
    latched: bool = False
    acknowledged_by: str = ""
    shelved: tuple[tuple[str, int], ...] = ()
    """(rule or "models", until when, ms)."""
    ages_ms: tuple[tuple[str, int], ...] = ()
    """(channel, how long ago it was last heard)."""
    forecasts: tuple[Forecast, ...] = ()
    """What the models expected at the step that led to it."""


class Alarm:
    """The state machine of one station."""

    def __init__(
        self, station: str, rules: AlarmConfig, bundle: str, latch_level: int = NEVER_LATCHED
    ) -> None:
        self._station = station
        self._rules = rules
        self._bundle = bundle
        self._latch_level = latch_level
        self._scores = ScoreLevel(rules)
        self.level = 0
        self.ruled = 0
        """What the rules ask for."""
        self._asked = 0  # before that
        self.silent: tuple[str, ...] = ()
        self.no_data = False
        self.maintenance: tuple[str, ...] = ()
        self.latched = False
        self.acknowledged_by = ""
        self.shelved: dict[str, int] = {}
        """Until when, ms of arrival, by rule or "models"."""
        self.ages: Callable[[int], tuple[tuple[str, int], ...]] = lambda _: ()
        self.standing: Callable[[], tuple[Tripped, ...]] = lambda: ()
        self._count = 0
        self._time_ms = 0

    def restart_clocks(self) -> None:
        """Stop all delay clocks: the time line broke, durations across the break mean nothing."""
        self._scores.restart_clocks()

    def forget_scores(self) -> None:
        """Forget which scores there were: another bundle has others. The level is kept."""
        self._scores.forget()
        self.silent = ()

    def update(self, time_ms: int, received_ms: int, scores: Given) -> AlarmChange | None:
        """Take the scores of one grid step."""
        self._time_ms = time_ms
        self._scores.update(time_ms, scores)
        return self._settle(received_ms, scores)

    def rule(self, time_ms: int, received_ms: int, level: int) -> AlarmChange | None:
        """Take the level that the rules ask for."""
        self._time_ms = time_ms
        self._asked, self.ruled = self.ruled, level
        return self._settle(received_ms, ())

    def _settle(self, received_ms: int, scores: Given) -> AlarmChange | None:
        scored = 0 if MODELS in self.shelved else self._scores.level
        wanted = self.ruled if self.ruled > scored else scored
        if wanted == self.level:
            self.latched = False
            return None
        if wanted < self.level and self.level >= self._latch_level and not self.acknowledged_by:
            self.latched = True
            return None
        self.latched = False
        return self._change(received_ms, wanted, self._why(wanted, scored), scores)

    def _why(self, level: int, scored: int) -> str:
        verb = "rose to" if level > self.level else "fell to"
        reason = f"level {verb} {level} ({LEVELS[level]}): "
        standing = [each for each in self.standing() if each.level <= level]
        if level < self.level:
            hours = self._rules.off_delay_ms / 3.6e6
            still = f"; {standing[0].text()} still stands" if standing else ""
            calm = f"all scores have stood below set point {level + 1} for {hours:g} h"
            if self.acknowledged_by and self.level >= self._latch_level:
                calm = f"acknowledged by {self.acknowledged_by}, and nothing asks for more"
            elif self._asked >= self.level:
                calm = "no rule asks for more"
            return reason + calm + still
        if scored >= level and self._scores.top is not None:
            return reason + describe(self._scores.top)
        return reason + (standing[0].text() if standing else "")

    def silence(
        self, received_ms: int, silent: tuple[str, ...], *, no_data: bool, why: str
    ) -> AlarmChange | None:
        """Take the set of what is silent now; a change of it is an alarm of its own."""
        if silent == self.silent and no_data == self.no_data:
            return None
        started = no_data and not self.no_data
        ended = self.no_data and not no_data
        self.silent, self.no_data = silent, no_data
        if started:
            reason = f"NO-DATA: {why}; level {self.level} is held"
        elif ended and not silent:
            reason = "watching"
        elif silent:
            reason = f"silent: {why}"
        else:
            reason = "all channels and scores report again"
        return self._event(received_ms, "silence", reason)

    def maintain(
        self, received_ms: int, port: str, channels: tuple[str, ...], *, begun: bool
    ) -> AlarmChange:
        """Take that maintenance of a port begins or ends; ``channels``: those in it from now on."""
        self.maintenance = channels
        reason = f"maintenance of port {port} has ended; level {self.level} is held"
        if begun:
            names = ", ".join(channels)
            reason = f"maintenance of port {port}: meanwhile nobody watches {names}; "
            reason += f"level {self.level} is held"
        return self._event(received_ms, "maintenance", reason)

    def acknowledge(self, received_ms: int, who: str) -> AlarmChange:
        """Take that somebody has seen the level; a latched one may fall with the next reading."""
        self.acknowledged_by = who
        reason = f"level {self.level} ({LEVELS[self.level]}) acknowledged by {who}"
        return self._event(received_ms, "acknowledged", reason)

    def shelve(self, received_ms: int, what: str, until_ms: int, who: str, why: str) -> AlarmChange:
        """Let a rule, or "models", ask for nothing until then; in the past: at once no longer."""
        self.shelved.pop(what, None)
        reason = f"{what} is no longer shelved ({who}: {why})"
        if until_ms > received_ms and len(self.shelved) < MAX_SHELVED:
            self.shelved[what] = until_ms
            minutes = (until_ms - received_ms) / 60_000
            reason = f"{what} is shelved for {minutes:.0f} min by {who}: {why}"
        return self._event(received_ms, "shelved", reason)

    def expire(self, received_ms: int) -> list[AlarmChange]:
        """Let what was shelved up to now ask again; told each time."""
        found = []
        for what in [w for w, until in self.shelved.items() if until <= received_ms]:
            del self.shelved[what]
            reason = f"{what} is no longer shelved: its time is over"
            found.append(self._event(received_ms, "shelved", reason))
        return found

    def drill(self, received_ms: int, level: int, who: str) -> AlarmChange:
        """Give an event of a level that is marked as a drill; nothing else changes."""
        reason = f"DRILL of level {level} ({LEVELS[level]}) by {who}; the level is {self.level}"
        return self._event(received_ms, "drill", reason, shown=level)

    def note(self, received_ms: int, what: str) -> AlarmChange:
        """Tell what was found out about the instruments; the level is as it was."""
        return self._event(received_ms, "quality", what)

    def _change(self, received_ms: int, level: int, reason: str, scores: Given) -> AlarmChange:
        previous, self.level = self.level, level
        if level > previous or not level:
            self.acknowledged_by = ""  # what was seen was less than this
        return self._made(received_ms, "level", reason, scores, previous, level)

    def _event(
        self, received_ms: int, kind: str, reason: str, *, shown: int | None = None
    ) -> AlarmChange:
        level = self.level if shown is None else shown
        return self._made(received_ms, kind, reason, (), self.level, level)

    def _made(
        self, received_ms: int, kind: str, reason: str, scores: Given, previous: int, level: int
    ) -> AlarmChange:
        self._count += 1
        time_ms = self._time_ms or received_ms  # before any reading: when it was found out
        return AlarmChange(
            id=f"{self._station}-{time_ms}-{self._count}",
            station=self._station,
            time_ms=time_ms,
            received_ms=received_ms,
            level=level,
            previous_level=previous,
            no_data=self.no_data,
            silent=self.silent,
            reason=reason,
            evidence=tuple(scores),
            bundle=self._bundle,
            maintenance=self.maintenance,
            kind=kind,
            rules=self.standing(),
            latched=self.latched,
            acknowledged_by=self.acknowledged_by,
            shelved=tuple(sorted(self.shelved.items())),
            ages_ms=self.ages(received_ms),
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "level": self.level,
            "silent": list(self.silent),
            "no_data": self.no_data,
            "maintenance": list(self.maintenance),
            "latched": self.latched,
            "acknowledged_by": self.acknowledged_by,
            "shelved": dict(self.shelved),
            "scores": self._scores.snapshot(),
            "ruled": self.ruled,
            "count": self._count,
            "time_ms": self._time_ms,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot: a raised level stays raised over a restart, and an upgrade.

        A state of a release before rules and orders has the level, what is silent, and the clocks
        of the scores beside them.
        """
        level, count, time_ms = (int(state[key]) for key in ("level", "count", "time_ms"))
        silent, no_data = tuple(state["silent"]), bool(state["no_data"])
        maintenance = tuple(state.get("maintenance", ()))
        shelved = {str(what): int(until) for what, until in state.get("shelved", {}).items()}
        ruled = int(state.get("ruled", 0))
        if not (0 <= level <= TOP and 0 <= ruled <= TOP):
            raise ValueError("not a state of an alarm")
        self._scores.restore(state.get("scores", state))
        self.level, self._count, self._time_ms = level, count, time_ms
        self.silent, self.no_data, self.maintenance = silent, no_data, maintenance
        self.latched = bool(state.get("latched"))
        self.acknowledged_by = str(state.get("acknowledged_by", ""))
        self.shelved, self.ruled = shelved, ruled
        self._asked = ruled


def describe(score: Score) -> str:
    """Say a score in words."""
    unit = "" if score.unit == "1" else f" {score.unit}"
    return (
        f"{score.kind} of {score.channel} {score.value:.3g}{unit}, "
        f"{score.ratio:.2f} x its threshold {score.threshold:.3g}{unit}"
    )
