"""What training found, in lines for a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from export.models.train import Trained


def summary(trained: Trained) -> str:
    """Return the skill of each forecast, the parity of each artifact and what was armed."""
    m = trained.manifest
    lines = [f"{m.label}: {len(m.channels)} channels, {len(m.features.terms)} features", ""]
    lines.append(f"{'target':<18}{'steps':>6}{'error':>10}{'naive':>10}{'skill':>8}{'inside':>8}")
    for s in trained.skills:
        row = f"{s.target:<18}{s.horizon:>6}{s.mae:>10.4g}{s.naive_mae:>10.4g}"
        lines.append(f"{row}{s.skill:>+8.2f}{s.coverage:>8.0%}  best naive: {s.best_naive}")
    lines += ["", f"{'artifact':<28}{'runtime':<14}{'worst':>10}{'rms':>10}{'bytes':>9}"]
    for p in trained.parity:
        size = len(trained.files.get(p.file, b""))
        numbers = f"{p.worst:>10.3g}{p.rms:>10.3g}{size:>9}"
        lines.append(f"{p.file:<28}{p.runtime:<14}{_short(p.refused) or numbers}")
    lines.append("")
    verdicts = [("gru", m.forecaster.armed, m.forecaster.reason)]
    verdicts += [(d.name, d.armed, d.reason) for d in m.detectors]
    lines += [f"{name}: {'ARMED' if armed else 'shadow'}: {why}" for name, armed, why in verdicts]
    return "\n".join(lines)


def _short(refused: str) -> str:
    """Return the reason in short: the full text was a note while it happened."""
    return f"  not offered: {refused.partition(': ')[2][:60]}" if refused else ""
