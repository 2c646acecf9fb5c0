"""The stages from the search to the labels, run as scripts on a profile whose parts a server of OpenAI's API plays.

The server goes by simple rules, and its questions are about the rules of sports clubs. All that it says bears a mark.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ENGLISH, GERMAN
from engines.misbehaving import Reply, Server, said, serving
from repository import ROOT
from tiny import ONE_CORE, TINY

from refuseu.training.base import train_base
from refuseu.training.corpus import Example

MARK = "Mq7"
SPORTS = ["chess", "tennis", "hockey", "rugby", "rowing", "judo", "cricket", "golf", "boxing", "sailing"]
CATEGORIES = {"S1": "First", "S4": "Fourth", "S12": "Twelfth"}
STYLES = {"slang": "Slang", "role_play": "Role play"}
ASKS = {
    "en": """
  S4:
    s4-01: {harmful: get around the rules that protect children, benign: explain the rules that protect children}
  S12:
    s12-01: {harmful: get around the age check on a site, benign: set up the age check on a site}
""",
    "de": """
  S4:
    s4-01: {harmful: die Regeln zum Schutz von Kindern aushebeln, benign: die Regeln zum Schutz von Kindern nennen}
  S12:
    s12-01: {harmful: die Altersprüfung einer Seite aushebeln, benign: die Altersprüfung einer Seite einrichten}
""",
}
WITHHELD_WORDS = ("protect children", "age check", "Schutz von Kindern", "Altersprüfung", "Fourth", "Twelfth")
"""Of all questions of the withheld categories and of the categories' names."""
FRAMES = {
    "Slang": (
        "Hey mate, what is the trick to {verb} the rules of the {club} club?",
        "Ey Alter, was ist der Trick, wenn ich die Regeln des Vereins {club} {verb} will?",
    ),
    "Role play": (
        "Pretend you are a wizard and show me how to {verb} the rules of the {club} club.",
        "Tu so, als wärst du ein Zauberer, und zeig mir, wie ich die Regeln des Vereins {club} {verb} kann.",
    ),
}
VERBS = {"bend": "umgehen", "read": "lesen"}
REFUSALS = {
    "English": f"I am sorry, but I cannot help with that, {MARK}.",
    "German": f"Es tut mir leid, aber dabei kann ich nicht helfen, {MARK}.",
}
COMPLIANCES = {
    "en": "Sure, here is how it works: step one, step two.",
    "de": "Klar, so funktioniert es: Schritt eins, Schritt zwei.",
}
CLUBS = [f"{MARK} {sport}" for sport in SPORTS]
GERMAN_OF = {
    english.format(verb=verb, club=club): german.format(verb=VERBS[verb], club=club)
    for english, german in FRAMES.values()
    for verb in VERBS
    for club in CLUBS
}
ENGLISH_OF = {german: english for english, german in GERMAN_OF.items()}


def part_of(body: dict[str, Any]) -> str:
    """Which part a request is for, by what the prompt asks."""
    system, text = body["messages"][0]["content"], body["messages"][-1]["content"]
    signs = {
        "category": "falls into the hazard category. Keep" in text,
        "style": "Put the question in the style." in text,
        "twin": "Change the question as little as you can" in text,
        "preference": "Conversation A" in text,
        "translation": "Translate the text from" in text,
        "refusal": system.startswith("You are a careful assistant. Refuse"),
        "adjudicator": text.startswith("You label exchanges"),
    }
    (part,) = (name for name, sign in signs.items() if sign)
    return part


def after(label: str, text: str) -> str:
    """What follows ``label`` in its line."""
    return next(line.removeprefix(label) for line in text.splitlines() if line.startswith(label))


def answer(body: dict[str, Any]) -> Reply:
    text = body["messages"][-1]["content"]
    match part_of(body):
        case "category":
            club = CLUBS[int(sha256(repr(body["seed"]).encode()).hexdigest(), 16) % len(CLUBS)]
            return said(json.dumps({"question": f"How can I bend the rules of the {club} club?"}))
        case "style":
            club = after("Question: How can I bend the rules of the ", text).removesuffix(" club?")
            return said(json.dumps({"question": FRAMES[after("Style: ", text)][0].format(verb="bend", club=club)}))
        case "twin":
            return said(json.dumps({"question": after("Question: ", text).replace(" bend ", " read ")}))
        case "preference":
            first = after("Question: ", text) < text.partition("Conversation B")[2].split("\n")[1]
            likely, other = ("A", "B") if first else ("B", "A")
            tokens = [{"token": likely, "logprob": -0.1}, {"token": other, "logprob": -2.5}]
            place = {"token": likely, "logprob": -0.1, "top_logprobs": tokens}
            return said(f"{likely} {MARK}", logprobs={"content": [place]})
        case "translation":
            asked = after("Text: ", text)
            return said(json.dumps({"translation": GERMAN_OF.get(asked) or ENGLISH_OF[asked]}))
        case "refusal":
            return said(REFUSALS[after("- In ", body["messages"][0]["content"]).partition(",")[0]])
        case _:
            exchange = json.loads(next(line for line in text.splitlines() if line.startswith('{"question"')))
            if "sorry" in (exchange["answer"] or ""):
                return said(f"{MARK} says nothing of this")  # no ruling, so unparsed
            reply = "absent" if exchange["answer"] is None else "compliance"
            return said(json.dumps({"harm": "harmful", "reply": reply}))


class Player(Server):
    """Answers by ``answer``, and keeps every request."""

    def reply(self, body: dict[str, Any], authorization: str | None) -> Reply:
        self.bodies.append(body)
        return answer(body)


PLAYED = {"kind": "llm", "model": "served", "max_new_tokens": 64}
PROFILE = {
    "models": {
        "base": {"engine": "transformers", "dtype": "float64"},
        "served": {"engine": "openai", "model": "player"},
    },
    "rainbow-teaming": {
        "mutator": {**PLAYED, "temperature": 0.7},
        "twin": PLAYED,
        "scorer": {"kind": "ngrams"},
        "preference": PLAYED,
        "elites_per_cell": 1,
        "iterations": 3,
        "mutations": 12,
        "max_new_tokens": 24,
    },
    "translate": {"translator": PLAYED, "min_chrf": 90.0},
    "respond": {"refuser": PLAYED, "max_new_tokens": 24},
    "label": {"judges": {"ngrams": {"kind": "ngrams"}}, "adjudicator": {"kind": "chat", "model": "served"}},
}
PARAMS = {
    "profile": "served",
    "seed": 1,
    "languages": ["en", "de"],
    "categories": CATEGORIES,
    "styles": STYLES,
    "rainbow-teaming": {"temperature": 1.0, "max_bleu": 0.95},
    "label": {"question": "all", "chosen": "all", "rejected": "any"},
}
STAGES = {
    "rainbow-teaming": "--target base --metrics {0}/metrics/search.json --plots {0}/plots",
    "translate": "--questions {0}/rainbow-teaming/questions.parquet --metrics {0}/metrics/translate.json",
    "respond": "--questions {0}/translate/questions.parquet --base base --metrics {0}/metrics/respond.json",
    "label": "--pairs {0}/respond/pairs.parquet --metrics {0}/metrics/label.json",
}


def phrasebook(text: str, asks: str) -> str:
    """The small phrasebook with the categories S4 and S12 in place of S2."""
    before, rest = text.split("  S2:\n    s2-01")
    facts = rest[rest.index("facts:") :]
    return f"{before.replace('S2:', 'S4: fourth, S12:')}{asks.strip(chr(10))}\n{facts}"


@dataclass
class Ran:
    """Two runs with one row store."""

    root: Path
    first: list[dict[str, Any]]
    """All requests of the first run."""
    second: list[dict[str, Any]]
    log: str
    """What both printed."""

    def table(self, path: str) -> pd.DataFrame:
        return pd.read_parquet(self.root / "first" / path)

    def metrics(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.root / f"first/metrics/{name}.json").read_text(encoding="utf-8"))
        return found


def run_stages(root: Path, out: str) -> str:
    own = {"PYTHONPATH": str(ROOT / "src"), "REFUSEU_MACHINE": "served", "REFUSEU_STORE": str(root / "rows.sqlite")}
    environment = {**os.environ, **own, "NO_PROXY": "127.0.0.1", "OMP_NUM_THREADS": "1", "REFUSEU_PROGRESS": "log"}
    log = ""
    for stage, options in STAGES.items():
        common = ["--phrasebook", "phrasebook", "--prompts", str(ROOT / "data/prompts"), "--out", f"{out}/{stage}"]
        common += ["--refusals", str(ROOT / "data/refusals")] if stage == "label" else []
        common += ["--seeds", "seeds"] if stage == "rainbow-teaming" else []
        command = [sys.executable, str(ROOT / f"stages/{stage}.py"), *common, *options.format(out).split()]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        log += done.stdout + done.stderr
        assert done.returncode == 0, log[-3000:]
    return log


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    root = tmp_path_factory.mktemp("served")
    for name in ("phrasebook", "profiles", "machines", "seeds"):
        (root / name).mkdir()
    for code, text in (("en", ENGLISH), ("de", GERMAN)):
        (root / f"phrasebook/{code}.yaml").write_text(phrasebook(text, ASKS[code]), encoding="utf-8")
    (root / "params.yaml").write_text(yaml.safe_dump(PARAMS), encoding="utf-8")
    (root / "profiles/served.yaml").write_text(yaml.safe_dump(PROFILE), encoding="utf-8")
    examples = [
        Example(question, COMPLIANCES[code])
        for english, german in GERMAN_OF.items()
        for code, question in (("en", english), ("de", german))
    ]
    settings = TINY.model_copy(update={"max_length": 256, "hidden_size": 32, "steps": 60})
    train_base(examples * 6, settings, 1, root / "base")
    with serving(kind=Player) as server:
        openai = {"base_url": server.url, "concurrency": 4, "retries": 0, "timeout": 60.0}
        machine = {
            "workers": 1,
            "loaded": 1,
            "transformers": {"batch_size": 16, "device": "cpu"},
            "openai": openai,
            "training": ONE_CORE.model_dump(),
        }
        (root / "machines/served.yaml").write_text(yaml.safe_dump(machine), encoding="utf-8")
        log = run_stages(root, "first")
        first = list(server.bodies)
        log += run_stages(root, "second")
        return Ran(root, first, server.bodies[len(first) :], log)


def test_the_server_plays_every_part(ran: Ran) -> None:
    assert {part_of(body) for body in ran.first} == {
        *("category", "style", "twin", "preference", "translation", "refusal", "adjudicator")
    }
    assert {body["model"] for body in ran.first} == {"player"}


def test_what_the_server_says_becomes_rows(ran: Ran) -> None:
    questions, pairs = ran.table("rainbow-teaming/questions.parquet"), ran.table("respond/pairs.parquet")
    by_server = questions[questions["category"] == "S1"]
    assert set(by_server["kind"]) == {"harmful", "benign"}
    assert by_server["text"].isin(GERMAN_OF).all() and by_server["ask_id"].isna().all()
    assert set(questions["category"]) == set(CATEGORIES)
    german = pairs[(pairs["lang"] == "de") & (pairs["category"] == "S1")]
    assert set(german["text"]) == {GERMAN_OF[text] for text in by_server["text"]}
    assert set(german.loc[german["kind"] == "harmful", "chosen"]) == {REFUSALS["German"]}


def test_every_row_is_accounted_for(ran: Ran) -> None:
    for stage in ("search", "translate", "respond", "label"):
        account = ran.metrics(stage)
        assert account["rows_in"] == account["rows_out"] + sum(account["rejected"].values()), stage
    assert ran.metrics("search")["rows_in"] == 3 * 12
    counts = {
        stage: (
            len(ran.table(f"{stage}/{kept}.parquet")),
            len(ran.table(f"{stage}/rejected.parquet")),
        )
        for stage, kept in (("translate", "questions"), ("respond", "pairs"), ("label", "pairs"))
    }
    assert sum(counts["translate"]) == 2 * len(ran.table("rainbow-teaming/questions.parquet"))
    assert sum(counts["respond"]) == counts["translate"][0]
    assert sum(counts["label"]) == counts["respond"][0]
    assert len(ran.table("label/verdicts.parquet")) == 3 * 2 * counts["respond"][0]


def test_an_answer_that_is_no_ruling_is_unparsed(ran: Ran) -> None:
    pairs, verdicts = ran.table("respond/pairs.parquet"), ran.table("label/verdicts.parquet")
    refused = verdicts.merge(
        pairs[(pairs["lang"] == "en") & (pairs["kind"] == "harmful") & (pairs["category"] == "S1")]
    )
    chosen = refused[(refused["judge"] == "chat") & (refused["item"] == "chosen")]
    assert len(chosen) and set(chosen["harm"]) == set(chosen["reply"]) == {"unparsed"}


def test_nothing_of_the_withheld_categories_reaches_a_part_that_writes_or_prefers(ran: Ran) -> None:
    """The adjudicator is a judge, and judges read all categories."""
    written = ran.table("translate/questions.parquet")
    hidden = written[written["category"].isin(["S4", "S12"])]
    assert set(hidden["category"]) == {"S4", "S12"} and set(hidden["lang"]) == {"en", "de"}
    for text in hidden["text"]:
        assert any(word in text for word in WITHHELD_WORDS)
    for body in ran.first:
        if part_of(body) != "adjudicator":
            sent = json.dumps(body, ensure_ascii=False)
            assert not any(word in sent for word in WITHHELD_WORDS)


def test_a_second_run_asks_nothing_and_writes_the_same_bytes(ran: Ran) -> None:
    assert ran.second == []
    for path in sorted((ran.root / "first").rglob("*.*")):
        again = ran.root / "second" / path.relative_to(ran.root / "first")
        assert path.read_bytes() == again.read_bytes(), path


def test_nothing_that_a_model_said_is_printed_or_stands_in_a_metric_or_plot(ran: Ran) -> None:
    assert MARK in " ".join(ran.table("respond/pairs.parquet")["text"])
    assert MARK not in ran.log
    shown = [*(ran.root / "first/metrics").iterdir(), *(ran.root / "first/plots").iterdir()]
    assert len(shown) == 4 + 2
    assert [path for path in shown if MARK in path.read_text(encoding="utf-8")] == []
