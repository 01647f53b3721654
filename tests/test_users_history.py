"""Histories as they lie in an office for years, and Ctrl-C while they train."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.bench import demo_bundle
from edge.errors import TalusError
from export.__main__ import main
from export.history import History, known_share, load_history
from export.models.bundle import check_out
from export.slope import generate, write_csv
from export.train_config import load_site

SITE = demo_bundle().parent / "site.toml"


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> list[str]:
    path = tmp_path_factory.mktemp("years") / "history.csv"
    write_csv(generate(5, seed=1), path)
    return path.read_text(encoding="utf-8").splitlines()


def load(tmp_path: Path, *files: list[str]) -> History:
    names = []
    for i, lines in enumerate(files):
        path = tmp_path / f"{i}.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        names.append(str(path))
    return load_history(load_site(SITE)[0], "slope", names)


def test_rows_there_twice_count_once(tmp_path, rows) -> None:
    once = load(tmp_path, rows)
    doubled = [rows[0], *(row for row in rows[1:] for _ in (0, 1))]
    twice = load(tmp_path, doubled)
    overlapping = load(tmp_path, rows[:500], [rows[0], *rows[300:]])
    assert once.sha256 == twice.sha256 == overlapping.sha256  # rain is a sum: it would double
    assert twice.rejected == (("duplicate", len(rows) - 1),)
    assert overlapping.rejected == (("duplicate", 200),)


def test_files_given_in_any_order(tmp_path, rows) -> None:
    there = load(tmp_path, rows[:400], [rows[0], *rows[400:]])
    back = load(tmp_path, [rows[0], *rows[400:]], rows[:400])
    assert there.sha256 == back.sha256


def test_rows_out_of_order_are_an_error_that_says_sort(tmp_path, rows) -> None:
    with pytest.raises(TalusError, match="time before the row above: sort each file"):
        load(tmp_path, [rows[0], *rows[400:], *rows[1:400]])


def test_a_column_of_another_name_is_asked_for(tmp_path, rows) -> None:
    with pytest.raises(TalusError, match="is there a column 'tilt_x'"):
        load(tmp_path, [rows[0].replace("tilt_x", "TiltX"), *rows[1:]])


def test_gaps_are_told_by_channel(tmp_path, rows) -> None:
    cut = [row.rsplit(",", 1)[0] + "," if i % 4 == 0 else row for i, row in enumerate(rows[1:])]
    (told,) = known_share(load(tmp_path, [rows[0], *cut]))
    assert told[0] == "air_temperature"
    assert np.isclose(told[1], 0.75, atol=0.01)


def test_a_place_that_cannot_be_written_is_told_before_training(tmp_path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(TalusError, match="cannot be written"):
        check_out(tmp_path / "file" / "bundle")
    check_out(tmp_path / "new" / "bundle")


def test_a_site_file_with_the_mark_of_windows(tmp_path) -> None:
    site = tmp_path / "site.toml"
    site.write_bytes(b"\xef\xbb\xbf" + SITE.read_bytes())
    assert load_site(site)[1].station == "slope"


def test_generate_refuses_a_failure_before_the_start(tmp_path, capsys) -> None:
    assert main(["generate", "--failure-day", "-1", "--out", str(tmp_path / "x.csv")]) == 1
    assert "--failure-day must be above 0" in capsys.readouterr().err


def test_ctrl_c_in_training_leaves_no_bundle_and_says_how_to_go_on(tmp_path) -> None:
    history = tmp_path / "history.csv"
    write_csv(generate(16, seed=1), history)
    out = tmp_path / "out" / "bundle"
    out.parent.mkdir()
    command = [sys.executable, "-m", "export", "train", "--site", str(SITE)]
    with subprocess.Popen(
        [*command, "--data", str(history), "--out", str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        said = b""
        end = time.monotonic() + 120
        while b"train GRU" not in said and time.monotonic() < end:
            said += os.read(process.stderr.fileno(), 4096)
        time.sleep(2.0)
        process.send_signal(signal.SIGINT)
        said += process.stderr.read()
    assert process.returncode == 130
    assert b"stopped; nothing was written; the same command goes on" in said
    assert b"Traceback" not in said
    assert {path.name for path in out.parent.iterdir()} <= {".bundle.training"}
