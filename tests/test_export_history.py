"""History and site.toml: what cannot be learnt from is refused in words, before any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.config import load_config
from edge.errors import ConfigError, TalusError
from export.__main__ import main
from export.history import feature_rows, fit_features, load_history
from export.slope import CHANNELS, generate, write_csv
from export.train_config import default_terms, load_site

SITE = (demo_bundle().parent / "site.toml").read_text()
HEADER = "time," + ",".join(CHANNELS)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(SITE)
    return path


def rows(count: int) -> list[str]:
    """The lines of a good CSV, header first."""
    slope = generate(count / 144, 1)
    times = slope.time_ms.tolist()
    lines = [
        f"{t}," + ",".join(f"{v:.3f}" for v in row)
        for t, row in zip(times, slope.values, strict=True)
    ]
    return [HEADER, *lines]


def refused(site: Path, capsys: pytest.CaptureFixture[str], *data: Path) -> str:
    """What ``talus-export train`` says when it ends with 1 and writes nothing."""
    out = site.parent / "bundle"
    sources = [word for path in data for word in ("--data", str(path))]
    assert main(["train", "--site", str(site), *sources, "--out", str(out), "--quiet"]) == 1
    assert not out.exists()
    said = capsys.readouterr().err
    assert said.startswith("talus-export train: ")
    assert "Traceback" not in said
    return said


def spoilt(tmp_path: Path, line: int, text: str, count: int = 300) -> Path:
    """A good history but for one line, counted from 1."""
    lines = rows(count)
    lines[line - 1] = text
    path = tmp_path / "history.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_history_is_what_the_gateway_would_have_seen(site: Path) -> None:
    slope = generate(5, 1)
    path = site.parent / "history.csv"
    write_csv(slope, path)
    history = load_history(load_config(site, site=True), "slope", [str(path)])
    assert history.channels == CHANNELS
    assert np.array_equal(history.values, slope.values)
    assert set(np.diff(history.time_ms).tolist()) == {600_000}
    assert history.rejected == ()
    assert not history.reset[1:].any()


def test_history_can_end_before_what_is_held_back(site: Path) -> None:
    slope = generate(5, 1)
    path = site.parent / "history.csv"
    write_csv(slope, path)
    config, until = load_config(site, site=True), int(slope.time_ms[400])
    cut = load_history(config, "slope", [str(path)], until)
    assert cut.time_ms.max() < until
    assert len(cut.values) == pytest.approx(400, abs=1)
    assert cut.sha256 != load_history(config, "slope", [str(path)]).sha256


def test_features_are_standardised_on_the_training_part_alone(site: Path) -> None:
    config = load_config(site, site=True)
    path = site.parent / "history.csv"
    write_csv(generate(5, 1), path)
    history = load_history(config, "slope", [str(path)])
    terms = default_terms(config.station("slope"))
    before = fit_features(terms, history, 400)
    history.values[400:] *= 3.0
    assert fit_features(terms, history, 400) == before
    x, known = feature_rows(before, history)
    assert known[:400].all()
    assert np.allclose(x[:400].mean(axis=0), 0.0, atol=0.15)
    history.values[:400] *= 3.0
    assert fit_features(terms, history, 400) != before


def test_a_history_too_short_is_refused(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoilt(tmp_path, 1, HEADER, count=40)
    assert "40 grid steps of 'slope' in the history; 48 needed" in refused(site, capsys, path)


def test_a_history_with_no_row_is_refused(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.csv").write_text(HEADER + "\n")
    assert "0 grid steps of 'slope'" in refused(site, capsys, tmp_path / "history.csv")


def test_a_channel_without_any_value_is_named(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    lines = rows(300)
    blank = [line.rsplit(",", 1)[0] + "," for line in lines[1:]]
    path.write_text("\n".join([lines[0], *blank]) + "\n")
    assert "channel 'air_temperature' has no value" in refused(site, capsys, path)


def test_a_column_that_is_missing_leaves_its_channel_without_values(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "history.csv"
    path.write_text("\n".join(line.rsplit(",", 1)[0] for line in rows(300)) + "\n")
    assert "channel 'air_temperature' has no value" in refused(site, capsys, path)


@pytest.mark.parametrize(
    ("line", "text", "said"),
    [
        (7, "1704070000000,0.1,0.2,broken,0,0,0,0,0", ":7: 'broken' is no number"),
        (9, "1704070000000,0.1,0.2", ":9: 3 columns, the header has 9"),
        (5, "yesterday,0,0,0,0,0,0,0,0", ":5: time 'yesterday'"),
        (4, "9" * 400 + ",0,0,0,0,0,0,0,0", ":4: time '9999"),
        (1, "time,crack_1,crack_1,a,b,c,d,e,f", ":1: column names must differ"),
        (1, "time", ":1: column names must differ"),
        (1, "when," + ",".join(CHANNELS), ":1: neither a capture nor a CSV"),
    ],
)
def test_a_mistake_in_a_csv_is_named_with_file_and_line(
    site: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: int,
    text: str,
    said: str,
) -> None:
    path = spoilt(tmp_path, line, text)
    assert f"{path}{said}" in refused(site, capsys, path)


def test_a_file_that_is_not_there_is_named(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none.csv"
    assert f"{path}: No such file or directory" in refused(site, capsys, path)


def test_a_history_full_of_breaks_has_nothing_to_train_on(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = rows(3000)
    kept = [line for i, line in enumerate(lines[1:]) if i % 40 < 10]
    path = tmp_path / "history.csv"
    path.write_text("\n".join([HEADER, *kept]) + "\n")
    site.write_text(SITE.replace("epochs = 30", "epochs = 1\nsequence_steps = 64"))
    assert "unbroken stretches of 96 steps to train on" in refused(site, capsys, path)


def test_a_horizon_longer_than_the_training_part_is_refused(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoilt(tmp_path, 1, HEADER)
    site.write_text(SITE.replace("[1, 6, 36]", "[1, 6, 400]"))
    assert "train.horizons: 300 grid steps of history, 2000 needed" in refused(site, capsys, path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('["crack_1", "tilt_x"]', '["crack_7"]', "train.targets: 'crack_7' is no channel"),
        ('["crack_1", "tilt_x"]', "[]", "train.targets: name the channels to forecast"),
        ('["crack_1", "tilt_x"]', '"crack_1"', "train.targets: must be a list"),
        ('["crack_1", "tilt_x"]', '["tilt_x", "tilt_x"]', "train.targets: each channel once"),
        ("[1, 6, 36]", "[6, 36]", "train.horizons: rising whole steps"),
        ("[1, 6, 36]", "[1, 2.5]", "train.horizons: rising whole steps"),
        ("[1, 6, 36]", "[1, 36, 6]", "train.horizons: rising whole steps"),
        ("[1, 6, 36]", "[1, 1e300]", "train.horizons: rising whole steps"),
        ("[1, 6, 36]", "[]", "train.horizons: rising whole steps"),
        ("[0.1, 0.5, 0.9]", "[0.1, 0.9]", "train.quantiles: an odd number"),
        ("[0.1, 0.5, 0.9]", "[0.0, 0.5, 1.0]", "train.quantiles: each between 0 and 1"),
        ("hidden = 32", "hidden = 2000", "train.hidden: 2000 is outside 0 .. 256"),
        ("hidden = 32", "hiden = 32", "train.hiden: unknown key; did you mean 'hidden'?"),
        ("epochs = 20", "epochs = -1", "train.epochs: -1 is outside"),
        ("epochs = 20", "epochs = 1.5", "train.epochs: must be a whole number"),
        ("seed = 1", "seed = 4294967296", "train.seed: 4294967296 is outside"),
        ("seed = 1", "test_share = 0.9", "train.test_share: 0.9 is outside 0.05 .. 0.45"),
        ('station = "slope"', 'station = "hill"', "train.station: 'hill' is not one of slope"),
        ('name = "demo-slope"', 'name = "a/b"', "train.name: 'a/b'"),
        ("step_s = 600", "", "station[0].step_s: needed for training"),
        (
            "seed = 1",
            '[[train.feature]]\nchannel = "wind"\ntransform = "level"',
            "train.feature[0].channel: 'wind' is no channel",
        ),
        (
            "seed = 1",
            '[[train.feature]]\nchannel = "rain"\ntransform = "fft"',
            "train.feature[0].transform: 'fft' is not one of",
        ),
    ],
)
def test_a_mistake_in_the_table_train_is_named_with_its_path(
    site: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    assert SITE.count(old) == 1
    site.write_text(SITE.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_site(site)
    assert f"{site}: {said}" in str(caught.value)
    assert said in refused(site, capsys, site.parent / "none.csv")


def test_every_mistake_of_site_toml_is_told_at_once(site: Path) -> None:
    wrong = SITE.replace("hidden = 32", "hidden = -2").replace("epochs = 20", "epochs = -1")
    site.write_text(wrong)
    with pytest.raises(TalusError) as caught:
        load_site(site)
    assert len(str(caught.value).splitlines()) == 2


def test_a_station_that_is_not_configured_is_refused_with_those_that_are(site: Path) -> None:
    with pytest.raises(ConfigError, match="'north' is not configured; known: slope"):
        load_site(site, "north")
