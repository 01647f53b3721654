"""``talus bundle show``: a person and a script learn what a bundle is before they arm it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.__main__ import main
from edge.show import Shown, json_values, lines, look, plain
from edge.trust import SIGNATURE_FILE
from export.secret_key import SecretKey
from export.signing import sign_bundle

# Fixed: they are in the names of tests, which every process that runs some must agree on.
KEY, OTHER = (SecretKey(bytes([n]) * 8, bytes([n]) * 32) for n in (1, 2))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return tiny_bundle.make(tmp_path / "bundle", version=4, counter=3)


def shown(capsys, *arguments: object) -> tuple[int, str]:
    code = main(["bundle", "show", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_it_tells_what_is_armed_and_why_and_what_each_artifact_costs(bundle, capsys) -> None:
    code, text = shown(capsys, bundle)
    assert code == 0
    rows = [" ".join(line.split()) for line in text.splitlines()]
    size = (bundle / "gru.onnx").stat().st_size
    for row in (
        f"bluff v4: {bundle}",
        "signature unsigned",
        "counter 3",
        "grid step 600 s",
        f"trained on data sha256 {'d' * 64}, seed 7",
        "targets crack",
        "horizons 10 min, 1 h",
        "velocity armed always: movement over 6 h against its own history",
        "baseline not run 0 the best naive: drift, persistence",
        "gru armed 3.5 skill 0.2 against drift over 5 folds",
        "pca (dense) in shadow 4.25 1 % finds no more than the baseline",
        f"gru gru.onnx float32 {size} 0.125 % 1 % 3.5e-06 onnxruntime",
        "crack 1 h persistence drift",
        "rain rainfall mm sum decayed_sum(36)",
        "skill 0.2",
    ):
        assert row in rows


def test_a_script_gets_the_whole_manifest(bundle, capsys) -> None:
    sign_bundle(bundle, KEY, 0, 9)
    code, text = shown(capsys, bundle, "--json")
    values = json.loads(text)
    assert code == 0
    assert values["manifest"] == json.loads((bundle / "manifest.json").read_bytes())
    assert values["label"] == "bluff v4"
    assert values["signed_by"] == KEY.public.id
    assert "not verified" in values["signature"]
    assert values["refused"] is None


@pytest.mark.parametrize(
    ("table", "signer", "code", "said"),
    [
        (f'keys = ["{KEY.public.text}"]', KEY, 0, f"signed by {KEY.public.id}, a trusted key"),
        (f'keys = ["{KEY.public.text}"]', OTHER, 1, f"signed by key {OTHER.public.id}, trusted is"),
        (f'keys = ["{KEY.public.text}"]', None, 1, "unsigned: there is no"),
        ("", KEY, 1, "nothing says whose bundles to trust"),
        ("allow_unsigned = true", KEY, 0, "not verified: allow_unsigned"),
        ("allow_unsigned = true", None, 0, "unsigned"),
    ],
)
def test_with_a_configuration_it_judges_as_that_gateway_would(
    bundle: Path, capsys, table: str, signer, code: int, said: str
) -> None:
    if signer:
        sign_bundle(bundle, signer, 0, 9)
    path = tiny_bundle.gateway_toml(bundle.parent, table)
    found, text = shown(capsys, bundle, "--config", path)
    assert found == code
    assert said in text
    assert ("REFUSED" in text) == (code == 1)
    found, text = shown(capsys, bundle, "--config", path, "--json")
    assert found == code
    assert said in json.loads(text)["refused" if code else "signature"]


def test_a_damaged_bundle_is_named_and_is_exit_code_1(bundle: Path, capsys) -> None:
    (bundle / SIGNATURE_FILE).write_text("nonsense")
    code, text = shown(capsys, bundle)
    assert code == 1
    assert "not a minisign signature: has 1 lines" in text
    (bundle / "gru.onnx").write_bytes(b"other")
    assert main(["bundle", "show", str(bundle)]) == 1
    said = capsys.readouterr().err
    assert f"talus bundle: {bundle / 'gru.onnx'}: sha256 is not that of the manifest" in said
    assert main(["bundle", "show", str(bundle.parent / "none")]) == 1
    assert "there is no such bundle" in capsys.readouterr().err


def test_a_gru_in_shadow_and_its_baseline_change_places() -> None:
    m = tiny_bundle.manifest()
    baseline = replace(m.forecaster.baseline, threshold=(2.0,))
    gru = replace(m.forecaster, armed=False, reason="no better than drift", baseline=baseline)
    rows = [" ".join(line.split()) for line in lines(_of(replace(m, forecaster=gru)))]
    assert "baseline armed 2 the best naive: drift, persistence" in rows
    assert "gru in shadow 3.5 no better than drift" in rows


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_no_text_of_a_bundle_steers_the_terminal(text: str) -> None:
    m = tiny_bundle.manifest(name=text)
    m = replace(m, forecaster=replace(m.forecaster, reason=text), metrics=((text, 1.0),))
    found = _of(m)
    assert all(line.isprintable() for line in lines(found))
    assert json.loads(json.dumps(json_values(found)))["manifest"]["name"] == text
    assert plain("a\x1b[2Jb") == "a\N{REPLACEMENT CHARACTER}[2Jb"


def test_looking_needs_no_runtime_and_writes_nothing(bundle: Path) -> None:
    before = sorted(bundle.parent.rglob("*"))
    assert look(bundle, None).signature == "unsigned"
    assert sorted(bundle.parent.rglob("*")) == before


def _of(manifest) -> Shown:
    return Shown(Path("bundle"), manifest, "unsigned", "", "")
