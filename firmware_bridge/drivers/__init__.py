"""Instruments: bytes in, `Reading` out, and what to write next. Pure; see `reading.Driver`."""
