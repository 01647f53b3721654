"""The gate on instruction counts: what is off by more than 2 %, either way, is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from bench_modules import imported


@pytest.fixture(scope="module")
def insn() -> Iterator[Any]:
    with imported("insn") as found:
        yield found.insn


@pytest.mark.parametrize(("share", "off"), [(1.0, 0), (1.019, 0), (0.981, 0), (1.03, 1), (0.9, 1)])
def test_more_than_two_percent_either_way_is_off(insn, share: float, off: int) -> None:
    kept = {"arm64_insn_step": 30_000.0, "arm64_insn_reading": 800_000.0}
    found = {"arm64_insn_step": 30_000.0 * share, "arm64_insn_reading": 800_000.0}
    wrong = insn.judge(found, kept)
    assert len(wrong) == off
    assert all(line.startswith("arm64_insn_step") for line in wrong)


def test_what_was_never_kept_is_not_judged(insn) -> None:
    assert insn.judge({"arm64_insn_new": 1.0}, {}) == []
