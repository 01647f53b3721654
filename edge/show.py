"""``talus bundle show``: what a bundle is, who signed it, what it arms and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edge.bundle import read_manifest, read_signed
from edge.counters import older, read_counters
from edge.errors import BundleError
from edge.manifest import FORMAT
from edge.trust import ANY_SIGNER, read_signature, signature_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edge.config import Config
    from edge.manifest import DetectorSpec, ForecasterSpec, Manifest

REASON_WIDTH = 72


@dataclass(frozen=True, slots=True)
class Shown:
    """A bundle that is whole. ``refused`` says why it must not be armed, "" where it may.

    ``signed_by`` is the id of the key that signed it: proven where the signature was verified,
    else what the signature file says; "" where there is none.
    """

    folder: Path
    manifest: Manifest
    signature: str
    signed_by: str
    refused: str


def look(folder: Path, config: Config | None) -> Shown:
    """Read a bundle; with a configuration, judge its signature and counter by that.

    Raises BundleError if it is damaged. What is refused is read all the same: a person wants to
    know what it is. Runs no model: that is what talus check does.
    """
    manifest = read_manifest(folder, ANY_SIGNER)
    if config is None or config.trust.allow_unsigned:
        try:
            found = read_signature(folder)
        except BundleError as error:
            return Shown(folder, manifest, "damaged", "", str(error))
        if found is None:
            return Shown(folder, manifest, "unsigned", "", "")
        text = f"says it is by key {found.id}; not verified: "
        text += "--config gateway.toml says who is trusted" if not config else "allow_unsigned"
        return Shown(folder, manifest, text, found.id, "")
    try:
        manifest, key_id = read_signed(folder, config.trust)
    except BundleError as error:
        return Shown(folder, manifest, "refused", "", str(error))
    highest, _ = read_counters(config.data_dir)
    why = older(manifest, highest)
    return Shown(folder, manifest, f"{signature_text(key_id)}, a trusted key", key_id, why)


def json_values(shown: Shown) -> dict[str, Any]:
    """Return all of it as JSON values: the manifest, and what was found of the signature."""
    m = shown.manifest
    files = {name: {"sha256": sha256, "size_bytes": size} for name, sha256, size in m.files}
    return {
        "folder": str(shown.folder),
        "label": m.label,
        "signature": shown.signature,
        "signed_by": shown.signed_by or None,
        "refused": shown.refused or None,
        "manifest": {
            "format": FORMAT, **asdict(m), "files": files, "metrics": dict(m.metrics),
        },
    }  # fmt: skip


def lines(shown: Shown) -> Iterator[str]:
    """Give the lines that a person reads."""
    m = shown.manifest
    yield plain(f"{m.label}: {shown.folder}")
    yield from _pairs(
        ("signature", shown.signature),
        *((("REFUSED", shown.refused),) if shown.refused else ()),
        ("counter", str(m.counter)),
        ("grid step", f"{m.step_ms / 1000:g} s"),
        ("trained on", f"data sha256 {m.data_sha256}, seed {m.seed}"),
        ("targets", ", ".join(m.forecaster.targets)),
        ("horizons", ", ".join(_span(h * m.step_ms) for h in m.forecaster.horizons)),
        ("quantiles", ", ".join(f"{q:g}" for q in m.forecaster.quantiles)),
    )
    yield from ("", "MODELS")
    yield from _table(("model", "", "threshold", "false alarms", "why"), _models(m))
    yield from ("", "ARTIFACTS")
    head = ("model", "file", "precision", "bytes", "drift", "limit", "max error", "runtimes")
    yield from _table(head, _artifacts(m))
    yield from ("", "BASELINE")
    yield from _table(("target", "horizon", "naive forecast", "GRU starts from"), _baseline(m))
    yield from ("", "CHANNELS AND FEATURES")
    yield from _table(("channel", "quantity", "unit", "step", "features"), _channels(m))
    if m.metrics:
        yield from ("", "METRICS")
        yield from _table(("", ""), [(name, f"{value:g}") for name, value in m.metrics])


def _models(m: Manifest) -> Iterator[tuple[str, ...]]:
    f = m.forecaster
    window = _span(m.kinematics.window_steps * m.step_ms)
    yield "velocity", "armed", "", "", f"always: movement over {window} against its own history"
    stands_in = "armed" if any(f.baseline.threshold) else "not scored"
    state = "not run" if f.armed else stands_in
    kinds = ", ".join(sorted(set(f.baseline.kinds)))
    yield "baseline", state, _rounded(f.baseline.threshold), "", f"the best naive: {kinds}"
    yield "gru", _state(f), _rounded(f.residual_threshold), "", f.reason
    for spec in m.detectors:
        name = spec.name if spec.name == spec.variant else f"{spec.name} ({spec.variant})"
        share = f"{100 * spec.false_alarm_share:.3g} %"
        yield name, _state(spec), f"{spec.threshold:.3g}", share, spec.reason


def _artifacts(m: Manifest) -> Iterator[tuple[str, ...]]:
    sizes = {name: size for name, _, size in m.files}
    models = [("gru", m.forecaster.artifacts), *((d.name, d.artifacts) for d in m.detectors)]
    for model, artifacts in models:
        for a in artifacts:
            drift, limit = (f"{100 * share:.3g} %" for share in (a.drift, a.drift_limit))
            size, runtimes = f"{sizes.get(a.file, 0):,}", ", ".join(a.runtimes)
            yield model, a.file, a.precision, size, drift, limit, f"{a.max_error:.3g}", runtimes


def _baseline(m: Manifest) -> Iterator[tuple[str, ...]]:
    f = m.forecaster
    pairs = [(target, horizon) for target in f.targets for horizon in f.horizons]
    for (target, horizon), kind, anchor in zip(pairs, f.baseline.kinds, f.anchors, strict=True):
        yield target, _span(horizon * m.step_ms), kind, anchor


def _channels(m: Manifest) -> Iterator[tuple[str, ...]]:
    for c in m.channels:
        terms = [
            f"{t.transform}({t.time_constant_steps:g})"
            if t.time_constant_steps > 1
            else t.transform
            for t in m.features.terms
            if t.channel == c.name
        ]
        yield c.name, c.quantity, c.unit, c.aggregate, ", ".join(terms) or "none"


def _state(spec: ForecasterSpec | DetectorSpec) -> str:
    return "armed" if spec.armed else "in shadow"


def _rounded(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _span(ms: float) -> str:
    """Return a length of time in the unit that a person would take."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= size and (ms % size == 0 or ms >= 2 * size):
            return f"{ms / size:.3g} {unit}"
    return f"{ms / 1000:g} s"


def plain(text: str) -> str:
    """Return text that cannot steer a terminal: a bundle may be anyone's."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _pairs(*pairs: tuple[str, str]) -> Iterator[str]:
    for name, value in pairs:
        yield f"  {name:<12} {plain(value)}"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[Any]) -> Iterator[str]:
    """Give aligned lines; the last column may be long, and goes on in lines of its own."""
    import textwrap

    every = [head, *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in every) for i in range(len(head) - 1)]
    for row in every[0 if any(head) else 1 :]:
        start = "  " + "".join(f"{cell:<{w}}  " for cell, w in zip(row, widths, strict=False))
        last = textwrap.wrap(row[-1], REASON_WIDTH) or [""]
        yield (start + last[0]).rstrip()
        yield from (" " * len(start) + more for more in last[1:])
