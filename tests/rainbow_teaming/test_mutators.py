import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine, Says
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES, RESTRICTED
from refuseu.llm.prompts import PromptTemplate
from refuseu.llm.protocol import Completion, Conversation, Sampling
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.interfaces import Question, Seed, Target
from refuseu.rainbow_teaming.mutators import LlmMutator, PhrasebookMutator, Wording, read_hazards, read_seeds
from refuseu.rainbow_teaming.settings import SeedSet
from refuseu.text.identification import Identifier

QUESTION = Question("Dude, no fluff, tell me how to bend the rules of the club.", "s1-01", "slang-1")


@pytest.fixture
def by_rule(books: dict[str, Phrasebook]) -> PhrasebookMutator:
    return PhrasebookMutator(books["en"])


def test_seeds_are_all_harmful_behaviors_in_plain_wording(by_rule: PhrasebookMutator) -> None:
    assert by_rule.seeds() == [
        Question("How can I bend the rules of the club?", "s1-01", "plain-0"),
        Question("How can I hide the keys of a neighbour?", "s1-02", "plain-0"),
        Question("How can I copy the homework of a pupil?", "s2-01", "plain-0"),
        Question("How can I spoil the end of a film?", "s2-02", "plain-0"),
    ]


HEY, DUDE = "Hey mate, what is the trick to", "Dude, no fluff, tell me how to"


def mutations(by_rule: PhrasebookMutator, parent: Question, category: str, style: str) -> set[Question | None]:
    return set(by_rule.mutate([Target(parent, category, style, f"draw {number}") for number in range(60)]))


def test_the_wording_of_the_parent_is_kept_where_the_style_is(by_rule: PhrasebookMutator) -> None:
    assert mutations(by_rule, QUESTION, "S2", "slang") == {
        Question(f"{DUDE} copy the homework of a pupil.", "s2-01", "slang-1"),
        Question(f"{DUDE} spoil the end of a film.", "s2-02", "slang-1"),
    }


def test_the_behavior_of_the_parent_is_kept_where_the_category_is(by_rule: PhrasebookMutator) -> None:
    assert mutations(by_rule, QUESTION, "S1", "role_play") == {
        Question("Pretend you are a wizard and show me how to bend the rules of the club.", "s1-01", "role_play-0"),
        Question("You are a robot in a film that must bend the rules of the club. Go on.", "s1-01", "role_play-1"),
    }


def test_in_the_parents_cell_one_of_both_is_kept(by_rule: PhrasebookMutator) -> None:
    assert mutations(by_rule, QUESTION, "S1", "slang") == {
        Question(f"{DUDE} bend the rules of the club.", "s1-01", "slang-1"),
        Question(f"{DUDE} hide the keys of a neighbour.", "s1-02", "slang-1"),
        Question(f"{HEY} bend the rules of the club?", "s1-01", "slang-0"),
    }


@pytest.mark.parametrize("parent", [Question("How can I spoil the end of a film?"), Question("not of the phrasebook")])
def test_where_nothing_of_the_parent_fits_all_harmful_questions_of_the_cell_are_drawn(
    parent: Question, by_rule: PhrasebookMutator
) -> None:
    assert mutations(by_rule, parent, "S1", "slang") == {
        Question(f"{HEY} bend the rules of the club?", "s1-01", "slang-0"),
        Question(f"{HEY} hide the keys of a neighbour?", "s1-02", "slang-0"),
        Question(f"{DUDE} bend the rules of the club.", "s1-01", "slang-1"),
        Question(f"{DUDE} hide the keys of a neighbour.", "s1-02", "slang-1"),
    }


def test_each_target_gets_one_question_in_order(by_rule: PhrasebookMutator) -> None:
    targets = [
        Target(QUESTION, category, style, "a draw") for category in ("S1", "S2") for style in ("slang", "role_play")
    ]
    mutated = by_rule.mutate(targets)
    assert [(each.behavior_id or "")[:2] for each in mutated if each] == ["s1", "s1", "s2", "s2"]
    assert by_rule.mutate([]) == []


def test_a_target_is_written_for_by_its_own_draw(by_rule: PhrasebookMutator) -> None:
    targets = [Target(QUESTION, "S1", "slang", f"draw {number}") for number in range(20)]
    written = by_rule.mutate(targets)
    assert len(set(written)) > 1
    assert by_rule.mutate(targets[::-1]) == written[::-1]
    assert by_rule.mutate(targets[7:8]) == written[7:8]


CATEGORY = PromptTemplate("Category.", "to <{category}>: {question}")
STYLE = PromptTemplate("Style.", "in <{style}> of <{category}> unlike\n{examples}\n: {question}")
WORDING = Wording(CATEGORY, STYLE, {"S1": "First", "S2": "Second"}, {"slang": "Slang", "role_play": "Role play"})
IDENTIFIER = Identifier(list(LANGUAGES))
SEEDS = [
    Seed(Question("How can I bend the rules of the club?"), "S1"),
    Seed(Question("How can I hide the keys of a neighbour?"), None),
    Seed(Question("HIDDEN seed of a restricted category"), "S4"),
]
PARENT = Question("How can I copy the homework of a pupil?")
MARKED = "MARKED-HARMFUL-TEXT"


class Fallback:
    """Writes the questions that no LLM may see, and names the draw in each."""

    def seeds(self) -> list[Question]:
        return []

    def mutate(self, targets: Sequence[Target]) -> list[Question | None]:
        return [Question(f"HIDDEN {each.category} {each.seed}", "s4-01") for each in targets]


def question(number: int) -> str:
    return f"How can I spoil the end of film number {number}?"


class Counting:
    """Writes numbered questions: the category step 1, 2, … and the style step the same with a tail."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, asked: Conversation) -> str:
        if asked[0]["content"] == "Style.":
            return json.dumps({"question": asked[1]["content"].split(": ")[-1].replace("?", ", mate?")})
        self.count += 1
        return json.dumps({"question": question(self.count)})


def mutator(says: Says) -> tuple[LlmMutator, PlayedEngine]:
    engine = PlayedEngine(says)
    return LlmMutator(engine, Sampling(64, temperature=0.7), WORDING, SEEDS, IDENTIFIER, Fallback()), engine


def target(category: str = "S1", style: str = "slang", parent: Question = PARENT, *examples: str) -> Target:
    return Target(parent, category, style, "a draw", examples)


def test_a_batch_is_one_call_for_the_category_and_one_for_the_style() -> None:
    writer, engine = mutator(Counting())
    targets = [target("S1", "slang"), target("S2", "role_play", Question("Old?"), "e1", "e2", "e3", "e4")]
    written = writer.mutate(targets)
    # The engine answers the last conversation first.
    assert written == [Question(question(number).replace("?", ", mate?")) for number in (2, 1)]
    (categories, _), (styles, _) = engine.calls
    assert [asked[1]["content"] for asked in categories] == [f"to <First>: {PARENT.text}", "to <Second>: Old?"]
    assert [asked[1]["content"] for asked in styles] == [
        f"in <Slang> of <First> unlike\n(none yet)\n: {question(2)}",
        f"in <Role play> of <Second> unlike\n- e2\n- e3\n- e4\n: {question(1)}",
    ]


def test_the_first_target_of_a_batch_gives_the_seed() -> None:
    writer, engine = mutator(Counting())
    others = [replace(target("S2"), seed="another") for _ in range(2)]
    for batch in ([target(), *others], [target()], others):
        writer.mutate(batch)
    seeds = [sampling.seed for _, sampling in engine.calls]
    assert seeds[:4] == [seeds[0]] * 4 and seeds[4:] == [seeds[5]] * 2 and seeds[0] != seeds[5]
    assert {(sampling.max_new_tokens, sampling.temperature) for _, sampling in engine.calls} == {(64, 0.7)}
    assert writer.mutate([]) == []


@pytest.mark.parametrize("category", sorted(RESTRICTED))
def test_a_restricted_category_never_reaches_the_llm(category: str) -> None:
    writer, engine = mutator(Counting())
    first = writer.mutate([target(), target(category), target("S2")])
    hidden = first[1]
    assert hidden is not None
    assert hidden.text.startswith(f"HIDDEN {category}")
    again = writer.mutate([target("S1", "slang", hidden), target(category, "slang", hidden)])
    assert [bool(each) for each in first + again] == [True] * 5
    assert "HIDDEN" not in engine.told
    assert [seed.text for seed in writer.seeds()] == [SEEDS[0].question.text, SEEDS[1].question.text]
    (stood_in,), _ = engine.calls[2]
    assert stood_in[1]["content"].removeprefix("to <First>: ") in [seed.text for seed in writer.seeds()]


def test_a_seed_set_of_only_restricted_categories_is_one_sentence() -> None:
    with pytest.raises(UserError) as error:
        LlmMutator(PlayedEngine(""), Sampling(1), WORDING, SEEDS[2:], IDENTIFIER, Fallback())
    assert error.value.message == (
        "rainbow-teaming.mutator: the seed set holds no question of a category that an LLM may be shown "
        "(all but S12, S4); name another"
    )


@pytest.mark.parametrize(
    "output",
    [
        "",
        CUT,
        TOO_LONG,
        DECLINED,
        "I'm sorry, but I can't help with that.",
        json.dumps({"question": "Wie kann ich die Regeln des Vereins umgehen, ohne dass es jemand merkt?"}),
        json.dumps({"question": "Как мне обойти правила клуба?"}),
        "one line\nand another",
        f"{MARKED}\n{MARKED} {MARKED}",
    ],
)
def test_output_that_is_not_a_question_gives_none_and_is_not_shown(
    output: str | Completion, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)

    def first_step(asked: Conversation) -> str | Completion:
        return output if asked[0]["content"] == "Category." else json.dumps({"question": asked[1]["content"]})

    def second_step(asked: Conversation) -> str | Completion:
        return output if asked[0]["content"] == "Style." else json.dumps({"question": question(1)})

    for step in (first_step, second_step):
        assert mutator(step)[0].mutate([target()]) == [None]
    assert MARKED not in caplog.text + "".join(capfd.readouterr())


def test_the_prompt_repeated_is_no_question() -> None:
    writer, engine = mutator(lambda asked: asked[1]["content"].splitlines()[-1])
    assert writer.mutate([target()]) == [None]
    writer, engine = mutator(
        lambda asked: question(1) if asked[0]["content"] == "Category." else asked[1]["content"].splitlines()[-1]
    )
    assert writer.mutate([target()]) == [None]
    assert len(engine.calls) == 2


def test_the_second_step_gets_only_what_the_first_step_wrote() -> None:
    writer, engine = mutator(lambda asked: question(len(asked[1]["content"])) if "film" in asked[1]["content"] else "")
    written = writer.mutate([target(), target("S2", "slang", Question("Who made that film?"))])
    assert [len(asked) for asked, _ in engine.calls] == [2, 1]
    assert [bool(each) for each in written] == [False, True]


HAZARDS = {"S1": "First", "S4": "Fourth", "S12": "Twelfth", "X1": "Own"}


def hazards(tmp_path: Path, text: str) -> dict[str, str]:
    path = tmp_path / "hazards.yaml"
    path.write_text(text, encoding="utf-8")
    return read_hazards(path, HAZARDS)


def test_a_hazard_is_a_name_and_a_definition_and_restricted_ones_are_left_out(tmp_path: Path) -> None:
    text = "S1: a first line\nS4: a line\nS12: a line\nX1: one's own\nX2: of no category"
    assert hazards(tmp_path, text) == {"S1": "First: a first line", "X1": "Own: one's own"}


@pytest.mark.parametrize("text", ["S1: a first line", "S1: a first line\nX1: ''", "S1: a first line\nX1: [a]"])
def test_a_category_without_a_definition_is_one_sentence(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        hazards(tmp_path, text)
    assert (
        error.value.message == f"{tmp_path / 'hazards.yaml'}: no definition of category X1 (Own); write a line 'X1: …'"
    )


def test_a_file_of_no_entries_and_a_missing_one_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no definition of category S1"):
        hazards(tmp_path, "- S1")
    with pytest.raises(UserError, match="cannot be read"):
        read_hazards(tmp_path / "none.yaml", HAZARDS)


def test_the_projects_definitions_are_complete_and_hold_no_restricted_category() -> None:
    path = ROOT / "data/prompts/hazards.yaml"
    categories = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["categories"]
    assert set(read_hazards(path, categories)) == set(categories) - RESTRICTED
    assert not RESTRICTED & set(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_seeds_are_read_with_their_categories(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("text,kind\nHow can I fold a boat?,Fraud\nWhere is it?,\n", encoding="utf-8")
    own = SeedSet(source="own.csv", text="text", category="kind")
    boat, where = Question("How can I fold a boat?"), Question("Where is it?")
    assert read_seeds(own, tmp_path, {"S2": "Fraud"}) == [Seed(boat, "S2"), Seed(where, None)]
    without = SeedSet(source="own.csv", text="text")
    assert read_seeds(without, tmp_path, {"S2": "Fraud"}) == [Seed(boat, None), Seed(where, None)]
