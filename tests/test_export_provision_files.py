"""What else ``talus-export provision`` puts on a card's boot partition, and for whose eyes."""

from __future__ import annotations

import contextlib
import stat
import subprocess
from pathlib import Path

import pytest
from flash_site import BUNDLE, MADE, TOKEN, make_deb, make_site, need, provision

from export.__main__ import main
from export.broker.enrol import make_token
from export.provision.deb import read_deb
from export.provision.firstboot.card import prove, read_card
from export.provision.os_files import seeded

pytestmark = need("dpkg")
LINE = "console=tty1 root=PARTUUID=1-02 rootwait"


@pytest.fixture(scope="module")
def deb(tmp_path_factory):
    return make_deb(tmp_path_factory.mktemp("deb"), paho=False)


@pytest.fixture
def site(tmp_path):
    return make_site(tmp_path / "site")


def instance_told(line: str) -> str:
    """As cloud-init reads it: the last word that begins so counts, and before any file."""
    word = [each for each in line.split() if each.startswith("ds=nocloud")][-1]
    return dict(part.split("=", 1) for part in word.split(";")[1:])["i"]


def test_a_card_of_raspberry_pi_imager_that_was_booted_is_a_new_instance(
    site, deb, tmp_path, monkeypatch
) -> None:
    """What stands in the command line comes before meta-data: it must say the same."""
    card = tmp_path / "card"
    card.mkdir()
    (card / "cmdline.txt").write_text(f"{LINE} ds=nocloud;i=rpi-imager-1764100000\n")
    for time_s in ("1800000000", "1800000001"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", time_s)
        assert provision(site, deb, card) == 0
        line = (card / "cmdline.txt").read_text()
        assert instance_told(line).startswith(f"talus-gw1-{time_s}-")
        assert f'instance-id: "{instance_told(line)}"' in (card / "meta-data").read_text()
        assert line == f"{LINE} ds=nocloud;i={instance_told(line)}\n"


def test_other_words_of_a_command_line_stay() -> None:
    line = "a ds=nocloud b ds=nocloud;s=http://x/;i=y c cfg80211.ieee80211_regdom=NO\n"
    assert seeded(line, "z") == "a b c cfg80211.ieee80211_regdom=NO ds=nocloud;i=z\n"


@pytest.mark.parametrize("suite", ["trixie", "bookworm"])
def test_secrets_are_for_whoever_wrote_them_alone(site, deb, tmp_path, suite) -> None:
    card = tmp_path / "card"
    assert provision(site, deb, card, "--suite", suite) == 0
    assert stat.S_IMODE(card.stat().st_mode) == 0o700
    for path in card.rglob("*"):
        if path.is_file() and any(word in path.read_bytes() for word in (b"password: ", b"psk=")):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_stopped_between_two_names_the_old_card_is_whole(site, deb, tmp_path, monkeypatch) -> None:
    card = tmp_path / "card"
    assert provision(site, deb, card) == 0
    before = (card / "talus/manifest.json").read_bytes()
    rename = Path.rename

    def stopped(path: Path, target: Path) -> Path:
        if path.name == "talus.new":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", stopped)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1800000000")
    with contextlib.suppress(KeyboardInterrupt):
        assert provision(site, deb, card) != 0
    assert (card / "talus/manifest.json").read_bytes() == before
    found = read_card(card / "talus")
    assert prove(card / "talus", found) == len(found.files)
    assert not list(card.glob("talus.*"))


def test_bookworm_s_line_is_whole_whenever_the_power_goes(site, deb, tmp_path) -> None:
    """Its last steps, run with a shell that notes what is there at each sync."""
    card = tmp_path / "card"
    card.mkdir()
    (card / "cmdline.txt").write_text(LINE + "\n")
    assert provision(site, deb, card, "--suite", "bookworm") == 0
    hooked = (card / "cmdline.txt").read_text()
    script = (card / "firstrun.sh").read_text()
    end = "set -e\n" + script[script.index("for line in /boot/firmware/cmdline.txt") :]
    note = f"sync() {{ echo $(ls {card}/firstrun.sh) $(cat {card}/cmdline.txt); }}\n"
    done = subprocess.run(
        ["sh", "-c", note + end.replace("/boot/firmware", str(card))],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = f"{card}/firstrun.sh"
    assert done.stdout.splitlines() == [f"{name} {hooked.strip()}", f"{name} {LINE}"]
    assert (card / "cmdline.txt").read_text() == LINE + "\n"
    assert {p.name for p in card.iterdir()} == {"cmdline.txt", "cmdline-add.txt", "talus"}


def package(folder: Path, name: str) -> Path:
    tree = folder / name
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN/control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\n"
        "Maintainer: x <x@example.org>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "-b", tree, folder / f"{name}.deb"], check=True)
    return folder / f"{name}.deb"


def test_talus_is_found_among_the_packages_whichever_comes_first(
    site, deb, tmp_path, capsys
) -> None:
    other = package(tmp_path, "python3-numpy")
    assert provision(site, other, tmp_path / "card", "--deb", str(deb)) == 0
    card = read_card(tmp_path / "card/talus")
    assert (card.package, card.version) == ("talus-edge", "1.2.3")
    assert set(card.packages) == {f"deb/{deb.name}", f"deb/{other.name}"}
    assert provision(site, other, tmp_path / "none") == 1
    assert "talus-edge is needed" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_what_no_package_brings_is_said_at_the_desk(site, tmp_path, capsys) -> None:
    depends = "python3 (>= 3.13), python3:any (<< 3.14), libc6 (>= 2.28), python3-numpy | numpy-x"
    slim = make_deb(tmp_path, version="2.0", depends=depends, paho=False)
    assert read_deb(slim).needs == ("python3", "python3", "libc6", "python3-numpy")
    assert provision(site, slim, tmp_path / "card") == 0
    assert "note: python3-numpy: needed, and no --deb brings it" in capsys.readouterr().err
    other = package(tmp_path, "python3-numpy")
    assert provision(site, slim, tmp_path / "card", "--deb", str(other)) == 0
    assert capsys.readouterr().err == ""


def test_a_gateway_nobody_can_log_in_to_is_said(site, deb, tmp_path, capsys) -> None:
    lines = site.read_text().splitlines()
    site.write_text("\n".join(line for line in lines if "ssh_keys" not in line))
    assert provision(site, deb, tmp_path / "card") == 0
    assert "nobody will be able to log in" in capsys.readouterr().err


def test_a_token_for_another_broker_is_said(tmp_path, deb, capsys) -> None:
    site = make_site(tmp_path / "site", MADE)
    make_token(site.parent / "broker", "gw1", 0, 14, 1.8e9 + 10**9)
    make_site(site.parent, TOKEN)
    words = ["--site", str(site), "--deb", str(deb), "--bundle", str(BUNDLE)]
    assert main(["provision", *words, "--out", str(tmp_path / "a")]) == 0
    assert "note" not in capsys.readouterr().err
    config = site.parent / "gateway.toml"
    config.write_text(config.read_text().replace('"127.0.0.1"', '"room.example.org"'))
    assert main(["provision", *words, "--out", str(tmp_path / "b")]) == 0
    assert "asks 127.0.0.1, gateway.toml talks to room.example.org" in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/var/lib/talusX", "/var/lib/talus/../x"])
def test_data_beside_the_data_partition_are_refused(site, deb, tmp_path, capsys, path) -> None:
    config = site.parent / "gateway.toml"
    config.write_text(config.read_text().replace('"/var/lib/talus"', f'"{path}"'))
    assert provision(site, deb, tmp_path / "card") == 1
    assert "gateway.data_dir" in capsys.readouterr().err
