"""The benchmark against peers: what tables say, what is refused."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from peers_parts import imported


@pytest.fixture(scope="module")
def parts() -> Any:
    with imported() as found:
        yield found


def speed(parts, **changed) -> Any:
    usual = {"p50_ms": 1.0, "p99_ms": 2.0, "cpu_us_10hz": 100.0, "cpu_us_100hz": 50.0,
             "rss_mb": 20.0, "held_hz": 500.0, "lost": 0, "steps": 1.0}  # fmt: skip
    return parts.speed.Speed(**usual | changed)


def test_ratios_are_to_the_best_of_the_others_and_never_to_ours(parts) -> None:
    found = {
        "talus-on": speed(parts, cpu_us_10hz=300.0, p99_ms=6.0),
        "talus-off": speed(parts, cpu_us_10hz=1.0, p99_ms=0.1),
        "bare": speed(parts, cpu_us_10hz=200.0, p99_ms=4.0),
        "mqtt-io": speed(parts, cpu_us_10hz=600.0, p99_ms=40.0),
        "node-red": speed(parts, cpu_us_10hz=10.0, p99_ms=3.0),
    }
    figures = parts.report.speed_figures(found, parts.gateways.PEERS)
    assert figures["cpu_over_best_python_peer"] == 1.5  # Node-RED is none of Python's
    assert figures["p99_over_best_peer"] == 2.0
    assert figures["cpu_over_mqtt_io"] == 0.5


def test_without_a_peer_there_is_no_ratio(parts) -> None:
    figures = parts.report.speed_figures({"talus-on": speed(parts)}, parts.gateways.PEERS)
    assert figures["talus_on_p99_ms"] == 2.0
    assert "p99_over_best_peer" not in figures


def test_losses_add_up_over_disturbances_ours_together(parts) -> None:
    def loss(lost, back_s=1.0, ends=0) -> Any:
        return parts.loss.Loss(parts.tally.Account(100, lost, 0, back_s), ends)

    found = {
        "broker": {"talus-on": loss(0), "talus-off": loss(0), "bare": loss(7)},
        "kill": {"talus-on": loss(5), "talus-off": loss(6), "bare": loss(60, float("inf"), 2)},
    }
    figures = parts.report.loss_figures(found, parts.gateways.PEERS)
    assert (figures["lost"], figures["peer_lost_bare"]) == (11, 67)
    assert (figures["talus_on_lost_kill"], figures["bare_ends"]) == (5, 2)
    assert "peer_lost_node_red" not in figures


def test_where_ours_is_behind_is_said_with_who_is_better(parts) -> None:
    m = parts.page.Measure
    measures = [m("p99_ms", "p99", 1), m("held_hz", "held", 0, less_is_better=False)]
    figures = {"talus_on_p99_ms": 6.0, "talus_on_held_hz": 2000.0,
               "bare_p99_ms": 4.0, "bare_held_hz": 500.0,
               "red_p99_ms": 9.0, "red_held_hz": 5000.0}  # fmt: skip
    said = parts.page.behind(figures, "talus_on", {"bare": "bare", "red": "Node-RED"}, measures)
    assert said == ["- p99: 6.0; better: bare 4.0", "- held: 2,000; better: Node-RED 5,000"]


def test_a_table_has_a_dash_where_nothing_was_measured(parts) -> None:
    text = parts.page.measured(
        {"a_x": 1.25}, {"a": "A", "b": "B"}, [parts.page.Measure("x", "X", 1)]
    )
    assert text.splitlines() == ["|  | X |", "|---|---:|", "| A | 1.2 |", "| B | - |"]


def test_bars_are_sound_svg_and_longer_where_there_is_more(parts) -> None:
    rows = [("a <b>", 0.5, True), ("c", 500.0, False), ("none", 0.0, False),
            ("never", float("inf"), False)]  # fmt: skip
    root = ET.fromstring(parts.page.bars("p99 & more", "ms", rows))
    bars = root.findall("{*}rect")[1:]
    widths = [float(bar.get("width")) for bar in bars]
    assert len(widths) == 3
    assert widths[1] > widths[0] > widths[2] == 0.0
    assert {bar.get("fill") for bar in bars[:2]} == {"#1f5fa8", "#9a9a9a"}


def test_the_page_keeps_parts_that_were_not_measured_anew(parts) -> None:
    kept = {name: {"title": name, "date": "2026-01-01", "quick": name == "anomaly",
                   "machine": "m", "markdown": "| a |", "plots": {"p.svg": "plot"}}
            for name in ("anomaly", "gateways")}  # fmt: skip
    page = parts.page.page(kept, ["gateways", "inference", "anomaly"])
    assert page.index("## gateways") < page.index("## anomaly")
    assert page.count("--quick") == 1
    assert "inference" not in page
    assert "![plot](plots/p.svg)" in page


def test_a_faulty_step_is_told_by_rank(parts) -> None:
    faulty = np.array([False, False, True, True])
    assert parts.anomaly.auc(np.array([1.0, 2.0, 3.0, 4.0]), faulty) == 1.0
    assert parts.anomaly.auc(np.array([3.0, 4.0, 1.0, 2.0]), faulty) == 0.0
    assert parts.anomaly.auc(np.array([5.0, 5.0, 5.0, 5.0]), faulty) == 0.5


def test_a_peer_that_cannot_be_installed_is_refused_with_the_reason(parts, monkeypatch, tmp_path):
    monkeypatch.setattr(parts.env, "HOME", tmp_path)
    monkeypatch.setitem(parts.env.NODE_PACKAGES, "node-red", (f"{tmp_path}/is-not-there",))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(parts.env.NotInstalledError, match="npm"):
        parts.env.node_of("node-red")
    assert not (tmp_path / "node-red" / "talus-peer.json").exists()


def test_talus_is_set_up_as_a_configuration_that_is_read(parts, tmp_path) -> None:
    from edge.config import load_config

    for peer in parts.gateways.PEERS:
        if not peer.ours:
            continue
        folder = tmp_path / peer.name
        folder.mkdir()
        peer.start(folder, "/dev/ttyX", 1883)
        station = load_config(folder / "gateway.toml").stations[0]
        assert bool(station.bundle) == (peer.name == "talus-on")


def whole_gateways(parts, **changed) -> Any:
    peers = [p for p in parts.gateways.PEERS if p.name != "node-red"]
    found = {p.name: speed(parts) for p in peers} | {"bare": speed(parts, p99_ms=0.5)}
    figures = parts.report.speed_figures(found, peers)
    back = parts.loss.Loss(parts.tally.Account(100, 3, 0, float("inf")), 1)
    figures |= parts.report.loss_figures({"replug": {p.name: back for p in peers}}, peers)
    versions = {p.name: "1.0" for p in peers}
    absent = {"Node-RED": "npm: not found"}
    return parts.report.gateways(
        figures, parts.gateways.PEERS, versions, absent, parts.loss.QUICK
    )  # fmt: skip


def test_a_peer_that_is_absent_is_named_and_has_no_row(parts) -> None:
    part = whole_gateways(parts)
    assert "- Node-RED: not measured: npm: not found" in part.markdown
    assert "| Node-RED |" not in part.markdown
    assert "p99, ms: 2.0; better: bare pyserial + paho 0.5" in part.markdown
    assert "never" in part.markdown
    for _, svg in part.plots.values():
        ET.fromstring(svg)


def test_inference_and_detectors_are_told_with_what_could_not_be_run(parts) -> None:
    form = parts.inference.Form
    named = {"step float32 litert": 10.0, "window float32 litert": 130.0, "Keras predict": 9e4,
             "openWakeWord loop litert": 140.0}  # fmt: skip
    forms = [form(name, lambda: None, 0.0, us) for name, us in named.items()]
    figures = parts.inference.figures(forms)
    assert figures["window_over_step"] == 13.0
    assert figures["keras_predict_over_step"] == 9000.0
    assert figures["openwakeword_loop_over_step"] == 14.0
    part = parts.report.inference(forms, {"window int8": "it died"}, figures, "keras 3")
    assert "- window int8: not measured: it died" in part.markdown
    assert part.markdown.index("step float32") < part.markdown.index("Keras predict")
    scored = [parts.anomaly.Scored("Talus pca, float32 litert", 10.0, 20.0, 0.9)]
    alone = parts.anomaly.figures(scored)
    assert alone == {"anomaly_us_talus_pca": 10.0, "anomaly_auc_talus_pca": 0.9}
    assert "| 0.90 |" in parts.report.anomaly(scored, alone, "river: skipped: no pip").markdown


def test_results_are_written_part_after_part(parts, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(parts.entry, "HERE", tmp_path)
    monkeypatch.setattr(parts.entry, "PLOTS", tmp_path / "plots")
    monkeypatch.setattr(parts.entry, "KEPT", tmp_path / "plots" / "peers.json")
    parts.entry.keep({"gateways": whole_gateways(parts)}, "here", quick=True)
    scored = [parts.anomaly.Scored("Talus pca, float32 litert", 10.0, 20.0, 0.9)]
    other = parts.report.anomaly(scored, {"anomaly_us": 1.0}, "river 0")
    parts.entry.keep({"anomaly": other}, "there", quick=False)
    page = (tmp_path / "RESULTS.md").read_text()
    assert page.index("## Gateways") < page.index("## Anomaly scoring")
    assert "here" in page
    assert "there" in page
    kept = json.loads((tmp_path / "plots" / "peers.json").read_text())
    assert kept["gateways"]["figures"]["peer_lost_bare"] == 3
    assert not any(name.startswith("bare_back") for name in kept["gateways"]["figures"])
    for file in ("peers-p99.svg", "peers-lost.svg", "peers-anomaly.svg"):
        assert f"plots/{file}" in page
        assert (tmp_path / "plots" / file).exists()
