"""CAP 1.2: every message keeps to the structure of the standard, and refers to what came before."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from cap_rules import TIME, text_of, wrong_by_dictionary, wrong_by_schema, wrong_in
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.alarm import LEVELS, AlarmChange
from edge.cap import CERTAINTY, MAX_DESCRIPTION, SEVERITY, URGENCY, cap_xml, sent_text
from edge.evidence import Finding, Hit, Tripped
from edge.parse_publish import CapArea, CapConfig
from edge.publish_cap import MAX_REFERENCES, CapTopic
from edge.score import Score

NOW_MS = 1_704_067_200_000
AREA = CapArea("Bluff above the railway", "47.1,8.1 47.2,8.1 47.2,8.2 47.1,8.1", "47.15,8.15 0.5")
CONFIG = CapConfig("slope-7@geo.example.org", areas=(("slope", AREA),))


def change(level: int, number: int = 1, **more) -> AlarmChange:
    """A change of the station "slope", a minute after the one before."""
    at_ms = NOW_MS + 60_000 * number
    values = {
        "id": f"slope-{at_ms}-{number}", "station": "slope", "time_ms": at_ms,
        "received_ms": at_ms + 2000, "level": level, "previous_level": 0, "no_data": False,
        "silent": (), "reason": f"level rose to {level}", "evidence": (), "bundle": "demo v1",
    }  # fmt: skip
    return AlarmChange(**(values | more))


def topic_of(config: CapConfig = CONFIG) -> CapTopic:
    return CapTopic(config, "talus/demo", "demo")


def told(cap: CapTopic, changes: list[AlarmChange]) -> list[bytes]:
    messages = [message for each in changes for message in cap.alarm(each)]
    for message in messages:
        assert (message.topic, message.retain, message.priority) == ("talus/demo/slope/cap", 0, 0)
        assert wrong_in(message.payload) == [], message.payload.decode()
    return [message.payload for message in messages]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"-00:00</sent>", b"Z</sent>"),
        (b"-00:00</sent>", b"+00:00</sent>"),
        (b"<status>Test", b"<status>Testing"),
        (b"<scope>Private</scope>", b""),
        (b"<addresses>operations-room</addresses>", b""),
        (b"<category>Geo</category>", b""),
        (b"<event>", b"<headline>first</headline><event>"),
        (b"<areaDesc>", b"<areadesc>"),
        (b"emergency:cap:1.2", b"emergency:cap:1.1"),
        (b"<sender>slope-7", b"<sender>slope 7"),
        (b"47.1,8.1</polygon>", b"47.1,8.3</polygon>"),
        (b"<references>", b"<references>one,two "),
        (b"<certainty>Likely", b"<certainty>Very Likely"),
        (b"</info>", b"<web></web></info>"),
    ],
)
def test_the_check_finds_what_is_wrong(old: bytes, new: bytes) -> None:
    good = told(topic_of(), [change(3), change(4, 2)])[1]
    assert good.count(old) >= 1
    assert wrong_by_dictionary(good.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"-00:00</sent>", b"Z</sent>"),
        (b"<status>Test", b"<status>Testing"),
        (b"<scope>Private</scope>", b""),
        (b"<category>Geo</category>", b""),
        (b"<event>", b"<headline>first</headline><event>"),
        (b"<areaDesc>", b"<areadesc>"),
        (b"emergency:cap:1.2", b"emergency:cap:1.1"),
        (b"<certainty>Likely", b"<certainty>Very Likely"),
        (b"</alert>", b""),
    ],
)
def test_so_does_the_schema_of_the_standard(old: bytes, new: bytes) -> None:
    good = told(topic_of(), [change(3), change(4, 2)])[1]
    assert wrong_by_schema(good) == []
    assert wrong_by_schema(good.replace(old, new))


@pytest.mark.parametrize("level", range(1, 5))
def test_a_level_is_said_in_the_words_of_the_standard(level: int) -> None:
    (payload,) = told(topic_of(), [change(level)])
    assert text_of(payload, "msgType") == "Alert"
    assert text_of(payload, "status") == "Test"
    assert text_of(payload, "scope") == "Private"
    assert text_of(payload, "sent") == "2024-01-01T00:01:02-00:00"
    assert text_of(payload, "info", "urgency") == URGENCY[level]
    assert text_of(payload, "info", "severity") == SEVERITY[level]
    assert text_of(payload, "info", "certainty") == CERTAINTY[level]
    headline = f"Landslide, slope: level {level} ({LEVELS[level]})"
    assert text_of(payload, "info", "headline") == headline
    assert text_of(payload, "info", "area", "polygon") == AREA.polygon
    assert text_of(payload, "info", "area", "circle") == AREA.circle


def test_the_mapping_is_that_of_the_practice() -> None:
    assert list(zip(URGENCY, SEVERITY, CERTAINTY, strict=True))[1:] == [
        ("Future", "Minor", "Possible"),
        ("Expected", "Moderate", "Possible"),
        ("Expected", "Severe", "Likely"),
        ("Immediate", "Extreme", "Likely"),
    ]


def test_an_alert_its_updates_and_its_cancel_refer_to_all_before() -> None:
    payloads = told(topic_of(), [change(n, i) for i, n in enumerate((1, 3, 2, 0, 1))])
    assert [text_of(p, "msgType") for p in payloads] == [
        "Alert", "Update", "Update", "Cancel", "Alert",
    ]  # fmt: skip
    said = [f"{text_of(p, 'sender')},{text_of(p, 'identifier')},{text_of(p, 'sent')}"
            for p in payloads]  # fmt: skip
    assert [text_of(p, "references").split() for p in payloads] == [
        [], said[:1], said[:2], said[:3], [],
    ]  # fmt: skip
    assert text_of(payloads[3], "info", "responseType") == "AllClear"
    assert text_of(payloads[3], "info", "urgency") == "Past"
    assert len({text_of(p, "identifier") for p in payloads}) == 5


def test_a_slope_that_flaps_for_long_refers_to_the_newest_alone() -> None:
    payloads = told(topic_of(), [change(1 + i % 2, i) for i in range(40)])
    assert len(payloads) == 40
    references = text_of(payloads[-1], "references").split()
    said = [text_of(payload, "identifier") for payload in payloads]
    assert [each.split(",")[1] for each in references] == said[-1 - MAX_REFERENCES : -1]


def test_only_what_people_must_act_upon_is_told() -> None:
    cap = topic_of()
    payloads = told(cap, [
        change(0, 0, kind="silence", no_data=True, silent=("crack_1",)),  # no hazard: no CAP
        change(2, 1),
        change(2, 2, kind="acknowledged", acknowledged_by="ana"),
        change(2, 3, kind="silence", silent=("crack_1",)),
        change(2, 4, kind="silence", silent=("crack_1", "crack_2"), no_data=True),
        change(2, 5, kind="shelved"),
        change(2, 6, kind="silence"),
    ])  # fmt: skip
    assert [text_of(p, "msgType") for p in payloads] == ["Alert", "Update", "Update"]
    assert text_of(payloads[1], "info", "headline").endswith("level 2 (caution), NO-DATA")
    assert text_of(payloads[1], "info", "severity") == "Moderate"  # silence lowers nothing
    description = text_of(payloads[1], "info", "description")
    assert "Silent: crack_1, crack_2; silence lowers no level." in description


def test_a_drill_is_an_exercise_and_changes_nothing_that_is_out() -> None:
    cap = topic_of()
    drill = change(4, 2, kind="drill", reason="DRILL of level 4 (alarm) by ana; the level is 1")
    payloads = told(cap, [change(1), drill, change(2, 3), drill])
    assert [text_of(p, "status") for p in payloads] == ["Test", "Exercise", "Test", "Exercise"]
    assert [text_of(p, "msgType") for p in payloads] == ["Alert", "Alert", "Update", "Alert"]
    assert text_of(payloads[1], "note") == drill.reason
    assert text_of(payloads[1], "info", "headline").startswith("DRILL: ")
    assert text_of(payloads[1], "info", "expires") == "2024-01-01T01:02:02-00:00"
    assert text_of(payloads[0], "info", "expires") == ""  # a level stands until it is cancelled
    assert text_of(payloads[2], "references").split() == [
        f"slope-7@geo.example.org,{text_of(payloads[0], 'identifier')},2024-01-01T00:01:02-00:00"
    ]


def test_what_is_configured_is_what_is_said() -> None:
    config = replace(
        CONFIG, status="Actual", scope="Restricted", restriction="for the railway alone",
        sender_name="Geo Survey", event="Rockfall", web="https://geo.example.org/7",
        contact="+41 00", instructions=("", "Watch", "Make ready", "Leave by road B"), from_level=2,
    )  # fmt: skip
    payloads = told(topic_of(config), [change(1), change(4, 2), change(1, 3)])
    assert [text_of(p, "msgType") for p in payloads] == ["Alert", "Cancel"]
    first = payloads[0]
    assert text_of(first, "status") == "Actual"
    assert text_of(first, "restriction") == "for the railway alone"
    assert text_of(first, "addresses") == ""
    said = {key: text_of(first, "info", key) for key in ("senderName", "event", "web", "contact")}
    assert said == {"senderName": "Geo Survey", "event": "Rockfall", "contact": "+41 00",
                    "web": "https://geo.example.org/7"}  # fmt: skip
    assert text_of(first, "info", "instruction") == "Leave by road B"
    assert text_of(payloads[1], "info", "instruction") == ""
    private = replace(CONFIG, addresses=("ops@example.org", "Duty Officer"))
    (payload,) = told(topic_of(private), [change(1)])
    assert text_of(payload, "addresses") == 'ops@example.org "Duty Officer"'
    (payload,) = told(topic_of(replace(CONFIG, areas=())), [change(1)])
    assert text_of(payload, "info", "area", "areaDesc") == "slope"


def test_the_evidence_is_said_in_words() -> None:
    finding = Finding("velocity", 86_400_000, "above", 5.0, 2, 4, (Hit("crack_1", 7.5, "mm/d"),))
    rule = Tripped("two cracks move", 3, NOW_MS, NOW_MS + 1, holds=True, findings=(finding,))
    scores = (
        Score("velocity", "crack_1", 6.56, 0.76, "mm", True),
        Score("pca", "tilt_x", 92.0, 27.0, "1", False),
        Score("forecast", "tilt_x", 0.1, 0.35, "mrad", True),
    )
    ages = (("crack_1", 500), ("rain", 61_000))
    (payload,) = told(topic_of(), [change(3, evidence=scores, rules=(rule,), ages_ms=ages)])
    said = text_of(payload, "info", "description")
    assert "Stands: level 3, rule 'two cracks move': velocity over 24 h above 5 mm/d" in said
    assert "Evidence: velocity of crack_1 6.56 mm, 8.63 x its threshold 0.76 mm" in said
    assert "pca of tilt_x 92, 3.41 x its threshold 27 (shown only, not alarming)" in said
    assert "forecast of tilt_x" not in said  # below its threshold
    assert "Oldest reading: rain, 61 s before this message." in said


TEXTS = st.text(st.characters(codec=None), min_size=1, max_size=40)


@settings(max_examples=200, deadline=None)
@given(TEXTS, TEXTS, st.lists(TEXTS, max_size=3), st.integers(0, 4), st.integers(-(2**62), 2**62))
def test_no_text_breaks_the_xml(
    reason: str, name: str, silent: list[str], level: int, at_ms: int
) -> None:
    what = change(level, reason=reason, bundle=name, silent=tuple(silent), received_ms=at_ms)
    config = replace(CONFIG, event=f"Slide {name}", contact=name)
    payload = cap_xml(config, what, "demo", "Alert", ())
    assert wrong_in(payload) == []
    said = text_of(payload, "info", "description")
    legal = "".join(c if c in "\t\n" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd"
                    or c > "\uffff" else "\ufffd" for c in reason)  # fmt: skip
    assert said.startswith(legal)
    assert len(said) <= MAX_DESCRIPTION


@given(st.integers(0, 253_402_300_799_999))
def test_a_time_is_as_the_standard_wants_it(time_ms: int) -> None:
    assert TIME.match(sent_text(time_ms))
    assert sent_text(time_ms).endswith("-00:00")


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.booleans()), max_size=60), st.data())
def test_whatever_happens_and_however_often_it_restarts_the_references_lead_somewhere(
    steps, data
) -> None:
    """Each reference names a message that went out since the last Cancel; nothing is lost."""
    cap, out, cancelled = topic_of(), [], 0
    for i, (level, no_data, drill) in enumerate(steps):
        if data.draw(st.booleans(), label="restart"):
            kept = json.loads(json.dumps(cap.snapshot()))
            cap = topic_of()
            assert cap.restore(kept, ["slope"]) == []
        what = change(level, i, no_data=no_data, kind="drill" if drill else "level")
        for payload in told(cap, [what]):
            kind = text_of(payload, "msgType")
            references = text_of(payload, "references").split()
            standing = out[cancelled:]
            if drill:
                assert references == []
                continue
            assert (kind == "Alert") == (not standing)
            assert references == standing[-MAX_REFERENCES:]
            out.append(",".join(text_of(payload, key) for key in ("sender", "identifier", "sent")))
            if kind == "Cancel":
                cancelled = len(out)
        if not drill:
            assert ("slope" in cap.standing) == (level > 0)


@pytest.mark.parametrize(
    ("saved", "why"),
    [
        ({"slope": [9, False, ["a,b,2024-01-01T00:00:00-00:00"]]}, "cannot be read"),
        ({"slope": [2, False, []]}, "cannot be read"),
        ({"slope": [2, False, ["a,b,<script>"]]}, "cannot be read"),
        ({"gone": [2, False, ["a,b,2024-01-01T00:00:00-00:00"]]}, "no station any more"),
    ],
)
def test_a_state_that_is_damaged_is_told_and_the_next_is_an_alert(saved, why) -> None:
    cap = topic_of()
    assert [why in note for note in cap.restore(saved, ["slope"])] == [True]
    (payload,) = told(cap, [change(3)])
    assert text_of(payload, "msgType") == "Alert"
