"""Two machines' outputs and alarms held against each other. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edge.runtime import Singles

_TINY = 1.2e-38
"""The smallest float32 that is normal."""
_ROUNDING = 2
FAR = 2**31
"""Steps between numbers that cannot be compared."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One artifact in one runtime and form: outputs there against outputs here."""

    name: str
    differ: int
    of: int
    ulps: int
    """How far the farthest is off, in steps of float32 at the largest output."""
    whole: bool
    """Whether all between its input and its output are integers."""

    @property
    def runtime(self) -> str:
        """What ran it."""
        return self.name.split()[1]

    @property
    def plain(self) -> bool:
        """Whether by kernels that are the same on every CPU."""
        return self.name.split()[2] == "plain"

    @property
    def same_integers(self) -> bool:
        """Whether what it computed in integers is the same, to the last bit.

        One of 256 is 2**15 steps of a float at the least, one of 65,536 is 2**7: what is nearer
        is of the last step, which makes floats of them.
        """
        return self.whole and self.ulps <= _ROUNDING


def ulps(one: Singles, other: Singles) -> int:
    """Return by how many steps two arrays of float32 differ at most.

    A step is that of the largest magnitude in the array: what cancels out to nearly nothing has
    been computed from numbers of that size.
    """
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return FAR
    size = np.float32(max(float(np.abs(one).max(initial=0.0)), _TINY))
    off = np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0)
    return int(np.ceil(float(off) / float(np.spacing(size))))


def compare(
    here: Mapping[str, Singles], there: Mapping[str, Singles], whole: frozenset[str]
) -> list[Compared]:
    """Compare what is here with the same there; ``whole``: files in integers alone.

    Raises RuntimeError where there lacks something.
    """
    lacking = sorted(here.keys() - there.keys())
    if lacking:
        raise RuntimeError(f"not run there: {', '.join(lacking)}")
    found = []
    for name, y in sorted(here.items()):
        other = there[name]
        alike = y.shape == other.shape
        differ = int((y.view(np.int32) != other.view(np.int32)).sum()) if alike else y.size
        found.append(Compared(name, differ, y.size, ulps(y, other), name.split()[0] in whole))
    return found


def float_ulps(found: list[Compared], *, plain: bool) -> int:
    """Return how far outputs are off of what computes in floats, by kernels plain or tuned."""
    return max(each.ulps for each in found if not each.whole and each.plain is plain)


def table(found: list[Compared]) -> str:
    """Return what differs, and how far."""
    lines = [f"{'artifact, runtime, kernels, form':<52} {'differ':>12} {'ulp':>5}"]
    for each in found:
        share = f"{each.differ} of {each.of}" if each.differ else "none"
        lines.append(f"{each.name:<52} {share:>12} {each.ulps:>5}{'  int' if each.whole else ''}")
    return "\n".join(lines)


def kept(here: Mapping[str, Singles], bench: str) -> dict[str, Singles]:
    """Return the outputs of runtimes that a package has, as its bench names them."""
    runtimes = set(re.findall(r"^(\w+) +p50 us", bench, re.MULTILINE))
    return {name: y for name, y in here.items() if name.split()[1] in runtimes}


def first_difference(one: bytes, other: bytes) -> str:
    """Say where two texts part, "" where they are the same."""
    if one == other:
        return ""
    short = min(len(one), len(other))
    at = next((i for i in range(short) if one[i] != other[i]), short)
    near = slice(max(0, at - 60), at + 40)
    return f"from byte {at} on: here {one[near]!r}, there {other[near]!r}"


def numbers_off(one: bytes, other: bytes) -> float:
    """Return how far numbers of two JSON texts of lines are apart at most, as a share of them.

    Infinite where anything but a number differs.
    """
    worst = 0.0
    lines, others = one.splitlines(), other.splitlines()
    if len(lines) != len(others):
        return float("inf")
    for a, b in zip(lines, others, strict=True):
        for mine, its in _pairs(json.loads(a), json.loads(b)):
            if mine == its:
                continue
            if not (isinstance(mine, float) and isinstance(its, float)):
                return float("inf")
            worst = max(worst, abs(mine - its) / max(abs(mine), abs(its)))
    return worst


def _pairs(one: Any, other: Any) -> Iterator[tuple[Any, Any]]:
    """Give the leaves of both, side by side; a pair that differs where their forms part."""
    if isinstance(one, dict) and isinstance(other, dict) and list(one) == list(other):
        for key, value in one.items():
            yield from _pairs(value, other[key])
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for mine, its in zip(one, other, strict=True):
            yield from _pairs(mine, its)
    elif isinstance(one, dict | list):
        yield one, None  # another form: not the same, whatever it is equal to
    else:
        yield one, other
