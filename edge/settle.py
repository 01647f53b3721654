"""Memory of a process that runs for months: what is free goes back to the system."""

from __future__ import annotations

import ctypes
import gc
from typing import Any

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h
_KEPT_BYTES, _AHEAD_BYTES, _LARGE_BYTES = 64 * 1024, 16 * 1024, 128 * 1024


def keep_little() -> None:
    """Let the allocator keep little of what is freed: before anything large is made.

    glibc keeps free memory, and the more of it the larger what was freed, unless it is told
    otherwise (mallopt(3)): a start, and each state that is saved, fill and free some megabytes.
    Until `settle` no garbage is looked for: what a start makes stays, and to look through it time
    and again takes a fifteenth of it.
    """
    gc.disable()
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.mallopt(_M_TOP_PAD, _AHEAD_BYTES)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)


def settle() -> None:
    """Let what stands now stay out of the collector's way, and give back what is free."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.enable()
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    """Return the C library, None where it is another."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
