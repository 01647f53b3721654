"""What text messages are made of, and what a modem's errors mean in words. Pure."""

from __future__ import annotations

import re
import unicodedata

MAX_TEXT = 160
"""Characters of one message in the GSM alphabet."""
MAX_SHOWN = 60
_NUMBER = re.compile(r"\+?[0-9]{3,15}")
REGISTRATION = {0: "it does not search", 2: "it is searching", 3: "the network refuses this SIM"}
CME = {10: "no SIM", 11: "the SIM wants its PIN", 12: "the SIM is locked and wants its PUK",
        13: "the SIM fails", 14: "the SIM is busy", 16: "wrong PIN", 30: "no network"}  # fmt: skip
CMS = {1: "no such number", 21: "refused", 28: "no such number", 30: "no such number",
        38: "the network is out of order", 41: "the network fails for now",
        42: "the network is congested", 310: "no SIM", 311: "the SIM wants its PIN",
        330: "no service centre is set", 331: "no network", 332: "the network gives no answer",
        500: "unknown"}  # fmt: skip
# Where ASCII and the GSM alphabet agree: right under whatever character set the modem has.
_SAFE = frozenset(
    " !\"#%&'()*+,-./0123456789:;<=>?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)
_NEAR = str.maketrans({"_": "-", "[": "(", "]": ")", "{": "(", "}": ")", "°": "", "µ": "u"})
_NEAR[ord("@")] = "(at)"


def is_number(text: str) -> bool:
    """Whether this is a telephone number: digits, with or without a + before them."""
    return _NUMBER.fullmatch(text) is not None


def plain_text(text: str, length: int = MAX_TEXT) -> str:
    """Give a text in characters that every modem sends as they are; cut where it is too long."""
    flat = unicodedata.normalize("NFKD", text.translate(_NEAR))
    kept = (c if c in _SAFE else "?" for c in flat if not unicodedata.combining(c))
    plain = "".join(kept)
    return plain if len(plain) <= length else plain[: max(0, length - 2)] + ".."


def error_words(kind: bytes | None, code: bytes) -> str:
    """Say an error in words: ``kind`` is S of +CMS ERROR, E of +CME ERROR, None of a bare one."""
    if kind is None:
        return "an error without a number"
    name = f"+CM{kind.decode('ascii', 'replace')} ERROR: {shown(code)}"
    number = int(code) if re.fullmatch(rb"[0-9]{1,4}", code.strip()) else -1
    words = (CMS if kind == b"S" else CME).get(number, "")
    return f"{words} ({name})" if words else name


def shown(line: bytes) -> str:
    """Give what a modem said, fit for a log."""
    return "".join(c for c in line.decode("ascii", "replace") if c.isprintable())[:MAX_SHOWN]
