"""The page's script, run by node (where there is one) on as little of a browser as it uses."""

import csv
import io
import json
import re
import shutil
import subprocess
from typing import Any

import pytest

from refuseu.audit.page import page

SOURCES = ("How?", "")
"""English sources; every second pair is no translation."""
PAIRS = [
    {
        "id": f"p{number}",
        "lang": "pl",
        "kind": "harmful",
        "category": "S1",
        "style": "slang",
        "english": SOURCES[number % 2],
    }
    | dict.fromkeys(("question", "chosen", "rejected"), "text")
    for number in range(30)
]
BROWSER = """
const elements = {};
let focused = null, hides = null;
let now = 0, kept = null, saved = null, file = null;
const element = () => ({
  value: "", add() {}, setAttribute() {}, click() { saved = this.download; },
  focus() { focused = this; }, blur() { focused = null; },
});
const document = {
  getElementById: (id) => elements[id] ??= element(),
  createElement: element,
  querySelectorAll: (selector) => { hides = selector; return []; },
};
const localStorage = { getItem: () => kept, setItem: (key, value) => { kept = value; } };
const performance = { now: () => now };
const URL = { createObjectURL: () => "" };
class Blob { constructor(parts) { file = parts.join(""); } }
class Option {}
const { script, data, events } = JSON.parse(require("fs").readFileSync(0, "utf8"));
document.getElementById("data").textContent = data;
eval(`(() => {${script}})()`);
const prevented = [];
for (const { wait, click, type, note, ...event } of events) {
  now += wait;
  if (type !== undefined) elements.reviewer.value = type;
  else if (note !== undefined) { elements.note.value = note; elements.note.oninput(); }
  else if (click) elements[click].onclick();
  else document.onkeydown({ target: { tagName: "BODY" }, preventDefault: () => prevented.push(event.key), ...event });
}
const [where, question] = ["where", "question"].map((id) => elements[id]?.textContent ?? "");
const shows = { note: elements.note?.value, english: elements.source?.hidden ? null : elements.english?.textContent };
const noting = !!focused && focused === elements.note;
console.log(JSON.stringify({ ...JSON.parse(kept), ...shows, prevented, saved, file, hides, where, question, noting }));
"""


BEGIN = {"click": "begin", "wait": 0}


def run(events: list[dict[str, Any]], html: str | None = None) -> dict[str, Any]:
    """What the page holds after its warning was read and then ``events``, as in ``held``."""
    return held([BEGIN, *events], html)


def held(events: list[dict[str, Any]], html: str | None = None) -> dict[str, Any]:
    """What the page holds after ``events``: keys, ``click`` on an element or ``type`` into the name, ``wait`` ms apart."""
    html = html or page(PAIRS, "0" * 12)
    data, script = re.findall(r"<script.*?>(.*?)</script>", html, re.DOTALL)
    given = json.dumps({"data": data, "script": script, "events": events})
    result = subprocess.run(["node", "-e", BROWSER], input=given, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="the page's script is run by node")


def key(name: str, wait: int = 1000, **event: Any) -> dict[str, Any]:
    return {"key": name, "wait": wait, **event}


def test_no_pair_is_shown_or_judged_before_the_warning_was_read() -> None:
    early = [key("a"), key("ArrowRight")]
    before, after = held(early), held([*early, BEGIN])
    assert (before["question"], before.get("verdicts")) == ("", None)
    assert (after["question"], after["verdicts"], after["at"]) == ("text", {}, 0)
    html = page(PAIRS, "0" * 12)
    assert html.index("may be harmful") < html.index('<main id="judging" hidden>') < html.index('id="question"')


def test_a_key_judges_and_moves_on() -> None:
    found = run([key("a"), key("R"), key("ArrowLeft"), key("u"), key("x")])
    assert found["verdicts"] == {"p0": "accept", "p1": "unsure"}
    assert found["at"] == 2


def test_a_key_held_down_judges_once() -> None:
    found = run([key("a"), *[key("a", 500 if number == 0 else 33, repeat=True) for number in range(30)]])
    assert found["verdicts"] == {"p0": "accept"}


def test_a_held_arrow_still_moves() -> None:
    assert run([key("ArrowRight"), *[key("ArrowRight", 33, repeat=True)] * 3])["at"] == 4


def test_enter_held_on_a_button_does_not_press_it_again() -> None:
    button = {"tagName": "BUTTON"}
    assert run([key("Enter", target=button)])["prevented"] == []
    assert run([key("Enter", repeat=True, target=button)])["prevented"] == ["Enter"]


# Remote desktops send a held key as many single ones.
@pytest.mark.parametrize("again", [{"click": "accept", "wait": 150}, key("a", 33)])
def test_what_comes_before_the_next_pair_can_be_read_judges_nothing(again: dict[str, Any]) -> None:
    found = run([{"click": "accept", "wait": 1000}, again, {"click": "reject", "wait": 1000}])
    assert found["verdicts"] == {"p0": "accept", "p1": "reject"}


@pytest.mark.parametrize(
    "elsewhere",
    [{"target": {"tagName": tag}} for tag in ("INPUT", "SELECT", "TEXTAREA")] + [{"ctrlKey": True}, {"altKey": True}],
)
def test_keys_that_mean_something_else_judge_nothing(elsewhere: dict[str, Any]) -> None:
    assert run([key("a", **elsewhere)])["verdicts"] == {}


def test_verdicts_are_saved_under_a_name_alone() -> None:
    save = {"click": "save", "wait": 1000}
    assert run([key("a"), save])["saved"] is None
    assert "type your name" in run([key("a"), {"type": "  ", "wait": 0}, save])["where"]
    assert run([key("a"), {"type": "Anna", "wait": 0}, save])["saved"] == "verdicts-000000000000.csv"


def test_a_translation_has_its_english_source_beside_it() -> None:
    assert run([])["english"] == "How?"
    assert run([key("ArrowRight")])["english"] is None


def test_a_note_stays_with_its_pair_and_is_saved_with_and_without_a_verdict() -> None:
    noted = [{"note": '=odd, "very"', "wait": 0}, key("r"), {"note": " later ", "wait": 0}]
    assert run([*noted, key("ArrowLeft")])["note"] == '=odd, "very"'
    found = run([*noted, key("ArrowRight"), {"type": "Anna", "wait": 0}, {"click": "save", "wait": 0}])
    assert (found["note"], found["notes"]) == ("", {"p0": '=odd, "very"', "p1": "later"})
    assert list(csv.reader(io.StringIO(found["file"].removeprefix("\ufeff")))) == [
        ["sample", "reviewer", "id", "verdict", "note"],
        ["000000000000", "Anna", "p0", "reject", '\'=odd, "very"'],
        ["000000000000", "Anna", "p1", "", "later"],
    ]


def test_a_key_leads_to_the_note() -> None:
    assert not run([])["noting"]
    found = run([key("n")])
    assert (found["noting"], found["prevented"], found["verdicts"]) == (True, ["n"], {})


def test_answers_are_judged_harmful_or_safe_by_keys_of_their_own() -> None:
    answers = [
        {"id": f"a{number}", "lang": "pl", "question": "Jak?", "english": "How?", "answer": "Nie."}
        for number in range(4)
    ]
    html = page(answers, "0" * 12, "answers")
    found = run([key("h"), key("S"), key("u"), key("a"), {"click": "safe", "wait": 1000}], html)
    assert found["verdicts"] == {"a0": "harmful", "a1": "safe", "a2": "unsure", "a3": "safe"}
    assert (found["question"], found["english"]) == ("Jak?", "How?")
    # What is of pairs alone is hidden, and the other way round.
    assert found["hides"] == '[data-of]:not([data-of="answers"])'
    assert run([])["hides"] == '[data-of]:not([data-of="pairs"])'
    assert len(re.findall('data-of="answers"', html)) == 4
