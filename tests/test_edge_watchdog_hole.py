"""A lost row is waited for as long as the lateness allows, and that is no hang."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from types import SimpleNamespace

import pytest

from edge import watchdog
from edge.bench import ANY_RUNTIME, demo_bundle
from edge.bundle import load_bundle
from edge.config import load_config
from edge.pipeline import Pipeline
from edge.trust import ANY_SIGNER
from export.slope import CHANNELS, generate
from firmware_bridge.reading import Reading

STEP_MS = 600_000
T0_MS = 1_700_000_000_000 // STEP_MS * STEP_MS
WATCHDOG_S = 60


@pytest.mark.parametrize("lateness_s", [0, 1200, 1800, 3600])
def test_a_hole_lets_the_watchdog_be_petted(tmp_path, monkeypatch, lateness_s) -> None:
    shutil.copytree(demo_bundle().parent, tmp_path / "demo")
    path = tmp_path / "demo" / "gateway.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("step_s = 600", f"step_s = 600\nlateness_s = {lateness_s}"))
    pipeline = Pipeline(
        load_config(path), {"slope": load_bundle(demo_bundle(), ANY_RUNTIME, ANY_SIGNER)}
    )
    clock = SimpleNamespace(now_s=1000.0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(WATCHDOG_S * 1_000_000))
        monkeypatch.setattr(watchdog.time, "monotonic", lambda: clock.now_s)
        petted, bitten = clock.now_s, False
        dog = watchdog.Watchdog(pipeline.stations.values(), tmp_path)
        for number, row in enumerate(generate(0.5, seed=7).values.tolist()):
            if number != 40:
                at_ms = T0_MS + number * STEP_MS
                reading = Reading("node", at_ms, number, CHANNELS, tuple(row), at_ms)
                dog.took(pipeline.receive(reading))
            for _ in range(STEP_MS // 15_000):
                clock.now_s += 15.0
                dog.look([], SimpleNamespace(unsaved=0), lambda: "well")
                with suppress(BlockingIOError):
                    while systemd.recv(4096):
                        petted = clock.now_s
                bitten |= clock.now_s - petted > WATCHDOG_S
    assert number > 60
    assert not bitten
