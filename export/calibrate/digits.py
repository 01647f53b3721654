"""Numbers in so many digits as they are worth, and as TOML has them."""

from __future__ import annotations

import json

_COLUMN = 44


def shown(value: float, digits: int = 3) -> float:
    """Return a number as it is written: three digits. NaN stays."""
    return float(f"{value:.{digits}g}") if value == value else value


def number(value: float) -> str:
    """Return a float as TOML has it, without dust."""
    text = f"{value:.12g}"
    return text if any(c in text for c in ".e") else f"{text}.0"


def line(key: str, value: float | str, comment: str) -> str:
    """Return ``key = value`` and where the value comes from."""
    text = f"{key} = {json.dumps(value) if isinstance(value, str) else number(value)}"
    return f"{text:<{_COLUMN}}# {comment}"
