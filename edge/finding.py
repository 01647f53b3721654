"""What `talus check` found about one thing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``path`` in the TOML, and what is wrong with it and what to do.

    ``sure`` is False where only a person can tell, as with a line on which nothing came.
    """

    ok: bool
    path: str
    text: str
    sure: bool = True
