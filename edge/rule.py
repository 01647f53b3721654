"""A site's rules as configured: which evidence, on how many sensors, leads to which level."""

from __future__ import annotations

from dataclasses import dataclass

HALF = 0
"""``at_least`` of a condition that needs half of the live channels, rounded up."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One piece of evidence that must hold on so many channels."""

    evidence: str
    """A key of `evidence.KINDS`."""
    window_ms: int
    threshold: float
    keep: float
    """Once the rule stands, it is held so long as the evidence stays beyond this (hysteresis)."""
    below: bool
    """Whether the evidence must fall below the threshold rather than reach it."""
    channels: tuple[str, ...]
    """Empty: all that have such evidence."""
    at_least: int
    neighbours: bool
    """Whether they must lie side by side in the order of ``channels``, dead ones stepped over."""


@dataclass(frozen=True, slots=True)
class Rule:
    """All conditions at once, for so long, raise the level; it then stands for ``valid_ms``."""

    name: str
    level: int
    when: tuple[Condition, ...]
    for_ms: int = 0
    valid_ms: int = 0
    only_keeps: bool = False
    """It raises nothing, and keeps what is raised, up to its level, for as long as it holds."""
    optional: bool = False
    """Of a profile: left out where the station has nothing of what it looks at."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How a station decides: its rules, and from which level on somebody must acknowledge."""

    rules: tuple[Rule, ...]
    latch_level: int
    """From this level on, it stays until it is acknowledged; 5: never."""
    profile: str


NO_RULES = Decision((), 5, "none")
"""The scores of the bundle alone decide."""
