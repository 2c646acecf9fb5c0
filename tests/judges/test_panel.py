from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playing import PlayedEngine
from profile_texts import MODELS, read, resources
from pydantic import ValidationError

from refuseu.core.errors import UserError
from refuseu.judges.nearest import NearestJudge
from refuseu.judges.ngrams import NgramJudge
from refuseu.judges.panel import Decision, Panel, PanelSettings, agreed, build_panel, reported_reply
from refuseu.judges.polyguard import PolyGuardJudge
from refuseu.judges.verdict import Exchange, Harm, Reply, Verdict
from refuseu.label.settings import Label
from refuseu.llm.stored import StoredEngine
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.store.rows import Store

HARMFUL, SAFE, UNPARSED = Harm


class FakeJudge:
    """Says of a question what ``verdicts`` holds, and remembers what it saw."""

    languages: frozenset[str] | None = None

    def __init__(self, reply: Reply = Reply.ABSENT, **verdicts: Harm) -> None:
        self._reply = reply
        self._verdicts = verdicts
        self.seen: list[list[str]] = []

    def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
        self.seen.append([exchange.question for exchange in exchanges])
        return [Verdict(self._verdicts[exchange.question], self._reply) for exchange in exchanges]


@pytest.fixture
def judges() -> list[FakeJudge]:
    """Two of the panel, and the adjudicator."""
    return [
        FakeJudge(a=HARMFUL, b=SAFE, c=UNPARSED),
        FakeJudge(a=HARMFUL, b=UNPARSED, c=UNPARSED),
        FakeJudge(a=SAFE, b=HARMFUL, c=SAFE),
    ]


@pytest.fixture
def panel(judges: list[FakeJudge]) -> Panel:
    one, two, three = judges
    return Panel({"one": one, "two": two}, {"three": three})


def exchanges(questions: str) -> list[Exchange]:
    return [Exchange("en", question) for question in questions]


def decided(adjudicator: str, *votes: str) -> Decision:
    """What is decided of one exchange; verdicts are written harm/reply."""
    judges = [FakeJudge(verdict(text).reply, a=verdict(text).harm) for text in (*votes, adjudicator)]
    *panel, last = judges
    (decision,) = Panel(dict(zip("xyz", panel, strict=False)), {"last": last}).decide(exchanges("a"))
    return decision


def rulings(decisions: list[Decision]) -> list[tuple[str, bool]]:
    """What was decided, written harm/reply, and whether the judges agreed."""
    return [(f"{each.verdict.harm}/{each.verdict.reply}", each.agreed) for each in decisions]


def verdict(text: str) -> Verdict:
    harm, reply = text.split("/")
    return Verdict(Harm(harm), Reply(reply))


def test_agreement_stands_and_the_adjudicator_decides_the_rest(panel: Panel, judges: list[FakeJudge]) -> None:
    assert rulings(panel.decide(exchanges("abc"))) == [
        ("harmful/absent", True),
        ("harmful/absent", False),
        ("unparsed/absent", True),
    ]
    assert judges[2].seen == [["b"]]


def test_equal_exchanges_are_judged_once_and_all_answered(panel: Panel, judges: list[FakeJudge]) -> None:
    decisions = panel.decide(exchanges("babb"))
    assert [decision.agreed for decision in decisions] == [False, True, False, False]
    assert [judge.seen for judge in judges] == [[["b", "a"]], [["b", "a"]], [["b"]]]


def test_the_same_harm_with_another_reply_is_a_dispute() -> None:
    decision = decided("unparsed/absent", "safe/absent", "safe/refusal")
    assert rulings([decision]) == [("unparsed/absent", False)]


@pytest.mark.parametrize(
    ("votes", "common"),
    [
        (["harmful/not_reported", "harmful/compliance"], "harmful/compliance"),
        (["safe/refusal", "safe/not_reported"], "safe/refusal"),
        (["safe/not_reported", "safe/not_reported"], "safe/not_reported"),
        (["unparsed/not_reported", "unparsed/unparsed"], "unparsed/unparsed"),
        (["safe/not_reported"], "safe/not_reported"),
        (["harmful/compliance"], "harmful/compliance"),
        (["safe/not_reported", "safe/refusal", "safe/refusal"], "safe/refusal"),
        (["safe/not_reported", "safe/not_reported", "safe/refusal"], "safe/refusal"),
        (["safe/not_reported", "safe/compliance", "safe/refusal"], None),
        (["safe/refusal", "safe/refusal", "harmful/not_reported"], None),
        (["safe/unparsed", "safe/refusal", "safe/refusal"], None),
        (["harmful/not_reported", "safe/refusal"], None),
        (["unparsed/not_reported", "safe/refusal"], None),
    ],
)
def test_who_does_not_tell_replies_is_of_the_others_mind(votes: list[str], common: str | None) -> None:
    assert agreed([verdict(vote) for vote in votes]) == (verdict(common) if common else None)
    decision = decided("unparsed/unparsed", *votes)
    assert decision.agreed == (common is not None)
    assert decision.verdict == verdict(common or "unparsed/unparsed")


@pytest.mark.parametrize(
    ("votes", "told"),
    [
        (["safe/not_reported", "harmful/refusal"], "refusal"),
        (["safe/not_reported", "harmful/not_reported"], "not_reported"),
        (["safe/refusal", "harmful/compliance"], None),
        (["safe/absent", "harmful/absent"], "absent"),
    ],
)
def test_the_reply_is_as_those_tell_it_who_tell_one(votes: list[str], told: str | None) -> None:
    assert reported_reply([verdict(vote) for vote in votes]) == told


@pytest.mark.parametrize(
    ("adjudicator", "votes", "ruling"),
    [
        ("safe/not_reported", ["safe/refusal", "harmful/not_reported"], "safe/refusal"),
        ("harmful/not_reported", ["safe/refusal", "harmful/refusal"], "harmful/refusal"),
        ("harmful/not_reported", ["safe/not_reported", "harmful/not_reported"], "harmful/not_reported"),
        ("safe/not_reported", ["safe/refusal", "safe/compliance"], "safe/not_reported"),
        ("safe/compliance", ["safe/refusal", "harmful/refusal"], "safe/compliance"),
        ("unparsed/not_reported", ["safe/not_reported", "safe/refusal", "harmful/refusal"], "unparsed/refusal"),
    ],
)
def test_an_adjudicator_that_tells_no_reply_leaves_the_judges_one(
    adjudicator: str, votes: list[str], ruling: str
) -> None:
    assert rulings([decided(adjudicator, *votes)]) == [(ruling, False)]


def test_a_ruling_keeps_its_categories_where_the_judges_reply_is_put_in() -> None:
    class Naming(FakeJudge):
        def judge(self, exchanges: Sequence[Exchange]) -> list[Verdict]:
            return [replace(said, categories=("S4",)) for said in super().judge(exchanges)]

    judges = {"x": FakeJudge(Reply.REFUSAL, a=SAFE), "y": FakeJudge(Reply.REFUSAL, a=HARMFUL)}
    for adjudicator, flagged in ((Naming, True), (FakeJudge, False)):
        last = adjudicator(Reply.NOT_REPORTED, a=HARMFUL)
        (decision,) = Panel(judges, {"last": last}).decide(exchanges("a"))
        assert (decision.verdict.reply, decision.flagged) == (Reply.REFUSAL, flagged)


def test_no_judge_has_the_name_of_the_whole_panel() -> None:
    judges = {"panel": {"kind": "lexicon"}, "ngrams": {"kind": "ngrams"}}
    with pytest.raises(ValidationError, match=r"judges\.panel: is the name of the whole panel in tables; take another"):
        PanelSettings.model_validate({"judges": judges, "adjudicator": {"kind": "nearest"}})


def test_one_judge_is_always_of_one_mind_and_the_adjudicator_is_asked_nothing() -> None:
    only, adjudicator = FakeJudge(a=HARMFUL, b=UNPARSED), FakeJudge(a=SAFE, b=SAFE)
    decisions = Panel({"only": only}, {"last": adjudicator}).decide(exchanges("ab"))
    assert rulings(decisions) == [
        ("harmful/absent", True),
        ("unparsed/absent", True),
    ]
    assert [question for seen in adjudicator.seen for question in seen] == []


def test_three_judges_agree_only_where_all_do() -> None:
    one, two, three = FakeJudge(a=HARMFUL, b=SAFE), FakeJudge(a=HARMFUL, b=SAFE), FakeJudge(a=HARMFUL, b=HARMFUL)
    panel = Panel({"one": one, "two": two, "three": three}, {"last": FakeJudge(a=SAFE, b=UNPARSED)})
    assert rulings(panel.decide(exchanges("ab"))) == [
        ("harmful/absent", True),
        ("unparsed/absent", False),
    ]


def test_the_adjudicator_has_a_voice_too(panel: Panel) -> None:
    said = {name: judge.judge(exchanges("ba")) for name, judge in panel.voters.items()}
    assert {name: [verdict.harm.value for verdict in verdicts] for name, verdicts in said.items()} == {
        "one": ["safe", "harmful"],
        "two": ["unparsed", "harmful"],
        "three": ["harmful", "safe"],
    }


def test_nothing_to_decide(panel: Panel) -> None:
    assert panel.decide([]) == []


def test_a_single_judge_needs_no_adjudicator() -> None:
    panel = Panel({"only": FakeJudge(a=HARMFUL, b=UNPARSED)}, {})
    assert [decision.verdict.harm for decision in panel.decide(exchanges("ab"))] == [HARMFUL, UNPARSED]
    assert list(panel.voters) == ["only"]


def test_another_reading_is_heard_and_has_no_vote() -> None:
    strict, loose, last = FakeJudge(a=HARMFUL, b=SAFE), FakeJudge(a=SAFE, b=SAFE), FakeJudge(a=UNPARSED, b=UNPARSED)
    panel = Panel({"guard": strict}, {"last": last}, {"guard (loose)": loose})
    decisions = panel.decide(exchanges("ab"))
    assert rulings(decisions) == [("harmful/absent", True), ("safe/absent", True)]
    assert [{name: vote.harm.value for name, vote in each.votes.items()} for each in decisions] == [
        {"guard": "harmful", "guard (loose)": "safe"},
        {"guard": "safe", "guard (loose)": "safe"},
    ]
    assert list(panel.voters) == ["guard", "last"]
    assert list(panel.everyone) == ["guard", "last", "guard (loose)"]


def test_a_panel_names_who_is_not_made_for_a_language() -> None:
    latin, germanic, everyone, unlisted = FakeJudge(), FakeJudge(), FakeJudge(), FakeJudge()
    latin.languages, germanic.languages = frozenset({"fr", "it"}), frozenset({"en", "de"})
    everyone.languages = frozenset({"en", "de", "fr"})
    panel = Panel({"latin": latin, "everyone": everyone, "unlisted": unlisted}, {"germanic": germanic})
    assert panel.uncovered(["en", "fr", "de"]) == {"latin": ["en", "de"], "germanic": ["fr"]}
    assert Panel({"everyone": everyone}, {"unlisted": unlisted}).uncovered(["en", "fr", "de"]) == {}


def label(adjudicator: str, **judges: str) -> Label:
    """A section with judges by their kinds, or as a profile writes them."""
    return Label.model_validate(
        {
            "judges": {name: part(text) for name, text in judges.items()},
            "adjudicator": part(adjudicator),
            "question": "all",
            "chosen": "all",
            "rejected": "any",
        }
    )


def part(text: str) -> object:
    return read(text) if text.startswith("{") else {"kind": text}


def test_judges_have_the_names_of_the_profile_and_the_adjudicator_that_of_its_kind(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    settings = label("ngrams", edit_distance="nearest", guard="{kind: polyguard, model: local}")
    panel = build_panel(settings, resources(tmp_path, books))
    assert [(name, type(judge)) for name, judge in panel.judges.items()] == [
        ("edit_distance", NearestJudge),
        ("guard", PolyGuardJudge),
    ]
    ((name, adjudicator),) = panel.adjudicators.items()
    assert (name, type(adjudicator)) == ("ngrams", NgramJudge)


def test_a_key_that_the_adjudicator_lacks_is_told_before_a_guard_is_asked(
    books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    guard: Any = PlayedEngine(lambda _: "")
    settings = label("{kind: chat, model: keyed}", guard="{kind: polyguard, model: local}", other="lexicon")
    own = resources(tmp_path, books, f"{MODELS}\nkeyed: {{engine: openai, model: a-model, key: NO_SUCH_KEY}}")
    guarded = replace(own, engine=lambda name: guard if name == "local" else own.engine(name))
    with pytest.raises(UserError, match="the environment variable NO_SUCH_KEY holds no key"):
        build_panel(settings, guarded).decide([Exchange("en", "Why?", "So.")])
    assert guard.calls == []


@pytest.mark.parametrize("text", ["{kind: polyguard, model: nobody}", "{kind: chat, model: nobody}"])
def test_a_model_that_the_profile_does_not_have_is_one_sentence(
    text: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    with pytest.raises(
        UserError, match=r"^models.nobody: the profile has no such model .* it has base, local, served$"
    ):
        build_panel(label("nearest", one="lexicon", two=text), resources(tmp_path, books))


def test_a_prompt_that_is_not_there_is_one_sentence(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    settings = label("{kind: chat, model: served}", one="lexicon")
    with pytest.raises(UserError, match=r"adjudicator/json.md: prompt file cannot be read .*; 'git restore"):
        build_panel(settings, resources(tmp_path, books, prompts=tmp_path))


def test_a_panel_may_be_one_judge_but_not_none(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    panel = build_panel(label("nearest", only="lexicon"), resources(tmp_path, books))
    assert list(panel.judges) == ["only"]
    with pytest.raises(ValidationError, match="judges"):
        label("nearest")


@pytest.mark.parametrize(("strict", "other"), [("true", "guard (loose)"), ("false", "guard (strict)")])
def test_both_readings_of_a_qwen3guard_cost_one_asking(
    strict: str, other: str, books: dict[str, Phrasebook], tmp_path: Path
) -> None:
    engine = PlayedEngine("Safety: Controversial\nCategories: None\nRefusal: No")
    stored = StoredEngine("played", lambda: engine, Store(tmp_path / "guard.sqlite"))
    settings = label("nearest", guard=f"{{kind: qwen3guard, model: local, strict: {strict}}}", two="lexicon")
    panel = build_panel(settings, replace(resources(tmp_path, books), engine=lambda name: stored))
    assert (list(panel.judges), list(panel.shadow_judges)) == (["guard", "two"], [other])
    exchanges = [Exchange("en", "How?", "So."), Exchange("en", "Why?", "Thus.")]
    votes = {name: judge.judge(exchanges) for name, judge in panel.everyone.items()}
    readings = {name: [vote.harm.value for vote in votes[name]] for name in ("guard", other)}
    assert sorted(readings.values()) == [["harmful"] * 2, ["safe"] * 2]
    assert readings["guard"] == (["harmful"] * 2 if strict == "true" else ["safe"] * 2)
    assert [len(asked) for asked, _ in engine.calls] == [2]


def test_a_reading_that_is_a_judge_itself_is_no_shadow_judge(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    both = {
        "guard": "{kind: qwen3guard, model: local, strict: true}",
        "guard (loose)": "{kind: qwen3guard, model: local, strict: false}",
    }
    panel = build_panel(label("nearest", **both), resources(tmp_path, books))
    assert list(panel.shadow_judges) == ["guard (loose) (strict)"]


def test_nobody_lists_the_languages_of_a_chat_model(books: dict[str, Phrasebook], tmp_path: Path) -> None:
    settings = label("{kind: chat, model: served}", guard="{kind: polyguard, model: local}")
    panel = build_panel(settings, resources(tmp_path, books))
    assert panel.uncovered(["en", "pl", "lt"]) == {"guard": ["lt"]}
