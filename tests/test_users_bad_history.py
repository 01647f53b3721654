"""Histories that cannot be trained on: the command says why in words, and writes nothing."""

from __future__ import annotations

import errno
import gzip
from pathlib import Path

import numpy as np
import pytest

from edge.bench import demo_bundle
from export.__main__ import main
from export.slope import CHANNELS, START_MS, STEP_MS, generate

SITE = (demo_bundle().parent / "site.toml").read_text(encoding="utf-8")
HEADER = "time," + ",".join(CHANNELS)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The site of the demo, made so small that a history wrongly taken is trained on in seconds."""
    path = tmp_path / "site.toml"
    small = SITE.replace("epochs = 20", "epochs = 1").replace("hidden = 32", "hidden = 4")
    path.write_text(small.replace("folds = 2", "folds = 1").replace("seeds = 2", "seeds = 1"))
    return path


def values(days: float = 10) -> np.ndarray:
    return generate(days, 1).values


def rows(table: np.ndarray) -> list[str]:
    return [
        f"{START_MS + i * STEP_MS}," + ",".join("" if v != v else f"{v:.3f}" for v in row)
        for i, row in enumerate(table)
    ]


def refused(site: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> str:
    """What the command says of a history as it ends with 1; nothing is left beside it."""
    data = site.parent / "history.csv"
    data.write_bytes(content)
    out = site.parent / "new" / "bundle"
    command = ["train", "--site", str(site), "--data", str(data), "--out", str(out), "--quiet"]
    assert main(command) == 1
    assert sorted(p.name for p in site.parent.iterdir()) == ["history.csv", "site.toml"]
    said = capsys.readouterr().err
    assert said.startswith("talus-export train: ")
    assert "Traceback" not in said
    return said.removeprefix("talus-export train: ")


def text(lines: list[str], header: str = HEADER) -> bytes:
    return ("\n".join([header, *lines]) + "\n").encode()


def of(table: np.ndarray) -> bytes:
    return text(rows(table))


def still(days: float = 10) -> np.ndarray:
    """A slope whose crack, a target, is dead."""
    table = values(days)
    table[:, 0] = 3.25
    return table


STILL = "constant: crack_1 "
"""What is said of it once the whole file was read."""


@pytest.mark.parametrize("steps", [0, 1, 2, 5, 47])
def test_too_little_history_says_how_much_is_needed(site, capsys, steps: int) -> None:
    said = refused(site, capsys, of(values()[:steps]))
    assert f"{steps} grid steps of 'slope' in the history; 48 needed" in said


@pytest.mark.parametrize("steps", [48, 60, 100, 144, 179])
def test_a_little_more_history_is_still_too_little_for_these_horizons(site, capsys, steps) -> None:
    said = refused(site, capsys, of(values()[:steps]))
    assert f"train.horizons: {steps} grid steps of history, 180 needed for the longest" in said


def test_rows_that_are_not_sorted(site, capsys) -> None:
    lines = rows(values())
    assert "sort each file by time" in refused(site, capsys, text(lines[700:] + lines[:700]))
    assert "sort each file by time" in refused(site, capsys, text(lines[::-1]))


def test_a_channel_without_a_value(site, capsys) -> None:
    table = values()
    table[:, 6] = np.nan
    said = refused(site, capsys, of(table))
    assert "channel 'soil_moisture' has no value" in said
    assert "is there a column 'soil_moisture'" in said


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("utf-16 with a mark", text(rows(still())).decode().encode("utf-16")),
        ("utf-16 without", text(rows(still())).decode().encode("utf-16-le")),
        ("utf-8 with a mark", b"\xef\xbb\xbf" + text(rows(still()))),
        (
            "semicolons",
            text([r.replace(",", ";") for r in rows(still())], HEADER.replace(",", ";")),
        ),
        (
            "decimal commas",
            text(
                [r.replace(",", ";").replace(".", ",") for r in rows(still())],
                HEADER.replace(",", ";"),
            ),
        ),
        ("windows", text([f"{r},1" for r in rows(still())]).replace(b"ture", b"ture,\xb0C", 1)),
        ("every row twice", text([line for line in rows(still()) for _ in (0, 1)])),
        ("lines of windows", text(rows(still())).replace(b"\n", b"\r\n")),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_the_files_of_an_office_are_read_whatever_saved_them(
    site, capsys, name: str, content: bytes
) -> None:
    assert STILL in refused(site, capsys, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n\n",
        b"\0" * 5000,
        b"PK\x03\x04" + bytes(range(256)) * 20,
        gzip.compress(of(values(1))),
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        of(values(2)).decode().encode("utf-16")[:-1],
        b"\xff\xfe" + b"\x00\xd8" * 500,
        b"time," + b"a" * 300_000 + b"\n",
        text(["1704067200000,1,2,3,4,5,6,7," + "9" * 200_000]),
        HEADER.encode() + b"\n" + b"\xff\xfe\xfa" * 400,
        b'time,"crack_1\n' + of(values(1)),
    ],
    ids=range(12),
)
def test_what_is_no_table_at_all_is_named_with_its_place(site, capsys, content: bytes) -> None:
    said = refused(site, capsys, content)
    assert "history.csv" in said or "48 needed" in said
    assert len(said) < 600


def test_two_units_in_a_column(site, capsys) -> None:
    table = values(20)
    table[:, 0] += 800.0
    table[1500:, 0] /= 1000.0
    said = refused(site, capsys, of(table))
    assert "units: crack_1 2024-01-11T09:50Z to 2024-01-11T10:00Z: " in said
    assert "as between m and mm, or V and mV (factor 0.001)" in said


def test_a_target_without_movement_and_one_with_a_single_event(site, capsys) -> None:
    table = values()
    random = np.random.default_rng(3)
    table[:, 0] = random.normal(0.0, 0.05, len(table)).round(3)
    table[:, 2] = random.normal(0.0, 0.002, len(table)).round(3)
    table[700:, 2] += 20.0
    said = refused(site, capsys, of(table))
    assert "no_movement: crack_1 " in said
    assert "single_event: tilt_x " in said
    assert "train.targets" in said


def test_a_constant_target(site, capsys) -> None:
    said = refused(site, capsys, of(still()))
    assert STILL in said
    assert "a dead or unconnected sensor; leave the channel out of train.targets" in said


def test_rows_that_contradict_each_other_at_every_time(site, capsys) -> None:
    table = values()
    other = table + 0.5
    pairs = [
        row for both in zip(rows(table), rows(other), rows(other + 1), strict=True) for row in both
    ]
    assert "same_time: all channels" in refused(site, capsys, text(pairs))


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("export.history._gather", "the history of 'slope' is larger than memory: take less of it"),
        ("export.models.train.train", "out of memory: a shorter history (--until)"),
    ],
)
def test_memory_that_ends_is_told_with_what_to_do(site, capsys, monkeypatch, at, said) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(at, full)
    assert said in refused(site, capsys, of(values()))


def test_memory_that_ends_inside_tensorflow_is_told_too(site, capsys, monkeypatch) -> None:
    class ResourceExhaustedError(Exception):
        """As tf.errors names it."""

    def full(*_: object) -> None:
        raise ResourceExhaustedError("OOM when allocating tensor")

    monkeypatch.setattr("export.models.train.train", full)
    assert "out of memory: a shorter history" in refused(site, capsys, of(values()))


def test_a_disk_that_is_full_is_told_with_what_to_do(site, capsys, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("export.models.train.train", full)
    assert "the disk is full, nothing is left half written" in refused(site, capsys, of(values()))


@pytest.mark.parametrize("place", ["none/page.html", "."])
def test_a_page_that_cannot_be_written_is_told_before_the_training(site, capsys, place) -> None:
    data = site.parent / "history.csv"
    data.write_bytes(of(values(2)))
    page = site.parent / place
    assert main(["train", "--site", str(site), "--data", str(data), "--out",
                 str(site.parent / "bundle"), "--report", str(page)]) == 1  # fmt: skip
    assert f"--report {page}" in capsys.readouterr().err


def test_a_history_beyond_the_limit_is_refused_before_it_fills_the_memory(
    site, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("export.history._MAX_VALUES", 4000)
    said = refused(site, capsys, of(values()))
    assert "more than 500 steps x 8 channels of 'slope' in the history: take less of it" in said
