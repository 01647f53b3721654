"""manifest.json: what is wrong in it is named with its path, and nothing else ever happens."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.bench import demo_bundle
from edge.bundle import read_manifest
from edge.errors import BundleError
from edge.manifest import FORMAT, Manifest
from edge.trust import ANY_SIGNER

GRU = "gru.float16.tflite"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(demo_bundle(), tmp_path / "bundle"))


def values_of(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text())


def write(folder: Path, values: Any) -> None:
    (folder / "manifest.json").write_text(json.dumps(values))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        read_manifest(folder, ANY_SIGNER)
    return str(caught.value)


def test_the_shipped_manifest_is_read_whole() -> None:
    manifest = read_manifest(demo_bundle(), ANY_SIGNER)
    values = values_of(demo_bundle())
    assert values["format"] == FORMAT
    assert [c.name for c in manifest.channels] == [c["name"] for c in values["channels"]]
    assert {name for name, _, _ in manifest.files} == set(values["files"])
    assert manifest.label == f"{values['name']} v{values['version']}"
    assert dict(manifest.metrics) == values["metrics"]
    assert len(manifest.features.mean) == len(manifest.features.terms)


def test_a_manifest_of_no_end_is_refused_before_it_is_read(bundle: Path) -> None:
    with (bundle / "manifest.json").open("ab") as file:
        file.truncate(1 << 40)
    assert "manifest.json: larger than" in refusal(bundle)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"nonsense"])
def test_a_manifest_that_is_not_json_is_refused(bundle: Path, text: bytes) -> None:
    (bundle / "manifest.json").write_bytes(text)
    assert "manifest.json: document: not JSON" in refusal(bundle)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["format"], 1, "format: this release reads format 2"),
        (["format"], "1", "format: must be a whole number"),
        (["fornat"], 1, "fornat: unknown key; did you mean 'format'?"),
        (["forecaster", "hiden"], 3, "forecaster.hiden: unknown key; did you mean 'hidden'?"),
        (["forecaster", "hidden"], "32", "forecaster.hidden: must be a whole number"),
        (["forecaster", "horizons"], [1.5, 6, 36], "forecaster.horizons: whole steps"),
        (["forecaster", "targets"], ["crack_1"] * 2, "forecaster.targets: must name"),
        (["forecaster", "quantiles"], [0.5, 0.1, 0.9], "forecaster.quantiles: an odd number"),
        (["forecaster", "armed"], 1, "forecaster.armed: must be true or false"),
        (["channels", 0, "aggregate"], "median", "channels[0].aggregate: 'median' is not one"),
        (["features", "sd", 0], 0, "features.sd: every entry must be above 0"),
        (["features", "terms", 3, "channel"], "x", "features.terms[3].channel: 'x' is not in"),
        (["detectors", 1, "name"], "autoencoder", "detectors: names must differ"),
        (["files"], [], "files: must be a table"),
        (["files", GRU, "size_bytes"], -1, f"files.{GRU}.size_bytes: -1 is outside"),
        (["step_ms"], 10**400, "step_ms: a number of more than 63 bits is outside"),
    ],
)
def test_a_mistake_in_the_manifest_is_named_with_its_path(
    bundle: Path, path: list[Any], value: Any, said: str
) -> None:
    manifest = place = values_of(bundle)
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    write(bundle, manifest)
    assert said in refusal(bundle)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "a/../../secret", "..", ".hidden", "a\0b", "\ud800", ""]
)
def test_a_file_name_that_leads_out_of_the_bundle_is_refused(bundle: Path, name: str) -> None:
    (bundle.parent / "secret").write_text("secret")
    manifest = values_of(bundle)
    digest = hashlib.sha256(b"secret").hexdigest()
    manifest["files"][name] = {"sha256": digest, "size_bytes": 100_000}
    write(bundle, manifest)
    said = refusal(bundle)
    assert "is not a plain file name" in said or str(bundle) + ": " in said


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path of a JSON value, its own but for the root."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, each in pairs:
        found.append((*path, key))
        if isinstance(each, dict | list):
            found += places(each, (*path, key))
    return found


WHOLE = values_of(demo_bundle())
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v, max_size=3)
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_mutation_of_the_manifest_is_refused_or_valid_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutated"
    if not folder.exists():
        shutil.copytree(demo_bundle(), folder)
    manifest = place = copy.deepcopy(WHOLE)
    *path, last = data.draw(st.sampled_from(places(WHOLE)))
    for key in path:
        place = place[key]
    change = data.draw(st.sampled_from(("drop", "change", "rename", "add")))
    if change in ("drop", "rename"):
        value = place.pop(last)
    if change == "change":
        place[last] = data.draw(ANYTHING)
    elif change != "drop":
        value = value if change == "rename" else data.draw(ANYTHING)
        name = data.draw(st.text())
        place.update({name: value}) if isinstance(place, dict) else place.append(value)
    write(folder, manifest)
    said = ""
    try:
        assert isinstance(read_manifest(folder, ANY_SIGNER), Manifest)
    except BundleError as error:
        said = str(error)
    assert not said or str(folder) in said
