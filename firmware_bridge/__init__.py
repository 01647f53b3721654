"""The serial link to sensors: bytes in, `Reading` out.

Everything but `port`, `simulator` and the opening of a capture file is pure: no serial port, no
socket, no clock; time is an argument. Importing this package loads neither pyserial nor numpy:

    >>> from firmware_bridge.drivers.tw1 import Tw1Driver
    >>> driver = Tw1Driver("node-1")
    >>> driver.opened(0)
    >>> len(driver.write_next(0))  # asks the node who it is
    12
"""

from __future__ import annotations

from firmware_bridge.framing import BadFrame, Frame, FrameDecoder, encode
from firmware_bridge.reading import (
    ROW_REASONS,
    Channel,
    Driver,
    Dropped,
    LinkHealth,
    Quantity,
    Reading,
    Unit,
)

__all__ = [
    "ROW_REASONS",
    "BadFrame",
    "Channel",
    "Driver",
    "Dropped",
    "Frame",
    "FrameDecoder",
    "LinkHealth",
    "Quantity",
    "Reading",
    "Unit",
    "encode",
]
