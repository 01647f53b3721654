"""The rules of a station on a grid: that of the bundle where it has all channels, or their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edge.decide import Decider
from edge.errors import ConfigError
from edge.grid import Grid
from edge.rule_state import UnknownEvidenceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from edge.config import StationConfig
    from edge.grid import Observation
    from edge.qc_jump import Jumps
    from edge.score import Score
    from edge.watch import Watch

_NAN = float("nan")


class Ruling:
    """Grid and decider of one station. ConfigError where a rule looks at what is not there."""

    def __init__(self, config: StationConfig, watch: Watch | None) -> None:
        step_ms = config.step_ms if watch is None else watch.step_ms
        kinds = () if watch is None else watch.scored
        try:
            self.decider = Decider(config, step_ms, kinds)
        except UnknownEvidenceError as error:
            raise ConfigError("station", (f"{config.name}: {error}",)) from error
        names = self.decider.channels
        self._of = [step_ms, *(channel.name for channel in config.channels)]
        self.grid: Grid | None = None
        """Its own; None: it looks at the steps of the bundle's grid."""
        if watch is None or not set(self.decider.needed) <= set(watch.channels):
            self.grid = Grid(
                config.name,
                step_ms,
                tuple(channel.aggregate for channel in config.channels),
                readings_per_step=config.readings_per_step,
                lateness_ms=config.lateness_ms,
            )
            self._places: tuple[int, ...] = tuple(range(len(names)))
        else:
            known = watch.channels
            self._places = tuple(known.index(name) if name in known else -1 for name in names)

    def observe(self, time_ms: int, values: list[float], *, rebased: bool) -> list[Observation]:
        """Put values (station order) on its own grid."""
        assert self.grid is not None
        steps = self.grid.rebase() if rebased else []
        return steps + self.grid.push(time_ms, values)

    def step(self, observation: Observation, scores: Iterable[Score], level: int) -> int:
        """Look at one grid step; ``level`` stands now. Give the level that the rules ask for."""
        given = observation.values
        values = [given[i] if i >= 0 else _NAN for i in self._places]
        return self.decider.step(
            observation.time_ms, values, scores, level, reset=observation.reset
        )

    def hold(self, level: int) -> None:
        """Let the lowest rule of a level that was held stand: its state is lost, not its cause."""
        self.decider.engine.hold(level)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON-ready values."""
        return {
            "grid": None if self.grid is None else self.grid.snapshot(),
            "grid_of": self._of,
            "decider": self.decider.snapshot(),
        }

    def restore(self, state: dict[str, Any]) -> bool:
        """Continue from a snapshot; whether steps that were open go on.

        Of other channels, in another order, they would be taken for what they are not.
        """
        grid, same = state["grid"], state.get("grid_of", self._of) == self._of
        if self.grid is not None and grid is not None and same:
            self.grid.restore(grid)
        self.decider.restore(state["decider"])
        return same or not (grid and grid["cells"])


def watch_acceleration(jumps: Jumps, rules: Ruling | None) -> None:
    """Let no step be taken out of what is known to accelerate, and spikes out of movement."""
    movement = None if rules is None else rules.decider.movement
    if rules is None or movement is None:
        jumps.moving = lambda _: False
        return
    jumps.undone.tell, jumps.undone.doubt = rules.decider.undo, rules.decider.doubt
    stage = next(s for s in movement.series() if s.kind == "stage")
    places = {name: i for i, name in enumerate(stage.channels)}
    jumps.moving = lambda name: name in places and stage.values[places[name]] >= 1
