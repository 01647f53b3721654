"""The page that ends a training: data, splits, skill, intervals, detectors, precision, verdicts."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from export.models.matrix import HEAD, NOTE, cells
from export.quality.finding import lasting
from export.report import html, pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from export.models.train import Trained


def page(trained: Trained, findings: Sequence[str], history_png: bytes | None) -> str:
    """Return the whole page; ``findings`` are the lines of the quality check."""
    m = trained.manifest
    blocks = [html.heading(f"{m.label}: what was trained, and what of it is armed", 1)]
    blocks += _armed(trained)
    blocks += _data(trained, findings, history_png)
    blocks += _splits(trained)
    blocks += _skill(trained)
    blocks += _intervals(trained)
    blocks += _detectors(trained)
    blocks += _precision(trained)
    return html.page(m.label, blocks)


def verdicts(trained: Trained) -> list[tuple[str, bool, str]]:
    """Return (model, armed, why) of everything in the bundle."""
    m = trained.manifest
    f = m.forecaster
    kinds = ", ".join(dict.fromkeys(f.baseline.kinds))
    naive = "rides along unused: the GRU is armed" if f.armed else "armed in place of the GRU"
    rows = [("velocity", True, "always armed: movement against its own history")]
    rows.append(("gru", f.armed, f.reason))
    rows.append((f"baseline ({kinds})", not f.armed, naive))
    rows += [(f"{d.name} ({d.variant})", d.armed, d.reason) for d in m.detectors]
    return rows


def _armed(trained: Trained) -> list[str]:
    rows = verdicts(trained)
    table = html.table(
        ("model", "armed", "why"),
        [(name, "armed" if armed else "shadow", why) for name, armed, why in rows],
        [armed for _, armed, _ in rows],
    )
    note = "A model in shadow is computed and published, and never raises an alarm."
    return [html.heading("Armed"), table, html.paragraph(note, note=True)]


def _data(trained: Trained, findings: Sequence[str], history_png: bytes | None) -> list[str]:
    history = trained.material.history
    steps = len(history.time_ms)
    said = (
        f"{steps} steps of {trained.manifest.step_ms / 1000:g} s, {_day(history.time_ms[0])} to "
        f"{_day(history.time_ms[-1])}, {len(history.channels)} channels; sha256 of the data "
        f"{history.sha256[:16]}, seed {trained.manifest.seed}."
    )
    blocks = [html.heading("Data"), html.paragraph(said)]
    blocks.append(html.listing(findings or ["nothing found amiss"]))
    if history_png:
        blocks.append(html.picture(history_png, "the history with what was found in it"))
    return blocks


def _splits(trained: Trained) -> list[str]:
    m, wanted = trained.material, trained.wanted
    times = m.history.time_ms
    rows = [
        (f"fold {i + 1}", _day(times[0]), _day(times[max(0, f.train.stop - 1)]),
         _day(times[f.block.start]), _day(times[f.block.stop - 1]), f.block.stop - f.block.start)
        for i, f in enumerate(m.folds)
    ]  # fmt: skip
    said = (
        f"Rolling origin, {wanted.seeds} seeds of {wanted.members} network(s) each: every block is "
        "forecast by networks that saw nothing of it, nor of the longest horizon before it. What "
        "ships is fitted on the whole history, its margins and thresholds come from these "
        "forecasts."
    )
    head = ("", "trained from", "to", "judged from", "to", "steps")
    return [html.heading("Splits"), html.table(head, rows), html.paragraph(said, note=True)]


def _skill(trained: Trained) -> list[str]:
    skills = trained.forecast.skills
    if not skills:
        return [html.heading("Skill"), html.paragraph("too little history held back to judge")]
    kinds = [kind for kind, _ in skills[0].naive]
    step_ms = trained.manifest.step_ms
    units = {c.name: c.unit for c in trained.manifest.channels}
    rows = [
        (f"{s.target}, {units[s.target]}", f"{s.horizon} ({lasting(s.horizon * step_ms)})",
         s.rmse, s.mae, *(dict(s.naive)[k] for k in kinds),
         f"{s.skill:+.3f} ± {s.standard_error:.3f}", s.best_naive,
         "  ".join(f"{v:+.2f}" for v in s.by_fold))
        for s in skills
    ]  # fmt: skip
    head = ("target", "steps", "GRU RMSE", "GRU MAE", *kinds, "skill", "against", "by fold")
    note = (
        "Skill = 1 - RMSE / RMSE of the best naive forecast on the same rows. The GRU is armed "
        "only if it is above 0 by more than its standard error, for every target, at the longest "
        "horizon."
    )
    return [
        html.heading("Skill against every naive forecast"),
        html.table(head, rows, [s.skill - s.standard_error > 0 for s in skills]),
        html.paragraph(note, note=True),
        html.picture(pictures.skills(trained), "error of every forecast"),
        html.picture(pictures.forecasts(trained), "forecast and what happened"),
    ]


def _intervals(trained: Trained) -> list[str]:
    rows = [
        (c.model, c.target, c.horizon, f"{c.nominal:.0%}", f"{c.fixed.covered:.1%}", c.fixed.width,
         c.fixed.winkler, f"{c.adaptive.covered:.1%}", c.adaptive.width, c.adaptive.winkler)
        for c in trained.forecast.coverage
    ]  # fmt: skip
    head = ("model", "target", "steps", "nominal", "fixed: inside", "width", "Winkler",
            "adaptive: inside", "width", "Winkler")  # fmt: skip
    note = (
        "Widths and Winkler scores over the range of the truth (PINAW). Fixed: margins of the "
        "blocks before; adaptive: margins that go on learning, as they do on the gateway."
    )
    return [
        html.heading("Intervals"),
        html.table(head, rows),
        html.paragraph(note, note=True),
        html.picture(pictures.calibration(trained), "calibration of the quantiles"),
    ]


def _detectors(trained: Trained) -> list[str]:
    rows: Sequence[Any] = trained.comparison.rows
    return [html.heading("Detectors"), html.paragraph(trained.comparison.said), _records(rows)]


def _precision(trained: Trained) -> list[str]:
    note = (
        "Every artifact in every runtime installed here, against the float64 reference over a "
        f"long stream. What is over its limit is not in the bundle. {NOTE}"
    )
    return [
        html.heading("Precision"),
        html.table(HEAD, [cells(row) for row in trained.parity]),
        html.paragraph(note, note=True),
    ]


def _records(rows: Sequence[Any]) -> str:
    """Return a table of frozen dataclasses, a column a field."""
    if not rows:
        return html.paragraph("none")
    names = [f.name for f in fields(rows[0])]
    return html.table(
        [name.replace("_", " ") for name in names],
        [[getattr(row, name) for name in names] for row in rows],
    )


def _day(time_ms: Any) -> str:
    return f"{datetime.fromtimestamp(int(time_ms) / 1000, UTC):%Y-%m-%d %H:%M}"
