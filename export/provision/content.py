"""By what cards are told apart: a digest of all that is on them, secrets too.

It stays on the card when its secrets have gone. Where one of them is a token or a key nobody can
guess what else it is of; where a Wi-Fi password is the only one, guessing it here costs more than
from what is on the air. The PIN of a SIM is four digits: it is left out.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SALT = b"talus card 1"
_WORK = 2**14
"""Of scrypt: 16 MiB and a twentieth of a second each guess."""
_PIN = b"pin="


def content_of(
    proven: Mapping[str, str], secrets: Mapping[str, bytes], beside: Mapping[str, str]
) -> str:
    """Return the digest. ``proven``: sha256 of files; ``beside``: what lies beside talus/."""
    kept = {name: _without_pin(content).hex() for name, content in secrets.items()}
    values = {"files": dict(proven), "secrets": kept, "beside": dict(beside)}
    told = json.dumps(values, sort_keys=True).encode()
    return hashlib.scrypt(told, salt=_SALT, n=_WORK, r=8, p=1, dklen=8).hex()


def _without_pin(content: bytes) -> bytes:
    return b"\n".join(line for line in content.split(b"\n") if not line.startswith(_PIN))
