"""The whole road on a small history: check, train, judge, bundle, page; then gate and update."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.bundle import load_bundle, read_manifest
from edge.config import RuntimeConfig
from edge.trust import ANY_SIGNER
from export import schema
from export.__main__ import main
from export.models.rehearsal import read_rehearsal
from export.slope import generate, write_csv

_TRAIN = """\
[train]
name = "small"
targets = ["crack_1"]
horizons = [1, 6]
hidden = 6
members = 1
epochs = 3
folds = 2
seeds = 1
window_steps = 8
bottleneck = 3
detector_variants = ["dense"]
season_days = 0
"""


def site_toml(folder: Path) -> Path:
    """Write the demo's site with a small [train]."""
    text = (demo_bundle().parent / "site.toml").read_text(encoding="utf-8")
    path = folder / "site.toml"
    path.write_text(text[: text.index("\n[train]")] + "\n" + _TRAIN, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on eight days; returns the folder that holds site, history, bundle and page."""
    folder = tmp_path_factory.mktemp("trained")
    site_toml(folder)
    write_csv(generate(days=8, seed=1), folder / "history.csv")
    arguments = ["--site", str(folder / "site.toml"), "--data", str(folder / "history.csv")]
    assert main(["train", *arguments, "--out", str(folder / "bundle")]) == 0
    return folder


def test_the_bundle_is_whole_and_says_what_it_is(trained: Path) -> None:
    bundle = trained / "bundle"
    loaded = load_bundle(bundle, RuntimeConfig(("litert",), "auto"), ANY_SIGNER)
    files = {name for name, _, _ in loaded.manifest.files}
    assert {"card.md", "parity.json", "training.npz", "golden.gru.json"} <= files
    assert "small v1" in (bundle / "card.md").read_text(encoding="utf-8")
    rows = json.loads((bundle / "parity.json").read_text(encoding="utf-8"))
    assert {row["precision"] for row in rows} == {
        "float32",
        "float16",
        "dynamic",
        "int8",
        "int16x8",
    }
    for spec in (loaded.manifest.forecaster, *loaded.manifest.detectors):
        assert all(a.drift <= a.drift_limit for a in spec.artifacts)
    assert not list(trained.glob(".*"))


def test_the_manifest_follows_its_published_schema(trained: Path) -> None:
    published = json.loads(schema.PATH.read_text(encoding="utf-8"))
    assert published == schema.schema(), "python -m export.schema"
    for folder in (trained / "bundle", demo_bundle()):
        values = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        jsonschema.validate(values, published)
    broken = dict(values) | {"step_ms": "ten minutes"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, published)


def test_the_page_holds_everything_and_fetches_nothing(trained: Path) -> None:
    text = (trained / "bundle.report.html").read_text(encoding="utf-8")
    for heading in ("Armed", "Data", "Splits", "Skill against", "Intervals", "Detectors"):
        assert f">{heading}" in text
    assert "Precision" in text
    for rival in ("persistence", "drift", "last_increment", "linear"):
        assert rival in text
    assert text.count("data:image/png;base64,") >= 3
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "<script" not in text


def test_the_weights_and_stretches_of_history_ride_along(trained: Path) -> None:
    kept = read_rehearsal(trained / "bundle")
    assert kept.weights.hidden == 6
    assert len(kept.x)
    assert len(kept.judge_x)
    assert np.isfinite(kept.x).all()


def test_gate_judges_on_new_history(trained: Path, capsys: Any) -> None:
    write_csv(generate(days=12, seed=1), trained / "later.csv")
    found = trained / "gate.json"
    code = main(
        ["gate", str(trained / "bundle"), "--site", str(trained / "site.toml"),
         "--data", str(trained / "later.csv"), "--since", "2024-01-09", "--json", str(found),
         "--out", str(trained / "judged")]
    )  # fmt: skip
    said = capsys.readouterr().out
    values = json.loads(found.read_text(encoding="utf-8"))
    assert code == (0 if values["armed"] else 3)
    assert "over 576 steps" in said
    assert {row["horizon"] for row in values["skills"]} == {1, 6}
    assert "over its threshold in" in said
    judged = read_manifest(trained / "judged", ANY_SIGNER).forecaster
    assert (judged.armed, judged.reason) == (values["armed"], values["reason"])


def test_gate_on_the_history_it_was_trained_on_warns(trained: Path, capsys: Any) -> None:
    main(["gate", str(trained / "bundle"), "--site", str(trained / "site.toml"),
          "--data", str(trained / "history.csv")])  # fmt: skip
    assert "the very history it was trained on" in capsys.readouterr().err


def test_update_goes_on_from_the_weights_or_leaves_the_old_bundle(
    trained: Path, capsys: Any
) -> None:
    rows = (trained / "later.csv").read_text(encoding="utf-8").splitlines()
    if not rows:
        pytest.fail("no later history")
    fresh = trained / "fresh.csv"
    fresh.write_text("\n".join([rows[0], *rows[1153:]]) + "\n", encoding="utf-8")
    out = trained / "updated"
    code = main(["update", str(trained / "bundle"), "--site", str(trained / "site.toml"),
                 "--data", str(fresh), "--out", str(out), "--quiet"])  # fmt: skip
    said = capsys.readouterr().out
    assert "pinball loss on the new period" in said
    assert code in (0, 3)
    assert out.exists() == (code == 0)
    if code == 0:
        manifest = read_manifest(out, ANY_SIGNER)
        assert manifest.version == 2
        assert (
            dict(manifest.metrics)["update.new.after"] < dict(manifest.metrics)["update.new.before"]
        )


def test_update_with_the_same_history_is_refused(trained: Path, capsys: Any) -> None:
    code = main(["update", str(trained / "bundle"), "--site", str(trained / "site.toml"),
                 "--data", str(trained / "history.csv"), "--out", str(trained / "no")])  # fmt: skip
    assert code == 1
    assert "nothing is new" in capsys.readouterr().err
    assert not (trained / "no").exists()


@pytest.mark.parametrize("command", ["update", "gate"])
def test_two_units_in_a_column_are_refused_after_training_too(
    trained: Path, capsys: Any, command: str
) -> None:
    table = generate(days=20, seed=1)
    table.values[:, 0] += 800.0
    table.values[1500:, 0] /= 1000.0
    write_csv(table, trained / "mixed.csv")
    out = trained / "mixed"
    code = main([command, str(trained / "bundle"), "--site", str(trained / "site.toml"),
                 "--data", str(trained / "mixed.csv"), "--out", str(out)])  # fmt: skip
    said = capsys.readouterr().err
    assert code == 1
    assert "the history cannot be used" in said
    assert "units: crack_1" in said
    assert not out.exists()


def test_training_stopped_by_ctrl_c_goes_on_after_the_last_finished_part(
    trained: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable, "-m", "export", "train", "--site", str(trained / "site.toml"),
        "--data", str(trained / "history.csv"), "--out", str(tmp_path / "again"),
    ]  # fmt: skip
    kept = tmp_path / ".again.training"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        until = time.monotonic() + 200
        while not list(kept.glob("gru-*.npz")) and time.monotonic() < until:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "goes on after the last part that was finished" in said
    assert not (tmp_path / "again").exists()
    assert list(kept.glob("gru-*.npz"))
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "parts were finished before and not trained again" in done.stderr
    assert not kept.exists()
    with (
        np.load(tmp_path / "again" / "training.npz") as ours,
        np.load(trained / "bundle" / "training.npz") as first,
    ):
        assert ours.files == first.files
        for name in first.files:
            if first[name].dtype.kind == "f":
                # TensorFlow rounds a last bit differently once in many runs of a busy machine.
                one, other = ours[name], first[name]
                assert np.allclose(one, other, rtol=1e-5, atol=1e-6, equal_nan=True), name
            else:
                assert np.array_equal(ours[name], first[name]), name
