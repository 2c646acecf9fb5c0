import json
import re
from collections import Counter
from pathlib import Path

import pytest
from conftest import CATEGORIES, LANGUAGES, STYLES
from playing import CUT, PlayedEngine, Says
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import RESTRICTED, Experiment
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Conversation, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.generator import PLACEHOLDERS, Generator, read_activities, wanted

EXPERIMENT = Experiment(languages=LANGUAGES, categories=CATEGORIES, styles=STYLES)
ACTIVITIES = {
    "S1": {"s1-clubs": "breaking the rules of a club"},
    "S2": {"s2-school": "cheating at school", "s2-tv": "spoilers"},
}
PROMPTS = ROOT / "data/prompts"


def asks(number: int = 0) -> Says:
    """A question that no other prompt gets: it is made of the whole conversation."""

    def say(conversation: Conversation) -> str:
        return json.dumps({"question": f"What about {abs(hash(str(conversation)))} and {number}?"})

    return say


def generator(books: dict[str, Phrasebook], per_slot: int = 2, seed: int = 1, **models: PlayedEngine) -> Generator:
    return Generator(
        models,
        Sampling(64, temperature=0.7),
        PromptTemplate.read(PROMPTS / "generation.md", PLACEHOLDERS),
        {"S1": "First: something wrong", "S2": "Second: something else"},
        ACTIVITIES,
        books,
        EXPERIMENT,
        per_slot,
        seed,
    )


def test_every_slot_has_its_questions_in_every_language(books: dict[str, Phrasebook]) -> None:
    found = generator(books, one=PlayedEngine(asks())).generate()
    rows = found.questions
    slots = Counter(zip(rows["category"], rows["style"], rows["behavior_id"], rows["lang"], strict=True))
    assert slots == {
        (category, style, activity, lang): 2
        for category, named in ACTIVITIES.items()
        for activity in named
        for style in STYLES
        for lang in LANGUAGES
    }
    assert set(rows["kind"]) == {"harmful"} and rows[["fitness", "iteration"]].isna().all(axis=None)
    # No question is another's translation, so each is a group by itself.
    assert rows["question_id"].is_unique and (rows["group_id"] == rows["question_id"]).all()
    assert "s2-school.slang.2.de" in set(rows["question_id"])
    assert {key: found.summary[key] for key in ("made_by", "rows_in", "rows_out", "rejected")} == {
        "made_by": "generator", "rows_in": 24, "rows_out": 24, "rejected": {}
    }  # fmt: skip
    assert [(cell["category"], cell["style"], cell["elites"]) for cell in found.cells] == [
        ("S1 First", "Role play", 2),
        ("S1 First", "Slang", 2),
        ("S2 Second", "Role play", 4),
        ("S2 Second", "Slang", 4),
    ]


@pytest.mark.parametrize(("models", "per_slot"), [(2, 2), (2, 1), (3, 3), (3, 4), (2, 5)])
def test_the_models_share_the_questions_of_a_slot(models: int, per_slot: int) -> None:
    names = [f"m{number}" for number in range(models)]
    asked = list(wanted(ACTIVITIES, EXPERIMENT, names, per_slot))
    assert asked == list(wanted(ACTIVITIES, EXPERIMENT, names, per_slot))
    slots: dict[tuple[str, str, str], Counter[str]] = {}
    for each in asked:
        slots.setdefault((each.activity, each.style, each.lang), Counter(dict.fromkeys(names, 0)))[each.model] += 1
    assert all(max(counts.values()) - min(counts.values()) <= 1 for counts in slots.values())
    shares = Counter(each.model for each in asked)
    # Slots begin with one model after the other, so that none is left out where a slot has fewer questions than models.
    assert set(shares) == set(names) and max(shares.values()) - min(shares.values()) <= len(LANGUAGES) * models


def test_each_model_writes_its_own_questions_and_the_table_says_which(books: dict[str, Phrasebook]) -> None:
    one, two = PlayedEngine(asks(1)), PlayedEngine(asks(2))
    rows = generator(books, one=one, two=two).generate().questions
    for name, engine, sign in (("one", one, "and 1?"), ("two", two, "and 2?")):
        mine = rows.loc[rows["written_by"] == name, "text"]
        assert len(mine) == sum(len(conversations) for conversations, _ in engine.calls) == 12
        assert mine.str.endswith(sign).all()


def test_a_prompt_names_the_slot_and_shows_native_questions(books: dict[str, Phrasebook]) -> None:
    engine = PlayedEngine(asks())
    generator(books, per_slot=1, one=engine).generate()
    ((conversations, sampling),) = engine.calls
    assert sampling.schema and sampling.temperature == 0.7
    told = [conversation[-1]["content"] for conversation in conversations]
    german = next(text for text in told if "German" in text and "cheating at school" in text and "Style: Slang" in text)
    assert "Hazard category: Second: something else" in german
    examples = re.findall(r"^- (.*)$", german, re.MULTILINE)
    readings = [books["de"].parse(each) for each in examples]
    assert {(reading.style, reading.behavior.category, reading.behavior.kind) for reading in readings if reading} == {
        ("slang", "S2", "harmful")
    }
    assert len(examples) == len(set(examples)) == 2  # the small phrasebook has two behaviors a category
    assert all(
        "German" in conversation[0]["content"]
        for conversation in conversations
        if "German" in conversation[1]["content"]
    )


def test_at_most_five_examples_are_shown(real_books: dict[str, Phrasebook]) -> None:
    experiment = Experiment(languages=["en", "lv"], categories={"S1": "Violent Crimes"}, styles={"slang": "Slang"})
    engine = PlayedEngine(asks())
    prompt = PromptTemplate.read(PROMPTS / "generation.md", PLACEHOLDERS)
    activities = {"S1": {"s1-one": "one", "s1-two": "two"}}
    Generator({"one": engine}, Sampling(9), prompt, {"S1": "x"}, activities, real_books, experiment, 2, 1).generate()
    asked = [conversation[-1]["content"] for conversations, _ in engine.calls for conversation in conversations]
    shown = [tuple(re.findall(r"^- (.*)$", text, re.MULTILINE)) for text in asked]
    assert [len(set(examples)) for examples in shown] == [5] * 8
    # Which ones differs from prompt to prompt, and all wordings of the style are used.
    assert len(set(shown)) == 8
    assert len({books.parse(text).frame for text in shown[0] if (books := real_books["en"]).parse(text)}) == 4


@pytest.fixture
def real_books() -> dict[str, Phrasebook]:
    from refuseu.phrasebook.phrasebook import load_phrasebooks

    return load_phrasebooks(ROOT / "data/phrasebook", ["en", "lv"], {"S1": "Violent Crimes"}, {"slang": "Slang"})


def test_the_questions_of_a_slot_are_drawn_apart_and_by_the_seed(books: dict[str, Phrasebook]) -> None:
    seeds = {}
    for seed in (1, 2):
        engine = PlayedEngine(asks())
        generator(books, per_slot=3, seed=seed, one=engine).generate()
        seeds[seed] = [sampling.seed for _, sampling in engine.calls]
    assert len(set(seeds[1] + seeds[2])) == 6


def test_what_a_model_declines_is_counted_by_category_and_model_and_said(
    books: dict[str, Phrasebook], capsys: pytest.CaptureFixture[str]
) -> None:
    def declines(conversation: Conversation) -> str:
        if "First: something wrong" in conversation[-1]["content"]:
            return "I'm sorry, but I can't help with that."
        return json.dumps({"question": f"Why {len(str(conversation))}?"})

    found = generator(books, one=PlayedEngine(declines), two=PlayedEngine(asks())).generate()
    assert found.summary["not_written"] == {"S1": {"one": 1.0, "two": 0.0}, "S2": {"one": 0.0, "two": 0.0}}
    assert (found.summary["rows_out"], found.summary["rejected"]) == (20, {"not written": 4})
    assert capsys.readouterr().err == "Note: S1: one wrote no question for 100% of its prompts\n"


def test_a_language_without_a_question_is_one_sentence(books: dict[str, Phrasebook]) -> None:
    def english_alone(conversation: Conversation) -> str:
        return (
            ""
            if "German" in conversation[-1]["content"]
            else json.dumps({"question": f"Why {len(str(conversation))}?"})
        )

    with pytest.raises(UserError) as error:
        generator(books, one=PlayedEngine(english_alone)).generate()
    assert error.value.message.startswith("rainbow-teaming: no question was written in de: the models (one) declined")
    with pytest.raises(UserError, match="no question was written in en, de"):
        generator(books, one=PlayedEngine(CUT)).generate()


def test_the_projects_activities_leave_the_restricted_categories_out() -> None:
    import yaml

    categories = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["categories"]
    activities = read_activities(PROMPTS / "activities.yaml", categories)
    assert set(activities) == set(categories) - RESTRICTED
    assert all(len(named) == 5 for named in activities.values())
    assert all(activity.startswith(f"{key.lower()}-") for key, named in activities.items() for activity in named)


@pytest.mark.parametrize(
    ("content", "categories", "said"),
    [
        ("S1: {a: x}\nS4: {b: y}", ("S1",), "S4: no model writes questions of this category; take its activities out"),
        ("S1: {a: x}", ("S1", "S2"), "no activities of category S2 (Name); write 'S2:' and lines '  an-id: …'"),
        ("S1: {a: ''}", ("S1",), "no activities of category S1 (Name); write 'S1:' and lines '  an-id: …'"),
        ("S1: [a, b]", ("S1",), "no activities of category S1 (Name); write 'S1:' and lines '  an-id: …'"),
        ("S1: {a: x}\nS2: {a: y}", ("S1", "S2"), "S2.a: also stands in S1; take another id"),
        ("S1: {a: x}", ("S4",), "params.yaml names no category that models may write questions of; add one"),
        ("nothing", ("S1",), "no activities of category S1 (Name); write 'S1:' and lines '  an-id: …'"),
    ],
)
def test_activities_that_cannot_be_used_are_one_sentence(
    content: str, categories: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "activities.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError) as error:
        read_activities(path, dict.fromkeys(categories, "Name"))
    assert error.value.message == f"{path}: {said}"
