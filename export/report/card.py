"""The model card that rides in a bundle: what it is, what it was judged by, what it is not for.

After Mitchell et al. 2019 (Model Cards for Model Reporting).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from export.report.page import verdicts

if TYPE_CHECKING:
    from export.models.train import Trained

FILE = "card.md"
_MADE = (
    "Landslide monitoring models of one station: {channels} channels, a step of {step:g} s. "
    "Trained on {first:%Y-%m-%d} to {last:%Y-%m-%d} ({steps} steps, sha256 {sha256}), seed {seed}."
)
_MEANT = (
    "The station it was trained on, with the channels and units of its manifest. Not for another "
    "slope, nor for this one after its instruments were moved, without a new gate."
)
_NOT_SHOWN = (
    "No history holds the failure of this slope. What an alarm level means for people below is "
    "the decision of those responsible for the site."
)


def card(trained: Trained) -> bytes:
    """Return card.md."""
    m, history = trained.manifest, trained.material.history
    first, last = (datetime.fromtimestamp(int(history.time_ms[i]) / 1000, UTC) for i in (0, -1))
    lines = [
        f"# {m.label}",
        "",
        _MADE.format(
            channels=len(m.channels),
            step=m.step_ms / 1000,
            first=first,
            last=last,
            steps=len(history.time_ms),
            sha256=m.data_sha256[:16],
            seed=m.seed,
        ),
        "",
        "## Armed",
        "",
        *(
            f"- **{name}**: {'armed' if on else 'shadow'}. {why}"
            for name, on, why in verdicts(trained)
        ),
        "",
        "## Forecast, out of fold",
        "",
        "| target | steps | RMSE | best naive | its RMSE | skill | inside (adaptive) |",
        "|---|---|---|---|---|---|---|",
        *_rows(trained),
        "",
        "## Meant for",
        "",
        _MEANT,
        "",
        "## Not shown",
        "",
        _NOT_SHOWN,
        "",
    ]
    return "\n".join(lines).encode()


def _rows(trained: Trained) -> list[str]:
    inside = {
        (c.target, c.horizon): c.adaptive.covered
        for c in trained.forecast.coverage
        if c.model == "gru"
    }
    return [
        f"| {s.target} | {s.horizon} | {s.rmse:.3g} | {s.best_naive} | {s.naive_rmse:.3g} | "
        f"{s.skill:+.2f} | {inside.get((s.target, s.horizon), float('nan')):.0%} |"
        for s in trained.forecast.skills
    ]
