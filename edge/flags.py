"""What is wrong with a value, or was done to it: flags that travel with the reading."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag


class Flag(IntFlag):
    """Several may be at once."""

    MISSING = 1
    """The reading has this column, and it holds no value."""
    RANGE = 2
    """Beyond what the sensor can give."""
    RATE = 4
    """Faster than the site says that anything can be."""
    HELD = 8
    """Further off than noise can be: the models wait until the next reading bears it out."""
    SPIKE = 16
    """It was off and came back. Told of the reading that was off, as soon as that is known."""
    STEP = 32
    """A jump that stays and that no neighbour shares: put down to the instrument, taken out."""
    FROZEN = 64
    """The same to the last digit for longer than this sensor can be still."""
    NOISE = 128
    """To and fro, far beyond the noise of this sensor."""
    GAP = 256
    """The first row after some that never came."""
    LATE = 512
    """It came after younger ones."""
    DUPLICATE = 1024
    """The row before once more, a row of long ago on all channels, or one in which most channels
    were off together and came back."""
    CLOCK = 2048
    """The first row after some whose times were refused, or a time that was told before."""
    SWAPPED = 4096
    """Two channels are exchanged; the models get them the right way round."""
    DRIFT = 8192
    """It slowly leaves its neighbours, which agree with each other."""
    TEMPERATURE = 16_384
    """It answers to temperature otherwise than it used to."""
    REZEROED = 32_768
    """From here on its zero is another, by order."""
    MAINTENANCE = 65_536
    """Its port is in maintenance."""
    COMPENSATED = 131_072
    """Temperature has been taken out; a state of the channel, told in health, not per reading."""

    @property
    def texts(self) -> tuple[str, ...]:
        """The names of all that are set, such as ("held", "rate")."""
        return tuple((flag.name or "").lower() for flag in Flag if flag in self)


NOTHING = Flag(0)
BAD = (
    Flag.MISSING | Flag.RANGE | Flag.RATE | Flag.HELD | Flag.FROZEN | Flag.NOISE | Flag.DUPLICATE
)  # fmt: skip
"""What the models must not see. Slow faults (DRIFT, TEMPERATURE) are told and still given: what
moves alone may be the slope."""
INCONSISTENT = Flag.SWAPPED | Flag.DRIFT
"""Does not go with its neighbours."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """Flags of one value, or of all that a row has where ``channel`` is empty."""

    time_ms: int
    """Of the value: a spike is known for one with the reading after it."""
    channel: str
    flags: Flag
