"""The one date in what is built, so that it is the same bytes when it is built again."""

from __future__ import annotations

import os

from edge.errors import TalusError

FAT_BEGINS_S = 315_532_800
"""1980: FAT knows no earlier date."""
_ENDS_S = 2**31


def source_date_s(default_s: int, *, since_s: int = 0) -> int:
    """Return SOURCE_DATE_EPOCH, or a default. Raises TalusError where it is no time."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return default_s
    if not (text.isascii() and text.isdigit() and since_s <= int(text) < _ENDS_S):
        begins = 1980 if since_s else 1970
        raise TalusError(f"SOURCE_DATE_EPOCH={text!r}: seconds since 1970, {begins} to 2038")
    return int(text)
