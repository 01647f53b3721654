"""Draws docs/demo.png: the demo's slope through the shipped bundle, movement to alarm.

python docs/draw.py --out docs/demo.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt

from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import load_config
from edge.pipeline import Pipeline
from edge.trust import ANY_SIGNER
from export.demo import DAYS, FAILURE_DAY
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

COLOURS = ("#4caf50", "#cddc39", "#ffc107", "#ff7043", "#c62828")


def main() -> None:
    """Replay and draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/demo.png"))
    args = parser.parse_args()
    slope = generate(DAYS, seed=7, failure_day=FAILURE_DAY)
    config = load_config(demo_bundle().parent / "gateway.toml")
    bundle = load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)
    pipeline = Pipeline(config, {"slope": bundle})
    day = np.arange(len(slope.time_ms)) / 144.0
    ratios: dict[str, list[float]] = {}
    ahead, levels = np.full((len(day), 3), np.nan), []
    for i, (t, row) in enumerate(zip(slope.time_ms, slope.values.tolist(), strict=True)):
        outcome = pipeline.receive(Reading("node", int(t), i, CHANNELS, tuple(row), int(t)))
        now: dict[str, float] = {}
        for scored in outcome.scored:
            for score in scored.scores:
                now[score.kind] = max(now.get(score.kind, 0.0), score.ratio)
            for forecast in scored.forecasts:
                if forecast.channel == "crack_1" and forecast.horizon_ms == 36 * 600_000:
                    ahead[i] = row[0] + np.array(forecast.values)
        for kind in ("velocity", "forecast", "residual", "pca", "autoencoder"):
            ratios.setdefault(kind, []).append(now.get(kind, np.nan))
        levels.append(pipeline.stations["slope"].alarm.level)
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(11, 7.2), sharex=True)
    top.plot(day, slope.values[:, 0], color="#1f2933", lw=1.2, label="crack_1, mm")
    top.fill_between(
        day + 0.25, ahead[:, 0], ahead[:, 2], alpha=0.4, label="GRU, 6 h ahead, 80 % interval"
    )
    top.legend(loc="upper left")
    middle.plot(day, slope.values[:, 4], color="#6b4c9a", label="pore pressure, kPa")
    middle.legend(loc="upper left")
    rain = middle.twinx()
    rain.bar(day, slope.values[:, 5], width=0.007, color="#1565c0")
    rain.set_ylabel("rain, mm in 10 min")
    for kind, values in ratios.items():
        shadow = kind == "autoencoder"
        bottom.plot(day, values, "--" if shadow else "-", lw=0.9, alpha=0.5 if shadow else 1.0,
                    label=kind + (" (shadow)" if shadow else ""))  # fmt: skip
    for point in config.stations[0].alarm.set_points:
        bottom.axhline(point, color="black", lw=0.4)
    for i in range(len(day) - 1):
        bottom.axvspan(day[i], day[i + 1], 0, 0.05, color=COLOURS[levels[i]], lw=0)
    bottom.set_yscale("log")
    bottom.set_ylim(0.03, 40)
    bottom.legend(loc="upper left", ncol=5, fontsize=8)
    bottom.set_ylabel("score over threshold; level below")
    bottom.set_xlabel("days")
    figure.tight_layout()
    args.out.parent.mkdir(exist_ok=True)
    figure.savefig(args.out, dpi=75)
    print(f"wrote {args.out}")


if __name__ == "__main__":
    main()
