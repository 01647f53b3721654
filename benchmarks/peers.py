"""Side by side with what others use: gateways, models, detectors. One run, on this machine.

  python benchmarks/peers.py --json peers.json        everything (an hour)
  python benchmarks/peers.py --quick                  short outages, few readings (10 minutes)
  python benchmarks/peers.py --only inference         one part: gateways, inference, anomaly
  python benchmarks/peers.py --results                and write benchmarks/RESULTS.md with plots

Each peer lives in an environment of its own under ~/.cache/talus/peers, made on first use with pip
or npm; one that cannot be installed is named with the reason, and left out. Files are written after
each part, so that a run that is stopped leaves what it has. Exit status 1: a part broke.
"""

from __future__ import annotations

import importlib.metadata
import json
import math
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import figures as shared
import peers_anomaly
import peers_inference
import peers_loss
import peers_report
import peers_speed
from peers_env import NotInstalledError
from peers_gateways import PEERS
from peers_page import page

from export.local_broker import mosquitto_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from peers_gateways import Peer
    from peers_loss import Durations
    from peers_report import Part
    from peers_speed import Lengths, Speed

HERE = Path(__file__).resolve().parent
PLOTS = HERE / "plots"
KEPT = PLOTS / "peers.json"
TARGETS = {
    "cpu_over_best_python_peer": ("<=", 0.1),
    "p99_over_best_peer": ("<", 1.0),
    "lost": ("<=", 0.0),
}


def installed() -> tuple[list[Peer], dict[str, str], dict[str, str]]:
    """Make every environment; who is there, the versions, and why others are not."""
    there, versions, absent = [], {}, {}
    for peer in PEERS:
        try:
            versions[peer.name] = peer.version()
        except NotInstalledError as error:
            absent[peer.title] = str(error)
            print(f"{peer.title}: skipped: {error}")
            continue
        print(f"{peer.title}: {versions[peer.name]}; {peer.setting}")
        there.append(peer)
    return there, versions, absent


def gateways(*, quick: bool) -> Part:
    """Measure the gateways: speed one by one, then losses all at once."""
    if mosquitto_path() is None:
        raise NotInstalledError("no mosquitto here (apt install mosquitto)")
    there, versions, absent = installed()
    durations = peers_loss.QUICK if quick else peers_loss.FULL
    if quick:
        full = peers_loss.FULL
        print(f"--quick: the broker is away {durations.broker:g} s and not {full.broker:g}, the "
              f"link {durations.silent:g} s and not {full.silent:g}, the outage around the kill "
              f"{2 * durations.kill:g} s and not {2 * full.kill:g}")  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = Path(name)
        lengths = peers_speed.QUICK if quick else peers_speed.FULL
        found = speeds(there, folder, lengths, absent)
        running = [peer for peer in there if peer.name in found]
        figures = peers_report.speed_figures(found, there)
        figures |= losses(running, folder, durations)
    versions = {peer.name: versions[peer.name] for peer in running}
    return peers_report.gateways(figures, PEERS, versions, absent, durations)


def speeds(
    there: list[Peer], folder: Path, lengths: Lengths, absent: dict[str, str]
) -> dict[str, Speed]:
    """Measure one by one; one that does not run is named in ``absent``."""
    found: dict[str, Speed] = {}
    print(f"\n{'':<22} {'p50 ms':>8} {'p99 ms':>8} {'us 10/s':>8} {'us 100/s':>8} {'MB':>6} "
          f"{'held/s':>7} {'lost':>5}")  # fmt: skip
    for peer in there:
        try:
            s = found[peer.name] = peers_speed.measure(peer, folder / peer.name, lengths)
        except Exception as error:  # the others are still of use
            absent[peer.title] = str(error).splitlines()[0]
            print(f"{peer.title}: not measured: {error}", flush=True)
            continue
        print(f"{peer.title:<22} {s.p50_ms:>8.2f} {s.p99_ms:>8.1f} {s.cpu_us_10hz:>8.0f} "
              f"{s.cpu_us_100hz:>8.0f} {s.rss_mb:>6.0f} {s.held_hz:>7.0f} {s.lost:>5}",
              flush=True)  # fmt: skip
    return found


def losses(running: list[Peer], folder: Path, durations: Durations) -> dict[str, float]:
    """Disturb them all; what each lost."""
    print(f"\ndisturbances, {peers_loss.RATE_HZ:g} readings a second each")
    found = peers_loss.run(running, folder, durations)
    print(f"{'lost of written':<22}" + "".join(f"{name:>14}" for name in found))
    for peer in running:
        cells = [found[name][peer.name].account for name in found]
        print(f"{peer.title:<22}" + "".join(f"{c.lost:>6} of {c.written:>4}" for c in cells))
    return peers_report.loss_figures(found, running)


def inference(*, quick: bool) -> Part:
    """Time the demo's GRU in every form."""
    forms, refused = peers_inference.measure(quick=quick)
    for form in sorted(forms, key=lambda form: form.us):
        print(f"{form.name:<36} {form.us:>12.1f} us  {form.apart:.1g} apart")
    for name, why in refused.items():
        print(f"{name}: not measured: {why}")
    packages = ("tensorflow", "keras", "ai-edge-litert", "tflite-runtime", "onnxruntime")
    return peers_report.inference(
        forms, refused, peers_inference.figures(forms), _versions(packages)
    )


def anomaly(*, quick: bool) -> Part:
    """Score the same rows with our detectors and others."""
    found, versions = peers_anomaly.measure(10.0 if quick else peers_anomaly.DAYS)
    for each in found:
        print(f"{each.name:<36} {each.p50_us:>10.1f} us (p99 {each.p99_us:.1f}), "
              f"AUC {each.auc:.2f}")  # fmt: skip
    print(versions)
    return peers_report.anomaly(found, peers_anomaly.figures(found), versions)


def _versions(packages: tuple[str, ...]) -> str:
    found = []
    for name in packages:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


PARTS: dict[str, Callable[..., Part]] = {
    "gateways": gateways,
    "inference": inference,
    "anomaly": anomaly,
}


def keep(parts: dict[str, Part], where: str, *, quick: bool) -> None:
    """Write what was measured over what was kept, the plots, and RESULTS.md anew."""
    PLOTS.mkdir(exist_ok=True)
    kept: dict[str, Any] = {}
    if KEPT.exists():
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
    for name, part in parts.items():
        for file, (_, svg) in part.plots.items():
            (PLOTS / file).write_text(svg, encoding="utf-8")
        kept[name] = {
            "title": part.title, "quick": quick, "machine": where,
            "date": time.strftime("%Y-%m-%d"), "markdown": part.markdown,
            "plots": {file: text for file, (text, _) in part.plots.items()},
            "figures": _finite(part.figures),
        }  # fmt: skip
    KEPT.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    (HERE / "RESULTS.md").write_text(page(kept, list(PARTS)), encoding="utf-8")
    print(f"\nwritten: {HERE / 'RESULTS.md'}, {PLOTS}")


def _finite(figures: dict[str, float]) -> dict[str, float]:
    """Leave out what JSON has no word for: who never came back has no time of coming back."""
    return {name: value for name, value in figures.items() if math.isfinite(value)}


def flat(done: dict[str, Part]) -> dict[str, float]:
    """Return the figures of all parts, as JSON can hold them."""
    return _finite({k: v for part in done.values() for k, v in part.figures.items()})


def _own_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=list(PARTS), metavar="PART", help="one of %(choices)s")
    parser.add_argument("--results", action="store_true", help="write RESULTS.md and its plots")


def main() -> int:
    """Run the benchmark."""
    args = shared.parse(__doc__, add=_own_options)
    # Ctrl-C ends every gateway that was started; so shall a plain kill.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    where = f"{shared.machine()}; load average {os.getloadavg()[0]:.1f} at the start"
    print(where)
    done: dict[str, Part] = {}
    broken = []
    for name, measured in PARTS.items():
        if args.only not in (None, name):
            continue
        print(f"\n{measured.__doc__}", flush=True)
        try:
            done[name] = measured(quick=args.quick)
        except NotInstalledError as error:
            print(f"{name}: not measured: {error}")
        except Exception:  # the other parts are still of use
            traceback.print_exc()
            print(f"{name}: not measured: it broke, see above")
            broken.append(name)
        else:  # what is done is kept, should the run be stopped
            if args.json:
                args.json.write_text(json.dumps(flat(done), indent=1) + "\n", encoding="utf-8")
            if args.results:
                keep({name: done[name]}, where, quick=args.quick)
    figures = flat(done)
    print()
    for name, (sense, wanted) in TARGETS.items():
        if name in figures:
            value = figures[name]
            met = value < wanted if sense == "<" else value <= wanted
            print(f"{name:<28} {value:>9.3g} {sense} {wanted:g}  {'met' if met else 'MISSED'}")
    shared.write(figures, args.json)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
