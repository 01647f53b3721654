"""The command talus-flash as a technician types it, on simulated nodes kept in files."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import flash_parts
import pytest
from flash_parts import NEW, OLD, flash, parts

from export.__main__ import main as export
from export.secret_key import public_text, secret_text
from firmware_bridge.update_journal import Journal
from firmware_bridge.update_sim import Behaviour, make_image
from firmware_bridge.update_sim_file import SimFileTarget, make_sim_file
from firmware_bridge.update_state import Outcome


def runs(node: Path) -> bytes:
    """What a node runs after its power was cut, twice."""
    target = SimFileTarget(node)
    target.power_cut()
    target.power_cut()
    assert target.runs
    assert target.memory.confirmed
    return target.memory.primary


@pytest.mark.parametrize("slots", [1, 2])
def test_from_a_key_to_a_node_that_runs_the_new_image(tmp_path, slots) -> None:
    (tmp_path / "t.key").write_text(secret_text(flash_parts.KEY, b""))
    (tmp_path / "t.pub").write_text(public_text(flash_parts.KEY.public))
    at = str(tmp_path)
    assert flash(["sim", f"{at}/node.json", "--slots", str(slots)])[0] == 0
    assert flash(["sim", f"{at}/app.bin", "--image-only", "--version", "1.1.0"])[0] == 0
    sign = ["sign-firmware", f"{at}/app.bin", "--board", "sim-node", "--version", "1.1.0"]
    assert export([*sign, "--key", f"{at}/t.key"]) == 0
    code, said = flash(
        ["update", "--port", f"{at}/node.json", "--target", "sim", "--manifest", f"{at}/app.json",
         "--image", f"{at}/app.bin", "--key", f"{at}/t.pub", "--no-gateway", "--journal", f"{at}/j"]
    )  # fmt: skip
    assert code == 0, said
    assert "confirmed: the node runs 1.1.0, and it stays" in said
    assert "writing 13%" in said
    assert "\r" not in said
    assert runs(tmp_path / "node.json") == (tmp_path / "app.bin").read_bytes()
    code, said = flash(["status", "--journal", f"{at}/j"])
    assert "ended     confirmed" in said
    code, said = flash(["identify", "--port", f"{at}/node.json", "--target", "sim", "--no-gateway"])
    assert code == 0
    assert "board    sim-node" in said
    assert "version  1.1.0" in said


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (Behaviour((1, 1, 0), samples="out"), "samples are out of low..high"),
        (Behaviour((1, 1, 0), samples="none"), "too few samples came"),
        (Behaviour((1, 1, 0), boots=False), "reverted: the old image runs again"),
        (Behaviour((1, 1, 0), reports="f" * 64), "another hash started"),
    ],
)
def test_an_image_that_fails_its_trial_goes_and_the_old_one_runs(
    tmp_path, slots, behaviour, said
) -> None:
    made = parts(tmp_path, slots=slots, image=make_image(behaviour, 900))
    code, output = flash(made.alone())
    assert code == 4, output
    assert said in output
    assert runs(made.node) == OLD


def test_what_must_not_be_written_is_refused_with_exit_code_3(tmp_path: Path) -> None:
    made = parts(tmp_path)
    before = made.node.read_bytes()
    flash_parts.signed(tmp_path, board="other-board")
    code, said = flash(made.alone())
    assert code == 3
    assert "refused, nothing was changed: this is a sim-node" in said
    flash_parts.signed(tmp_path, version="0.9.0")
    code, said = flash(made.alone())
    assert (code, "downgrade: version 0.9.0, the node runs 1.0.0" in said) == (3, True)
    flash_parts.signed(tmp_path)
    code, said = flash(made.alone("--min-battery", "3701"))
    assert (code, "battery at 3700 mV" in said) == (3, True)
    assert made.node.read_bytes() == before
    # Once a counter was confirmed, a lower one is refused whatever the version.
    assert flash(made.alone())[0] == 0
    flash_parts.signed(tmp_path, make_image(Behaviour((2, 0, 0))), version="2.0.0", counter=6)
    code, said = flash(made.alone())
    assert (code, "downgrade: counter 6, the node has run 7" in said) == (3, True)


def test_an_alarm_that_is_raised_or_not_known_keeps_hands_off(tmp_path: Path) -> None:
    made = parts(tmp_path)
    data = tmp_path / "data"
    data.mkdir()
    told = ["--data-dir", str(data), "--name", "node-1"]
    code, said = flash(made.options(*told))
    assert code == 3
    assert "alarms.json is missing or damaged: is the gateway running?" in said
    now_ms = time.time_ns() // 1_000_000
    (data / "alarms.json").write_text(json.dumps({"raised": ["slope (level 3)"], "at_ms": now_ms}))
    code, said = flash(made.options(*told))
    assert code == 3
    assert "alarm raised: slope (level 3)" in said
    (data / "alarms.json").write_text(json.dumps({"raised": [], "at_ms": now_ms}))
    code, said = flash(made.options(*told))
    assert code == 0, said
    assert (data / "flash" / "node-1" / "update.jsonl").is_file()
    assert not list(data.glob("maintenance-*"))
    assert runs(made.node) == NEW


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (["--no-gateway", "--data-dir", "."], 2, "one of --data-dir and --no-gateway"),
        (["--data-dir", "."], 2, "--name is needed"),
        (["--no-gateway"], 2, "--journal is needed"),
        (["--no-gateway", "--journal", "j", "--good-samples", "65"], 2, "1 to 64"),
        (["--no-gateway", "--journal", "j", "--target", "avr"], 2, "--part and --programmer"),
        (["--no-gateway", "--journal", "j", "--target", "stm32"], 2, "--part: the family"),
        (["--no-gateway", "--journal", "j", "--port", "nowhere"], 1, "talus-flash sim"),
        (["--no-gateway", "--journal", "j", "--image", "absent"], 1, "absent: No such file"),
        (["--no-gateway", "--journal", "j", "--key", "absent"], 1, "absent: No such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(tmp_path, change, code, said) -> None:
    made = parts(tmp_path)
    options = made.options(*change)
    if "--key" in change:
        del options[options.index("--key") : options.index("--key") + 2]
    found, output = flash(options, cwd=tmp_path)
    assert (found, said in output) == (code, True), output
    assert "Traceback" not in output
    assert runs(made.node) == OLD


def test_help_shows_how_and_what_the_exit_codes_mean() -> None:
    code, said = flash(["--help"])
    assert code == 0
    assert "talus-flash update --port /dev/ttyUSB0 --target mcuboot" in said
    assert "3 refused and nothing changed, 4 reverted" in said
    for command in ("update", "resume", "status", "identify", "sim"):
        assert flash([command, "--help"])[0] == 0


def test_it_loads_neither_numpy_nor_what_only_mcuboot_needs() -> None:
    code = (
        "import sys, firmware_bridge.flash\n"
        "print(*(m for m in ('numpy', 'smp', 'smpclient', 'asyncio', 'paho', 'edge')"
        " if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_an_ended_update_is_told_though_its_files_are_gone(tmp_path: Path) -> None:
    made = parts(tmp_path)
    assert flash(made.alone())[0] == 0
    (made.journal / "image.bin").unlink()
    code, said = flash(["status", "--journal", str(made.journal)])
    assert (code, "ended     confirmed" in said) == (0, True)


def test_a_journal_that_is_not_finished_is_not_begun_over(tmp_path: Path) -> None:
    made = parts(tmp_path, delay_ms=100)
    process = flash_parts.start(made.alone())
    _wait(lambda: made.journal.is_dir() and _phase(made) == "write")
    process.send_signal(signal.SIGSTOP)  # it must not be done before the other has started
    second, said = flash(made.alone())
    assert second == 1
    assert "another talus-flash is at work here" in said
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    stopped, _ = process.communicate(timeout=60)
    assert process.returncode == 130, stopped
    assert "stopped" in stopped
    code, said = flash(made.alone())
    assert (code, "an update is unfinished: talus-flash resume" in said) == (1, True)
    code, said = flash(["status", "--journal", str(made.journal)])
    assert "step      write" in said
    assert "go on     talus-flash resume --journal" in said
    code, said = flash(made.resume())
    assert code == 0, said
    assert runs(made.node) == NEW
    assert flash(made.resume())[1].startswith("nothing to resume: confirmed")


def test_on_a_terminal_one_line_grows(tmp_path: Path) -> None:
    made = parts(tmp_path)
    here, there = pty.openpty()
    command = [sys.executable, "-m", "firmware_bridge.flash", *made.alone()]
    process = subprocess.Popen(command, stdout=there, stderr=there)
    os.close(there)
    said = b""
    try:
        while chunk := os.read(here, 4096):
            said += chunk
    except OSError:  # it has ended
        pass
    os.close(here)
    assert process.wait(timeout=60) == 0
    assert b"\rwriting [############" in said
    assert said.count(b"writing") > 10


# kill -9


def _phase(made: flash_parts.Parts) -> str:
    journal = Journal.read(made.journal)
    return "" if journal is None else journal.state.phase.value


def _wait(what) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("slots", [1, 2])
@pytest.mark.parametrize("image", ["good", "out"])
def test_killed_at_any_moment_it_is_never_bricked_and_never_half_confirmed(
    tmp_path, slots, image
) -> None:
    new = make_image(Behaviour((1, 1, 0), samples=image), 500)
    made = parts(tmp_path, slots=slots, delay_ms=4, image=new)
    kills, number = 0, 0
    options = made.alone()
    while number < 40:
        number += 1
        process = flash_parts.start(options)
        # Not before it has begun, or only the start-up of Python is killed.
        _wait(lambda p=process: p.poll() is not None or _begun(made))
        if number < 25:
            time.sleep(number * 0.013 % 0.11)
        else:
            process.wait(timeout=60)
        killed = process.poll() is None
        process.kill()
        said, _ = process.communicate()
        kills += killed
        target = SimFileTarget(made.node)
        if number % 3 == 0:
            target.power_cut()
        if slots == 2:
            assert target.runs  # at every moment it runs something
        if not killed and process.returncode in (0, 4):
            break
        journal = Journal.read(made.journal) if made.journal.is_dir() else None
        options = made.alone() if journal is None else made.resume()
    assert kills >= 3, said
    # Killed in two of its trials, a good image goes too, and that is said.
    stays = image == "good" and "did not last in 2 test boots" not in said
    assert process.returncode == (0 if stays else 4), said
    journal = Journal.read(made.journal)
    assert journal is not None
    assert journal.state.outcome is (Outcome.CONFIRMED if stays else Outcome.REVERTED)
    assert runs(made.node) == (new if stays else OLD)


_SEEN: dict[Path, int] = {}


def _begun(made: flash_parts.Parts) -> bool:
    """Whether this run has put its first line on disk."""
    path = made.journal / "update.jsonl"
    size = path.stat().st_size if path.exists() else 0
    begun = size > _SEEN.get(path, 0)
    if begun:
        _SEEN[path] = size
    return begun


def test_a_simulated_node_outlives_who_talks_to_it(tmp_path: Path) -> None:
    make_sim_file(tmp_path / "n", OLD)
    target = SimFileTarget(tmp_path / "n")
    target.write(0, NEW)
    target.test_boot("")
    assert not SimFileTarget(tmp_path / "n").memory.confirmed
    assert SimFileTarget(tmp_path / "n").memory.primary == NEW
    SimFileTarget(tmp_path / "n").power_cut()
    assert SimFileTarget(tmp_path / "n").memory.primary == OLD
