"""Memory that was freed goes back to the system."""

from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest

from edge.settle import settle

_FREED = """
import sys
from edge.settle import keep_little, settle

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 1e6

if sys.argv[1] == "little":
    keep_little()
before = resident()
large = bytearray(30_000_000)  # glibc keeps more from now on, unless it is told otherwise
del large
pieces = [bytes(1000) for _ in range(20_000)]
del pieces
between = resident() - before
settle()
print(between, resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no mallopt")
def test_free_memory_goes_back_at_once_or_once_all_stands() -> None:
    kept = {}
    for how in ("usual", "little"):
        command = [sys.executable, "-c", _FREED, how]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        kept[how] = [float(word) for word in said.split()]
    assert kept["usual"][0] > 15.0  # else this proves nothing
    assert kept["usual"][1] < 5.0
    assert kept["little"][0] < 5.0


def test_what_stands_is_left_alone_by_the_collector() -> None:
    gc.unfreeze()
    try:
        settle()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()
