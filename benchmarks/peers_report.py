"""What each part of benchmarks/peers.py came to: figures, Markdown, plots."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peers_loss import DISTURBANCES, RATE_HZ
from peers_page import Measure, bars, behind, measured, number, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from peers_anomaly import Scored
    from peers_gateways import Peer
    from peers_inference import Form
    from peers_loss import Durations, Loss
    from peers_speed import Speed

SPEEDS = (
    Measure("p50_ms", "p50, ms", 2), Measure("p99_ms", "p99, ms", 1),
    Measure("cpu_us_10hz", "CPU us a reading at 10/s", 0),
    Measure("cpu_us_100hz", "at 100/s", 0), Measure("rss_mb", "resident MB", 0),
    Measure("held_hz", "readings a second held", 0, less_is_better=False),
)  # fmt: skip
LOSSES = (
    *(Measure(f"lost_{name}", f"lost: {name}", 0) for name in DISTURBANCES),
    *(Measure(f"back_s_{name}", f"back, s: {name}", 1) for name in DISTURBANCES),
    Measure("ends", "ended by itself", 0),
)
OURS = "talus_on"


@dataclass
class Part:
    """What a part of the benchmark came to."""

    title: str
    figures: dict[str, float]
    markdown: str
    plots: dict[str, tuple[str, str]] = field(default_factory=dict)
    """File name: what it shows, and the SVG."""


def key(name: str) -> str:
    """Return the name of a peer as figures bear it."""
    return name.replace("-", "_")


def speed_figures(found: Mapping[str, Speed], peers: Sequence[Peer]) -> dict[str, float]:
    """Return the figures of speed, and how ours stand to the best of the others."""
    figures: dict[str, float] = {}
    for name, speed in found.items():
        for m in SPEEDS:
            figures[f"{key(name)}_{m.name}"] = getattr(speed, m.name)
        figures[f"{key(name)}_lost_undisturbed"] = speed.lost
    others = [p for p in peers if not p.ours and p.name in found]
    python = [found[p.name] for p in others if p.python]
    ours = found.get("talus-on")
    if ours is None or not python:
        return figures
    figures |= {
        "cpu_over_best_python_peer": ours.cpu_us_10hz / min(p.cpu_us_10hz for p in python),
        "cpu_100hz_over_best_python_peer": (
            ours.cpu_us_100hz / min(p.cpu_us_100hz for p in python)
        ),
        "p99_over_best_peer": ours.p99_ms / min(found[p.name].p99_ms for p in others),
        "forecasts_a_reading": ours.steps,
    }
    for peer in others:
        theirs = found[peer.name]
        figures[f"cpu_over_{key(peer.name)}"] = ours.cpu_us_10hz / theirs.cpu_us_10hz
        figures[f"p99_over_{key(peer.name)}"] = ours.p99_ms / theirs.p99_ms
    return figures


def loss_figures(
    found: Mapping[str, Mapping[str, Loss]], peers: Sequence[Peer]
) -> dict[str, float]:
    """Return readings lost by disturbance, and in all: ``lost`` is ours, the rest by name."""
    figures: dict[str, float] = {}
    for peer in peers:
        theirs = {d: by_peer[peer.name] for d, by_peer in found.items() if peer.name in by_peer}
        if not theirs:
            continue
        name = key(peer.name)
        for disturbance, loss in theirs.items():
            figures[f"{name}_lost_{disturbance}"] = loss.account.lost
            figures[f"{name}_back_s_{disturbance}"] = loss.account.back_s
        figures[f"{name}_ends"] = sum(loss.ends for loss in theirs.values())
        total = sum(loss.account.lost for loss in theirs.values())
        if peer.ours:
            figures["lost"] = figures.get("lost", 0) + total
        else:
            figures[f"peer_lost_{name}"] = total
    return figures


def gateways(
    figures: Mapping[str, float],
    peers: Sequence[Peer],
    versions: Mapping[str, str],
    absent: Mapping[str, str],
    d: Durations,
) -> Part:
    """Return the part of the gateways."""
    names = {key(p.name): p.title for p in peers if p.name in versions}
    others = {key(p.name): p.title for p in peers if p.name in versions and not p.ours}
    setups = [[p.title, versions[p.name], p.setting] for p in peers if p.name in versions]
    told = [f"- {name}: not measured: {why}" for name, why in absent.items()]
    lost = behind(figures, OURS, others, (*SPEEDS, *LOSSES[: 2 * len(DISTURBANCES)]))
    text = [
        ("A line of 70 bytes from a pty to a subscriber of a real Mosquitto. Latency is at 10 "
        "readings a second, CPU that of the process tree."), "",
        measured(figures, names, SPEEDS), "",
        (f"{RATE_HZ:g} readings a second over a killed broker ({d.broker:g} s), a silent link "
        f"({d.silent:g} s), a kill of the gateway in an outage of {2 * d.kill:g} s, a replug. "
        "Back: until the first reading written afterwards came. A gateway that ended was started "
        "again after 2 s."), "",
        measured(figures, names, LOSSES), "",
        "### Where Talus with inference on is behind", "", *(lost or ["Nowhere here."]), "",
        "### Versions and settings", "", table(["", "version", "setting"], setups), *told,
    ]  # fmt: skip
    charts = {
        "peers-p99.svg": ("Byte to subscriber, p99", "ms", "p99_ms"),
        "peers-cpu.svg": ("CPU a reading at 10 a second", "us", "cpu_us_10hz"),
        "peers-rss.svg": ("Resident memory", "MB", "rss_mb"),
    }
    plots = {}
    for file, (title, unit, measure) in charts.items():
        rows = [
            (text, figures[f"{name}_{measure}"], name.startswith("talus"))
            for name, text in names.items()
            if f"{name}_{measure}" in figures
        ]
        plots[file] = (title, bars(title, unit, rows))
    rows = [("Talus, both together", figures.get("lost", 0.0), True)]
    rows += [(t, figures[f"peer_lost_{n}"], False) for n, t in others.items()
             if f"peer_lost_{n}" in figures]  # fmt: skip
    title = "Readings lost over all four disturbances"
    plots["peers-lost.svg"] = (title, bars(title, "", rows))
    return Part("Gateways: serial line in, MQTT out", dict(figures), "\n".join(text), plots)


def inference(
    forms: Sequence[Form],
    refused: Mapping[str, str],
    figures: dict[str, float],
    versions: str,
) -> Part:
    """Return the part of the models."""
    forms = sorted(forms, key=lambda form: form.us)
    rows = [[form.name, number(form.us), f"{form.apart:.1g}"] for form in forms]
    ratios = [[name, number(value)] for name, value in figures.items() if name.endswith("_step")]
    text = [
        "The GRU of the demo, one output for each new row; a window is of 64 rows.", "",
        "Of what takes over 5 ms the lesser of clock and CPU time counts.", "",
        table(["form", "us, median", "apart from step float32"], rows), "",
        table(["figure", "times"], ratios), "",
        *(f"- {name}: not measured: {why}" for name, why in refused.items()),
        f"- {versions}",
    ]  # fmt: skip
    title = "One new row through the same GRU"
    chart = bars(title, "us", [(f.name, f.us, f.name.startswith("step")) for f in forms])
    return Part("Inference", figures, "\n".join(text), {"peers-inference.svg": (title, chart)})


def anomaly(found: Sequence[Scored], figures: dict[str, float], versions: str) -> Part:
    """Return the part of the detectors."""
    rows = [[e.name, number(e.p50_us), number(e.p99_us), number(e.auc, 2)] for e in found]
    text = [
        ("One row of 16 features scored. AUC is that of single steps with a fault of 2 to 8 times "
        "the noise put into one channel; 0.5 is chance."), "",
        table(["detector", "p50, us", "p99, us", "AUC"], rows), "", f"- {versions}",
    ]  # fmt: skip
    title = "One sample scored"
    chart = bars(title, "us", [(e.name, e.p50_us, e.name.startswith("Talus")) for e in found])
    return Part("Anomaly scoring", figures, "\n".join(text), {"peers-anomaly.svg": (title, chart)})
