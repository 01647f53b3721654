"""Whose commands over MQTT are obeyed, and who else could make that change."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from edge.finding import Finding
from edge.parse_remote import NO_REMOTE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from edge.config import Config


def check_remote(config: Config, path: Path) -> Iterator[Finding]:
    """Look at [remote], where there is one; ``path``: the configuration, which holds the keys."""
    remote = config.remote
    if remote == NO_REMOTE:
        return
    if path.stat().st_mode & stat.S_IWOTH:
        text = f"{path}: everybody can write it, and so command this gateway; chmod o-w {path}"
        yield Finding(ok=False, path="remote.keys", text=text)
    if remote.allow_unsigned:
        text = "whoever the broker lets publish is obeyed: put keys there before the field"
        yield Finding(ok=True, path="remote.allow_unsigned_commands", text=text)
        return
    ids = ", ".join(key.id for key in remote.keys)
    shared = [key.id for key in remote.keys if key.key in {k.key for k in config.trust.keys}]
    if shared:
        text = f"{', '.join(shared)} also signs bundles: take another key for the operations room"
        yield Finding(ok=True, path="remote.keys", text=text, sure=False)
    else:
        yield Finding(ok=True, path="remote.keys", text=f"commands are obeyed of {ids}")
