"""The commands as a technician types them: what they say, and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from edge.__main__ import main
from edge.bench import demo_bundle
from export.__main__ import main as export_main
from export.demo import make_node, write_config
from export.local_broker import free_port
from export.slope import generate, write_csv


def talus(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return write_config(tmp_path, str(tmp_path / "absent"), free_port())


@pytest.fixture(scope="module")
def failing(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("history") / "failing.csv"
    write_csv(generate(9.9, seed=7, failure_day=10.0), path)
    return path


def test_help_shows_examples() -> None:
    shown = talus("--help")
    assert shown.returncode == 0
    assert "talus check --config gateway.toml" in shown.stdout
    assert "exit codes" in shown.stdout


def test_wrong_usage_is_exit_code_2() -> None:
    assert talus("watch").returncode == 2
    assert talus("run").returncode == 2


def test_check_passes_where_everything_is_there(tmp_path, broker) -> None:
    node = make_node(1.0)
    with node:
        done = talus("check", "--config", write_config(tmp_path, node.device, broker.port))
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert all(line.startswith("ok   ") for line in lines)
    for path in ("runtime:", "station[0].bundle:", "port[0].device:", "gateway.data_dir:", "mqtt:"):
        assert any(line.startswith(f"ok   {path}") for line in lines), path


def test_check_names_each_mistake_and_what_to_do(site: Path) -> None:
    (site.parent / "bundle" / "gru.float32.onnx").unlink()
    done = talus("check", "--config", site)
    assert done.returncode == 1
    wrong = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in wrong] == [
        "station[0].bundle:", "port[0].device:", "mqtt.host:",
    ]  # fmt: skip
    assert "copy it again" in wrong[0]
    assert "is it plugged in?" in wrong[1]
    assert "is the broker running" in wrong[2]
    assert "3 to mend" in done.stdout


def test_check_names_every_mistake_of_the_configuration_with_its_path(site: Path) -> None:
    text = site.read_text(encoding="utf-8")
    text = text.replace("baud = 115200", 'baud = "fast"').replace('unit = "kPa"', 'unit = "psi"')
    site.write_text(text.replace("deadband", "dead_band"), encoding="utf-8")
    done = talus("check", "--config", site)
    assert done.returncode == 1
    assert "FAIL port[0].baud: must be a number" in done.stdout.replace("a whole", "a")
    assert "FAIL station[0].channel[4].unit: 'psi' is not one of" in done.stdout
    assert "station[0].alarm.dead_band: unknown key; did you mean 'deadband'?" in done.stdout


def test_run_refuses_a_wrong_configuration(site: Path) -> None:
    site.write_text("[gateway]\nname = 'x y'\n", encoding="utf-8")
    done = talus("run", "--config", site)
    assert done.returncode == 1
    assert "gateway.name" in done.stderr
    assert "port: at least 1 needed" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_says_where_it_cannot_write(site: Path) -> None:
    (site.parent / "talus-data").write_text("a file where the folder should be", encoding="utf-8")
    done = talus("run", "--config", site)
    assert done.returncode == 1
    assert "gateway.data_dir" in done.stderr
    assert "Traceback" not in done.stderr


def test_replay_of_a_csv_prints_the_alarms(tmp_path, failing: Path) -> None:
    text = (demo_bundle().parent / "gateway.toml").read_text(encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(text.replace('"bundle"', f'"{demo_bundle()}"'), encoding="utf-8")
    done = talus("replay", failing, "--config", config)
    assert done.returncode == 0
    assert "readings in 1426, accepted 1426, rejected {}" in done.stderr
    assert " slope 4 alarm level rose to 4 (alarm): velocity of crack_1" in done.stdout
    again = talus("replay", failing, "--config", config, "--json")
    alarms = [json.loads(line) for line in again.stdout.splitlines()]
    assert len(alarms) == len(done.stdout.splitlines())
    assert alarms[-1]["level"] == 4


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("time,crack_1\n2024-01-01,1\n", ":2: time '2024-01-01'"),
        ("time,crack_1\n2024-01-01T00:00,one\n", ":2: 'one' is no number"),
        ("time,crack_1\n2024-01-01T00:00,1,2\n", ":2: 3 columns, the header has 2"),
        ("time,crack_1\n1704067200000,1\n1704067200000," + "9" * 200_000 + "\n", ":3: "),
        ("depth,crack_1\n", "neither a capture nor a CSV"),
        ("# talus-capture 1\n12 node xyz\n", ":2: the bytes are not in hexadecimal"),
        ("# talus-capture 1\n12 other 00\n", "holds port 'other'"),
    ],
)
def test_replay_names_file_and_line_of_a_mistake(site: Path, content: str, wanted: str) -> None:
    history = site.with_name("history.csv")
    history.write_text(content, encoding="utf-8")
    done = talus("replay", history, "--config", site)
    assert done.returncode == 1
    assert wanted in done.stderr
    assert str(history) in done.stderr
    assert "Traceback" not in done.stderr


def test_replay_of_bytes_that_are_no_text(site: Path) -> None:
    history = site.with_name("history.csv")
    history.write_bytes(b"time,crack_1\n\xff\xfe\x00,1\n")
    done = talus("replay", history, "--config", site)
    assert done.returncode == 1
    assert ":2: " in done.stderr
    assert "Traceback" not in done.stderr


def test_bench_prints_every_stage_and_every_runtime() -> None:
    done = talus("bench", "--count", 200)
    assert done.returncode == 0, done.stderr
    for word in ("decode", "calibrate", "quality", "grid", "features", "gru", "detectors", "alarm"):
        assert any(line.startswith(word) for line in done.stdout.splitlines()), word
    for runtime in ("litert", "tflite", "onnxruntime"):
        assert f" {runtime} " in done.stdout


def test_bench_without_a_bundle_there() -> None:
    done = talus("bench", "--bundle", "/nowhere")
    assert done.returncode == 1
    assert "/nowhere/manifest.json" in done.stderr


def test_generate_writes_what_replay_reads(tmp_path, failing: Path) -> None:
    out = tmp_path / "again.csv"
    arguments = ["--days", "9.9", "--seed", "7", "--failure-day", "10", "--out", str(out)]
    assert export_main(["generate", *arguments]) == 0
    assert out.read_bytes() == failing.read_bytes()


@pytest.mark.skipif(os.geteuid() != 0, reason="as root, to become somebody else")
def test_what_is_not_for_this_user_is_said_in_one_line(site: Path, tmp_path: Path) -> None:
    main(["check", "--config", str(site)])  # what it loads that user may not be allowed to read
    site.chmod(0o644)
    (tmp_path / "talus-data").mkdir(mode=0o700, exist_ok=True)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    said = tmp_path / "said"
    said.touch()
    said.chmod(0o666)
    child = os.fork()
    if not child:  # the interpreter may be root's alone: no other program can be started
        code = 99
        try:
            os.setgid(65534)
            os.setuid(65534)
            with said.open("w", encoding="utf-8") as file, redirect_stderr(file):
                code = main(["check", "--config", str(site)])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert "sudo" in said.read_text(encoding="utf-8")
