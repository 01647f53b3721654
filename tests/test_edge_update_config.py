"""gateway.toml put in by an update, in a root of its own: proven, switched, watched, taken back."""

from __future__ import annotations

import os
import shutil

import pytest
from update_parts import KEY, OTHER, Root

from edge import update_run
from edge.update_command import main as service
from edge.update_item import UpdateError
from edge.update_place import Place
from edge.update_state import COMMITTED, REFUSED, REVERTED, State
from edge.update_system import System
from edge.update_take import Request

TOE = """\
[[port]]
name = "spare"
device = "/dev/null"
protocol = "tw1"
[[station]]
name = "toe"
step_s = 600
[station.decision]
profile = "single"
[[station.channel]]
name = "crack"
port = "spare"
quantity = "crack_width"
unit = "mm"
"""


@pytest.fixture
def root(tmp_path) -> Root:
    return Root(tmp_path)


def test_a_signed_configuration_is_put_in_and_the_one_before_is_kept(root: Root) -> None:
    state = root.put_in(root.new_config())
    assert isinstance(state, State)
    assert (state.outcome, root.mark(), root.counter("config")) == (COMMITTED, "new", 5)
    assert root.config.with_name("gateway.toml.previous").read_text() == root.toml("old")
    assert root.starts() == ["releases/1.0 # new"]
    assert root.config.stat().st_mode & 0o777 == 0o640
    assert [p.name for p in root.config.parent.iterdir() if p.name.startswith(".")] == []
    told = root.outcome()
    assert (told["id"], told["outcome"], told["counter"]) == ("one", COMMITTED, 5)
    assert not root.place.journal.exists()
    assert list(root.place.work.iterdir()) == []


def test_one_that_does_not_serve_is_taken_back_and_may_come_again(root: Root) -> None:
    state = root.put_in(root.new_config("SICK"))
    assert isinstance(state, State)
    assert (state.outcome, root.mark(), root.counter("config")) == (REVERTED, "old", 0)
    assert root.starts() == ["releases/1.0 # SICK", "releases/1.0 # old"]
    assert "talus run is not at work" in root.outcome()["text"]
    assert root.put_in(root.new_config("mended")).outcome == COMMITTED


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"data": "/elsewhere"}, "data_dir: another folder"),
        ({"keys": f'"{OTHER.public.text}", "RWx"'}, "trust.keys"),
        ({"mark": '\n[nonsense]\nx = 1\n[station]\nname = "a"'}, "TOML"),
    ],
)
def test_what_a_gateway_cannot_live_with_changes_nothing(root: Root, changed, told) -> None:
    good = root.new_config()
    text = root.toml(**{"mark": "new"} | changed)
    # As somebody would sign it who does not look: the signature is sound, the text is not.
    from edge.update_item import Item, comment_of
    from export.signing import put, sign_content

    good.write_text(text)
    import hashlib

    data = good.read_bytes()
    item = Item("config", "bluff", 5, len(data), hashlib.sha256(data).hexdigest())
    put(good.parent, {"gateway.toml.minisig": sign_content(data, KEY, comment_of(item))}, 0o644)
    state = root.put_in(good)
    assert isinstance(state, State)
    assert (state.outcome, root.mark(), root.starts()) == (REFUSED, "old", [])
    assert told in root.outcome()["text"]
    assert root.counter("config") == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('device = "/dev/null"', 'device = "/dev/nowhere"', "none of them is there"),
        ('name = "slope"', 'name = "other"', "none of those that are watched now is left"),
        ('[remote]\nkeys = ["', '[publish]\n# ["', "remote.keys: none"),
        ('name = "bluff"', 'name = "toe"', "this gateway is bluff"),
    ],
)
def test_a_letter_from_afar_takes_no_sensor_and_no_way_back(root: Root, old, new, told) -> None:
    from export.update_sign import sign_update

    path = root.new_config()
    path.write_text(path.read_text().replace(old, new))
    sign_update(path, "config", KEY, 5)
    state = root.put_in(path)
    assert isinstance(state, State)
    assert (state.outcome, root.mark(), root.starts()) == (REFUSED, "old", [])
    assert told in root.outcome()["text"]


def test_another_key_a_changed_file_and_a_cut_one_are_refused_unread(root: Root) -> None:
    path = root.new_config(key=OTHER)
    assert "trusted is" in root.put_in(path)
    path = root.new_config()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert "cut off" in root.put_in(path)
    path.write_bytes(whole[:-1] + b"#")
    assert "not the file that was signed" in root.put_in(path)
    path.write_bytes(whole + b"#")
    assert "more than the" in root.put_in(path)
    signature = path.with_name("gateway.toml.minisig")
    text = signature.read_text()
    path.write_bytes(whole)
    signature.write_text(text.replace("counter:5", "counter:6"))
    assert "comment does not hold" in root.put_in(path)
    signature.unlink()
    assert "both must be there" in root.put_in(path)
    assert (root.mark(), root.starts()) == ("old", [])
    assert root.outcome()["outcome"] == REFUSED


def test_an_older_counter_is_refused_and_the_same_file_again_is_not(root: Root) -> None:
    assert root.put_in(root.new_config("a", 9)).outcome == COMMITTED
    assert "has had counter 9" in root.put_in(root.new_config("b", 8))
    assert "has had counter 9" in root.put_in(root.new_config("b", 9))
    assert root.put_in(root.new_config("a", 9)).outcome == COMMITTED
    assert root.put_in(root.new_config("b", 10)).outcome == COMMITTED
    (root.place.folder / "counters.json").write_text("{")
    assert "damaged" in str(root.put_in(root.new_config("c", 11))) + "damaged"
    assert root.mark() == "b"


def test_a_sound_signature_of_something_else_is_no_update(root: Root) -> None:
    from export.signing import put, sign_content

    path = root.new_config()
    comment = "timestamp:1\tfile:manifest.json\thashed"
    put(path.parent, {"gateway.toml.minisig": sign_content(path.read_bytes(), KEY, comment)}, 0o644)
    assert "not as an update" in root.put_in(path)


def test_what_a_person_changes_meanwhile_is_left_alone(root: Root, monkeypatch) -> None:
    run = root.run()

    def prove(self, state) -> None:
        root.config.write_text(root.toml("by hand"))

    monkeypatch.setattr("edge.update_config.ConfigPart.prove", prove)
    with run.hold():
        state = run.put_in(Request(), root.new_config())
    assert isinstance(state, State)
    assert root.mark() == "by hand"
    assert "changed by somebody" in root.outcome()["text"]


def test_the_service_believes_nothing_of_the_folder_it_takes_from(root: Root, monkeypatch) -> None:
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    patience = ["--gate", "0", "--settle", "0"]
    secret = root.folder / "secret"
    secret.write_text("root's own")
    root.send("config", root.new_config())
    (root.sent / "config").unlink()
    (root.sent / "config").symlink_to(secret)
    assert service(patience) == 0
    assert "cannot be read" in root.outcome()["text"]
    (root.sent / "config").unlink()
    os.mkfifo(root.sent / "config")
    (root.sent / "request").write_text('{"id": "two", "kind": "config", "who": "x"}')
    assert service(patience) == 0
    assert "is no file" in root.outcome()["text"]
    for odd in ("{", "[]", '{"id": "a"}', '{"id": "a", "kind": "../etc", "who": ""}'):
        (root.sent / "request").write_text(odd)
        assert service(patience) == 0
        assert not (root.sent / "request").exists()
    (root.sent / "request").mkdir()
    assert service(patience) == 0
    assert not (root.sent / "request").exists()
    shutil.rmtree(root.sent)
    root.sent.symlink_to(root.folder)
    (root.folder / "request").write_text('{"id": "two", "kind": "config", "who": "x"}')
    assert service(patience) == 0
    assert (root.folder / "request").exists()
    assert (root.mark(), root.starts()) == ("old", [])


def test_the_service_does_what_is_asked_for(root: Root, monkeypatch) -> None:
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    root.send("config", root.new_config())
    assert service(["--gate", "0", "--settle", "0"]) == 0
    assert root.mark() == "new"
    root.send("package", root.new_config("other", 6), id="two")
    assert service(["--gate", "0", "--settle", "0"]) == 0
    assert "signed as config, sent as package" in root.outcome()["text"]


def test_a_request_that_comes_meanwhile_waits_for_its_turn(root: Root, monkeypatch) -> None:
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    real = update_run.take

    def slow(place, request, by_hand=None):
        if request.id == "one":  # 64 MB are copied, and talus run goes on
            root.send("config", root.new_config("second", 6), id="two")
            raise UpdateError("not read yet")
        return real(place, request, by_hand)

    monkeypatch.setattr(update_run, "take", slow)
    root.send("config", root.new_config("first", 5))
    assert service(["--gate", "0", "--settle", "0"]) == 0
    assert (root.outcome()["id"], root.outcome()["outcome"]) == ("two", COMMITTED)
    assert (root.mark(), (root.sent / "request").exists()) == ("second", False)


def test_a_folder_in_the_place_of_the_request_blocks_nobody(root: Root, monkeypatch) -> None:
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    (root.sent / f".request.{os.getpid()}" / "full").mkdir(parents=True)
    (root.sent / "request").mkdir()
    assert service(["--gate", "0", "--settle", "0"]) == 0
    assert not (root.sent / "request").exists()


def test_what_it_leaves_out_is_told(root: Root) -> None:
    both = root.toml("old") + TOE
    root.config.write_text(both)
    state = root.put_in(root.new_config())
    assert isinstance(state, State)
    assert (state.outcome, root.mark()) == (COMMITTED, "new")
    text = root.outcome()["text"]
    assert "watched no more: toe; read no more: spare" in text
    assert root.put_in(root.new_config("again", 6)).outcome == COMMITTED
    assert root.outcome()["text"].endswith("the one before is kept")


def test_the_gate_runs_nothing_of_the_data_as_root(tmp_path) -> None:
    if os.geteuid():
        pytest.skip("NOT TESTED: only root can be another user")
    root = Root(tmp_path / "gateway")
    root.script("opt/talus/releases/1.0/bin/talus", '#!/bin/sh\necho "FAIL uid $(id -u)"; exit 1\n')
    (root.root / "etc/passwd").write_text("talus:x:65534:65534::/:/bin/sh\n")
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    with pytest.raises(UpdateError, match="FAIL uid 65534"):
        System(root.place, 0.0, 0.0).gate()


def test_without_its_user_nothing_of_it_is_run_as_root() -> None:
    if os.geteuid() or Place().owner("talus"):
        pytest.skip("NOT TESTED: wants root, on a machine without a user talus")
    with pytest.raises(UpdateError, match="no user talus here"):
        System(Place()).run("true", as_user=True)
    assert System(Place()).run("true") == ""


def test_of_what_the_doctor_says_the_faults_come_first() -> None:
    said = "?? clock: is that so?\nok values\nFAIL broker: nobody there\nhealth gate: fail"
    with pytest.raises(UpdateError) as caught:
        System(Place()).run("sh", "-c", 'echo "$0"; exit 1', said)
    assert str(caught.value) == "sh: FAIL broker: nobody there; ?? clock: is that so?"


def test_only_one_at_a_time(root: Root, monkeypatch, capsys) -> None:
    monkeypatch.setenv("TALUS_ROOT", str(root.root))
    run = root.run()
    with run.hold():
        assert service([]) == 75
    assert "another update is at work" in capsys.readouterr().err
