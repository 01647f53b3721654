"""Logging in from afar, and the country of the radio, at the first boot."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flash_site import make_deb, make_site, provision

from export.provision.firstboot import login
from export.provision.firstboot.card import Card, read_card
from export.provision.firstboot.place import Place, StepError

CARD = Card("one", "gw1", 0, (), "talus-edge", "1", (), (), None, {}, "NO")


def test_ssh_and_the_country_of_the_radio_do_not_hang_on_cloud_init(tmp_path, monkeypatch) -> None:
    """cloud-init's runcmd runs once, and not again where the power went meanwhile."""
    said = []
    monkeypatch.setattr(login.shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(login, "command", lambda *words: said.append(" ".join(words)))
    place, card = Place(tmp_path, tmp_path), CARD
    assert login.open_login(place, card) == "ssh is on, Wi-Fi country NO"
    assert said == ["systemctl enable --now ssh", "raspi-config nonint do_wifi_country NO"]
    assert login.open_login(place, card) == "as the card says"
    assert len(said) == 2
    login.open_login(place, replace(card, id="another"))
    assert len(said) == 4


def test_a_login_that_cannot_be_opened_is_told_and_keeps_nothing_waiting(tmp_path, monkeypatch):
    def fail(*words: str) -> str:
        raise StepError(f"{words[0]}: Unit ssh.service does not exist", "")

    monkeypatch.setattr(login.shutil, "which", lambda name: name if name == "systemctl" else None)
    monkeypatch.setattr(login, "command", fail)
    place = Place(tmp_path, tmp_path)
    for _ in range(2):  # it is tried again at the next boot
        assert login.open_login(place, CARD) == (
            "not ssh is on: systemctl: Unit ssh.service does not exist, "
            "not Wi-Fi country NO: no raspi-config here"
        )


def test_where_one_of_both_fails_both_are_done_at_the_next_boot(tmp_path, monkeypatch) -> None:
    said = []

    def once(*words: str) -> None:
        said.append(words[0])
        if said == ["systemctl"]:
            raise StepError("systemctl: not yet", "")

    monkeypatch.setattr(login.shutil, "which", lambda name: name)
    monkeypatch.setattr(login, "command", once)
    place = Place(tmp_path, tmp_path)
    assert "not ssh is on" in login.open_login(place, CARD)
    assert login.open_login(place, CARD) == "ssh is on, Wi-Fi country NO"
    assert login.open_login(place, CARD) == "as the card says"
    assert len(said) == 4


def test_a_power_cut_while_it_is_opened_does_it_again(tmp_path, monkeypatch) -> None:
    said = []

    def cut(*words: str) -> None:
        said.append(words)
        if len(said) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(login.shutil, "which", lambda name: name)
    monkeypatch.setattr(login, "command", cut)
    place = Place(tmp_path, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        login.open_login(place, CARD)
    login.open_login(place, CARD)
    assert len(said) == 4


@pytest.mark.parametrize(
    ("suite", "country"), [("trixie", "NO"), ("bookworm", "")]
)  # firstrun.sh is run again by itself
def test_the_card_says_the_country_where_cloud_init_would_set_it(
    tmp_path, suite: str, country: str
) -> None:
    site, deb = make_site(tmp_path / "site"), make_deb(tmp_path, paho=False)
    assert provision(site, deb, tmp_path / "card", "--suite", suite) == 0
    assert read_card(tmp_path / "card/talus").country == country
