"""What training found, in lines for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from export.report.page import verdicts

if TYPE_CHECKING:
    from export.models.train import Trained


def summary(trained: Trained) -> str:
    """Return the skill of each forecast, the drift of each artifact and what was armed."""
    m = trained.manifest
    lines = [f"{m.label}: {len(m.channels)} channels, {len(m.features.terms)} features", ""]
    lines.append(f"{'target':<18}{'steps':>6}{'RMSE':>10}{'naive':>10}{'skill':>8}")
    for s in trained.forecast.skills:
        row = f"{s.target:<18}{s.horizon:>6}{s.rmse:>10.4g}{s.naive_rmse:>10.4g}"
        lines.append(f"{row}{s.skill:>+8.2f} +- {s.standard_error:.2f}  best naive: {s.best_naive}")
    lines += ["", f"{'artifact':<28}{'drift':>9}{'limit':>9}{'bytes':>9}  runtimes"]
    for a in (*m.forecaster.artifacts, *(a for d in m.detectors for a in d.artifacts)):
        size = len(trained.files[a.file])
        row = f"{a.file:<28}{a.drift:>9.2%}{a.drift_limit:>9.2%}{size:>9}"
        lines.append(f"{row}  {', '.join(a.runtimes)}")
    lines.append("")
    lines += [
        f"{name}: {'ARMED' if armed else 'shadow'}: {why}" for name, armed, why in verdicts(trained)
    ]
    return "\n".join(lines)
