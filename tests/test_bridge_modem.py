"""The modem's state machine against a simulated modem, in steps of time."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modem_line import NUMBER, Line

from firmware_bridge.modem import Modem
from firmware_bridge.modem_steps import Sms, SmsResult, Step
from firmware_bridge.modem_words import MAX_TEXT, is_number, plain_text
from firmware_bridge.sim_modem import SimulatedModem

CHATTER = (
    b'\r\n+CMTI: "SM",3\r\nRING\r\n\r\n+CREG: 2,"00C3","01A2"\r\n+CREG: 2\r\n^RSSI: 21\r\nOK?\r\n'
)


@pytest.mark.parametrize("piece", [1, 2, 1000])
@pytest.mark.parametrize("echo", [True, False])
@pytest.mark.parametrize("chatter", [b"", CHATTER])
def test_a_text_goes_whatever_the_modem_says_in_between(piece, echo, chatter) -> None:
    line = Line(SimulatedModem(echo=echo, chatter=chatter), piece=piece)
    for text in ("one", "two: OK, +CMGS: 7 > 3"):
        assert line.send(text) == SmsResult("a", sent=True, doubtful=False, reason="")
    assert line.simulated.sent == [(NUMBER, "one"), (NUMBER, "two: OK, +CMGS: 7 > 3")]
    line.until(lambda: line.modem.is_ready)
    assert line.modem.signal_dbm == -77
    assert (line.modem.ignored > 0) == bool(chatter)  # an echo is not what nobody asked for
    assert line.modem.reason == ""


def test_the_pin_is_given_once_and_a_wrong_one_never_again() -> None:
    line = Line(SimulatedModem(pin="1234"), pin="1234")
    assert line.send().sent
    assert not line.modem.pin_tried  # the SIM is open
    line.simulated.restart()  # its power failed; the port stayed
    results = [line.send().sent, line.send().sent]  # it may be found out with a text at hand
    assert results[-1]
    assert line.simulated.tries_left == 3

    wrong = Line(SimulatedModem(pin="1234"), pin="9999")
    wrong.until(lambda: wrong.now_ms > 4_000_000, 10_000_000)
    assert wrong.simulated.tries_left == 2
    assert "not tried again" in wrong.modem.reason
    wrong.modem.closed()
    wrong.modem.opened(wrong.now_ms)
    again = wrong.now_ms + 500_000
    wrong.until(lambda: wrong.now_ms > again, 10_000_000)
    assert wrong.simulated.tries_left == 2
    after = Line(SimulatedModem(pin="1234"), pin="9999")
    after.modem.pin_tried = True  # as restored by the next program
    after.until(lambda: after.now_ms > 2_000_000, 10_000_000)
    assert after.simulated.tries_left == 3
    without = Line(SimulatedModem(pin="1234"))
    without.until(lambda: "PIN" in without.modem.reason)
    assert without.simulated.tries_left == 3


def test_no_sim_no_network_and_both_return() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.sim = "absent"
    line.until(lambda: "no SIM" in line.modem.reason)
    simulated.sim, simulated.registered = "READY", 2
    line.until(lambda: line.modem.reason == "no network: it is searching")
    assert not line.modem.is_ready
    assert not line.modem.send(Sms("a", NUMBER, "text"), line.now_ms)
    simulated.registered_4g = 5  # roaming, 4G alone
    assert line.send().sent
    simulated.registered_4g, simulated.registered = 0, 3
    line.until(lambda: "refuses" in line.modem.reason)  # found out without a text, in the check
    simulated.registered = 1
    assert line.send().sent


def test_errors_are_said_in_words_and_the_next_text_goes() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.faults.errors = [38, 28, 999]
    results = [line.send() for _ in range(3)]
    assert not any(r.sent or r.doubtful for r in results)
    reasons = [r.reason for r in results]
    assert "out of order (+CMS ERROR: 38)" in reasons[0]
    assert "no such number" in reasons[1]
    assert "+CMS ERROR: 999" in reasons[2]
    simulated.faults.bare_errors = 1
    result = line.send()
    assert (result.sent, result.doubtful) == (False, False)
    assert line.send().sent


def test_a_lost_prompt_is_no_lost_modem() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.faults.prompts_lost = 1
    result = line.send("first")
    assert (result.sent, result.doubtful) == (False, False)
    assert "no prompt" in result.reason
    assert line.send("second").sent
    assert [text for _, text in simulated.sent] == ["second"]
    # No text was ever taken for a command, and no command for text.
    assert all(c.startswith("AT") for c in simulated.commands)


def test_a_result_that_is_late_is_that_of_its_own_text() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.faults.results_held = 1
    result = line.send("slow", ref="slow")
    assert (result.sent, result.doubtful) == (False, True)
    line.hear(simulated.release())
    assert line.results[-1] == SmsResult("slow", sent=True, doubtful=False, reason="")
    assert line.send("next", ref="next").ref == "next"
    assert [text for _, text in simulated.sent] == ["slow", "next"]


def test_a_late_result_keeps_the_second_try_from_going() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.faults.results_held = 1
    line.send("slow", ref="slow")
    line.until(lambda: line.modem.is_ready)
    assert line.modem.send(Sms("slow", NUMBER, "slow"), line.now_ms)
    line.hear(simulated.release())
    assert line.results[-1].sent
    line.until(lambda: line.modem.is_ready)
    assert len(simulated.sent) == 1


def test_a_modem_that_is_mute_deaf_or_restarts_is_asked_until_it_answers() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    simulated.faults.silent = 3
    line.until(lambda: "no answer" in line.modem.reason)
    assert line.send("one").sent
    line.until(lambda: line.modem.is_ready)
    simulated.restart()  # echo is on again, and text mode off
    assert line.send("two").sent
    simulated.faults.silent = 1
    result = line.send("three")
    assert (result.sent, result.doubtful) == (False, False)
    assert line.send("three").sent
    assert [text for _, text in simulated.sent] == ["one", "two", "three"]


def test_unplugged_in_the_middle_of_a_text_is_doubtful_and_before_it_is_not() -> None:
    line = Line(SimulatedModem())
    line.until(lambda: line.modem.is_ready)
    line.modem.send(Sms("a", NUMBER, "text"), line.now_ms)
    line.modem.closed()
    assert line.modem.receive(b"", line.now_ms) == [
        SmsResult("a", sent=False, doubtful=False, reason="the modem was unplugged")
    ]
    assert line.modem.due_ms(line.now_ms) is None
    line.modem.opened(line.now_ms)
    line.simulated.faults.results_held = 1
    line.until(lambda: line.modem.is_ready)
    line.modem.send(Sms("b", NUMBER, "text"), line.now_ms)
    line.until(lambda: line.modem.step is Step.RESULT and line.written[-1].endswith(b"\x1a"))
    line.modem.opened(line.now_ms)
    (result,) = line.modem.receive(b"", line.now_ms)
    assert (result.ref, result.sent, result.doubtful) == ("b", False, True)
    assert line.send("text", ref="c").sent


def test_our_clock_may_be_set_at_any_time() -> None:
    simulated = SimulatedModem()
    line = Line(simulated)
    line.until(lambda: line.modem.is_ready)
    simulated.faults.results_held = 1
    line.modem.send(Sms("a", NUMBER, "text"), line.now_ms)
    line.until(lambda: line.modem.step is Step.RESULT and line.written[-1].endswith(b"\x1a"))
    line.now_ms += 10**9
    line.modem.shift(10**9)
    assert line.modem.receive(b"", line.now_ms) == []
    line.hear(simulated.release())
    assert line.results[-1].sent
    line.now_ms -= 10**8  # and nobody told: no wait of a day
    line.until(lambda: line.modem.is_ready, 100_000)


@given(st.lists(st.tuples(st.binary(max_size=40), st.integers(0, 130_000)), max_size=40))
def test_any_bytes_at_any_time_neither_raise_nor_stop_it_nor_grow_it(pieces) -> None:
    modem = Modem("1234", result_ms=60_000)
    modem.opened(0)
    now_ms = 0
    pins = 0
    for data, step_ms in pieces:
        now_ms += step_ms
        for said in (data, b"OK\r\n", b"+CPIN: SIM PIN\r\n", b"+CREG: 0,1\r\n", b"> "):
            modem.receive(said, now_ms)
            if modem.is_ready:
                modem.send(Sms("x", NUMBER, "text"), now_ms)
            written = modem.write_next(now_ms)
            pins += b"CPIN=" in written
            assert b"text" not in written or modem.step is Step.RESULT
            assert modem.due_ms(now_ms) is not None
    opened = sum(b"READY" in data for data, _ in pieces)  # what anybody may say
    assert pins <= 1 + opened
    modem.receive(b"x" * 100_000, now_ms)
    assert len(modem._held) <= 512
    line_end = modem.receive(b"\r\n", now_ms)
    assert line_end is not None
    simulated = SimulatedModem(pin="1234")
    simulated.sim = "READY"
    line = Line.__new__(Line)
    line.simulated, line.modem, line.now_ms = simulated, modem, now_ms
    line.results, line.written, line._piece = [], [], 1000
    assert line.send("after all").sent or line.send("after all").sent


@given(st.text(max_size=400))
def test_a_text_is_always_one_that_every_modem_sends_as_it_is(text: str) -> None:
    plain = plain_text(text)
    assert len(plain) <= MAX_TEXT
    assert re.fullmatch(r"[A-Za-z0-9 !\"#%&'()*+,\-./:;<=>?]*", plain)
    assert plain_text(plain) == plain


def test_texts_and_numbers() -> None:
    assert plain_text("Hang_Süd 3.1 mm² [x]") == "Hang-Sud 3.1 mm2 (x)"
    assert len(plain_text("x" * 200)) == 160
    assert plain_text("x" * 200).endswith("x..")
    assert is_number("+436641234567")
    assert is_number("0664123")
    for wrong in ("", "+", "12", '+43"\rAT', "+43 664 1", "1" * 16, "+43\n", "٣٣٣٣"):
        assert not is_number(wrong), wrong
