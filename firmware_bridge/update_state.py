"""What an update consists of: its steps, its state, its actions and the answers to them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from firmware_bridge.update_manifest import Conditions, FirmwareManifest
from firmware_bridge.update_target import (
    MAX_SAMPLES,
    Backup,
    Identity,
    ReadBack,
    Reverted,
    Samples,
    Written,
)

GOOD_SAMPLES = 5
"""Good samples in a row that prove an image, unless told otherwise."""


class Step(Enum):
    """A step of the update, in order; REVERT and END are the ways out."""

    LOCK = "lock"
    IDENTIFY = "identify"
    CHECK = "check"
    BACKUP = "backup"
    WRITE = "write"
    VERIFY = "verify"
    TEST_BOOT = "test_boot"
    PROVE = "prove"
    CONFIRM = "confirm"
    REVERT = "revert"
    END = "end"


class Outcome(Enum):
    """How an update ended."""

    NONE = ""
    CONFIRMED = "confirmed"
    """The new image runs, proven, and stays."""
    REFUSED = "refused"
    """Nothing was changed."""
    REVERTED = "reverted"
    """The old image runs and stays."""
    INTERRUPTED = "interrupted"
    """The node does not do its part now: mend that, and resume."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done to which kind of target."""

    manifest: FirmwareManifest
    digest: str
    """What the target will report of the new image; see `Target.prepare`."""
    slots: int
    chunk_bytes: int
    """0: the whole image at once."""
    conditions: Conditions = field(default_factory=Conditions)
    good_samples: int = GOOD_SAMPLES

    def __post_init__(self) -> None:
        if self.slots not in (1, 2):
            raise ValueError("slots: 1 or 2")
        if not 1 <= self.good_samples <= MAX_SAMPLES:
            raise ValueError(f"good_samples: 1 to {MAX_SAMPLES}")


@dataclass(frozen=True, slots=True)
class State:
    """Where an update stands; all of it goes into the journal."""

    phase: Step = Step.LOCK
    """How far the update has come."""
    doing: Step = Step.LOCK
    """Whose action is due: the phase's, or LOCK or IDENTIFY before it."""
    old: str = ""
    """Digest of the image that ran before."""
    offset: int = 0
    """Bytes of the new image that are in the flash."""
    writes: int = 0
    boots: int = 0
    """Test boots that did not last."""
    confirms: int = 0
    reverts: int = 0
    asks: int = 0
    good: int = 0
    """Good samples in a row."""
    fails: int = 0
    outcome: Outcome = Outcome.NONE
    detail: str = ""
    """For people: why it ended or what last went wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Action:
    """What is to be done now."""

    step: Step
    offset: int = 0
    size: int = 0
    """Bytes to write (WRITE) or to hash (VERIFY)."""
    count: int = 0
    """Samples to wait for."""
    old: str = ""
    """Digest of the image to bring back (REVERT)."""


@dataclass(frozen=True, slots=True)
class Locked:
    """The port is ours."""


@dataclass(frozen=True, slots=True)
class Identified:
    """The node said who it is."""

    identity: Identity
    alarm: str = ""
    """Which alarm is raised; "" for none."""


@dataclass(frozen=True, slots=True)
class Booted:
    """The node was told to restart."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The node was told to keep its image."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The action could not be done, or nobody answered."""

    why: str


Event = (
    Locked | Identified | Backup | Written | ReadBack | Booted | Samples | Confirmed | Reverted
    | Failed
)  # fmt: skip
