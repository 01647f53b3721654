"""What a gateway does not use is loaded once somebody looks into it."""

from __future__ import annotations

import subprocess
import sys

_TRIED = """
import sys
from edge.late import UNUSED, load_late
load_late()
load_late()
import edge.gateway
def waits(name):
    return type(sys.modules[name]).__name__ == "_LazyModule"
# numpy from 2 on does not import its branches itself
print(sorted(n for n in UNUSED if n in sys.modules and not waits(n)))
print(waits("urllib.request"), "http.client" in sys.modules)
import numpy as np, urllib.request
print(np.random.default_rng(1).integers(5), np.ma.array([1, 2], mask=[0, 1]).sum())
print(np.fft.fft([1.0, 1.0])[0].real, np.polynomial.Polynomial([1, 2])(2))
print(callable(urllib.request.getproxies), "http.client" in sys.modules)
"""


def test_a_gateway_leaves_them_alone_and_they_are_there_for_whoever_looks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _TRIED], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["[]", "True False", "2 1", "2.0 5.0", "True True"]
