import json
import logging
import random
from collections.abc import Iterable, Sequence

import pytest
from playing import CUT, DECLINED, TOO_LONG, PlayedEngine, Says

from refuseu.core.errors import UserError
from refuseu.engines.prompts import Prompt
from refuseu.engines.protocol import Completion, Conversation, Sampling
from refuseu.experiment import LANGUAGES, RESTRICTED
from refuseu.judges.verdict import Exchange
from refuseu.rainbow_teaming.interfaces import Question, Target
from refuseu.rainbow_teaming.llm import LlmMutator, LlmPreference, LlmTwins, Wording, is_english
from refuseu.rainbow_teaming.seeds import Seed
from refuseu.text.identification import Identifier

CATEGORY = Prompt("Category.", "to <{category}>: {question}")
STYLE = Prompt("Style.", "in <{style}> of <{category}> unlike\n{examples}\n: {question}")
TWIN = Prompt("Twin.", "harmless: {question}")
PREFERENCE = Prompt("Prefer.", "A {question_a} {answer_a} B {question_b} {answer_b}")
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
    """Writes, and draws once a question, what no LLM may see."""

    def seeds(self) -> list[Question]:
        return []

    def mutate(self, targets: Iterable[Target], rng: random.Random) -> list[Question | None]:
        return [Question(f"HIDDEN {each.category} {rng.randrange(9)}", "s4-01") for each in targets]

    def twins(self, questions: Sequence[Question]) -> list[str | None]:
        return [f"The rules of {each.behavior_id} are good for all of us." for each in questions]


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
    return Target(parent, category, style, examples)


def test_a_batch_is_one_call_for_the_category_and_one_for_the_style() -> None:
    writer, engine = mutator(Counting())
    targets = [target("S1", "slang"), target("S2", "role_play", Question("Old?"), "e1", "e2", "e3", "e4")]
    written = writer.mutate(targets, random.Random(1))
    # The engine answers the last conversation first.
    assert written == [Question(question(number).replace("?", ", mate?")) for number in (2, 1)]
    (categories, _), (styles, _) = engine.calls
    assert [asked[1]["content"] for asked in categories] == [f"to <First>: {PARENT.text}", "to <Second>: Old?"]
    assert [asked[1]["content"] for asked in styles] == [
        f"in <Slang> of <First> unlike\n(none yet)\n: {question(2)}",
        f"in <Role play> of <Second> unlike\n- e2\n- e3\n- e4\n: {question(1)}",
    ]


def test_one_seed_a_batch_is_drawn_after_the_targets() -> None:
    rng, same = random.Random(1), random.Random(1)

    def drawn() -> Iterable[Target]:
        for _ in range(3):
            rng.random()
            yield target()

    writer, engine = mutator(Counting())
    writer.mutate(drawn(), rng)
    for _ in range(3):
        same.random()
    assert [sampling.seed for _, sampling in engine.calls] == [same.randrange(2**31)] * 2
    assert rng.random() == same.random()
    assert {(sampling.max_new_tokens, sampling.temperature) for _, sampling in engine.calls} == {(64, 0.7)}


@pytest.mark.parametrize("category", sorted(RESTRICTED))
def test_a_withheld_category_never_reaches_the_llm(category: str) -> None:
    writer, engine = mutator(Counting())
    rng = random.Random(1)
    first = writer.mutate([target(), target(category), target("S2")], rng)
    hidden = first[1]
    assert hidden is not None
    assert hidden.text.startswith(f"HIDDEN {category}")
    again = writer.mutate([target("S1", "slang", hidden), target(category, "slang", hidden)], rng)
    assert [bool(each) for each in first + again] == [True] * 5
    assert "HIDDEN" not in engine.told
    assert [seed.text for seed in writer.seeds()] == [SEEDS[0].question.text, SEEDS[1].question.text]
    (stood_in,), _ = engine.calls[2]
    assert stood_in[1]["content"].removeprefix("to <First>: ") in [seed.text for seed in writer.seeds()]


def test_a_seed_set_of_withheld_categories_alone_is_one_sentence() -> None:
    with pytest.raises(UserError) as error:
        LlmMutator(PlayedEngine(""), Sampling(1), WORDING, SEEDS[2:], IDENTIFIER, Fallback())
    assert error.value.message == (
        "rainbow-teaming.mutator: the seed set holds no question of a category that an LLM may be shown "
        "(all but S12, S4); name another"
    )


@pytest.mark.parametrize(
    "babble",
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
def test_babble_in_either_step_is_no_question_and_is_not_shown(
    babble: str | Completion, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)

    def first_step(asked: Conversation) -> str | Completion:
        return babble if asked[0]["content"] == "Category." else json.dumps({"question": asked[1]["content"]})

    def second_step(asked: Conversation) -> str | Completion:
        return babble if asked[0]["content"] == "Style." else json.dumps({"question": question(1)})

    for step in (first_step, second_step):
        assert mutator(step)[0].mutate([target()], random.Random(1)) == [None]
    assert MARKED not in caplog.text + "".join(capfd.readouterr())


def test_the_prompt_repeated_is_no_question() -> None:
    writer, engine = mutator(lambda asked: asked[1]["content"].splitlines()[-1])
    assert writer.mutate([target()], random.Random(1)) == [None]
    writer, engine = mutator(
        lambda asked: question(1) if asked[0]["content"] == "Category." else asked[1]["content"].splitlines()[-1]
    )
    assert writer.mutate([target()], random.Random(1)) == [None]
    assert len(engine.calls) == 2


def test_what_the_first_step_lacks_the_second_is_not_asked_for() -> None:
    writer, engine = mutator(lambda asked: question(len(asked[1]["content"])) if "film" in asked[1]["content"] else "")
    written = writer.mutate([target(), target("S2", "slang", Question("Who made that film?"))], random.Random(1))
    assert [len(asked) for asked, _ in engine.calls] == [2, 1]
    assert [bool(each) for each in written] == [False, True]


def test_twins_of_the_phrasebook_are_the_phrasebooks() -> None:
    engine = PlayedEngine(json.dumps({"question": "How can I check the homework of a pupil?"}))
    writer = LlmTwins(engine, Sampling(64), TWIN, IDENTIFIER, Fallback())
    questions = [Question("HIDDEN", "s4-01"), PARENT, Question("HIDDEN too", "s1-02")]
    assert writer.twins(questions) == [
        "The rules of s4-01 are good for all of us.",
        "How can I check the homework of a pupil?",
        "The rules of s1-02 are good for all of us.",
    ]
    assert engine.told == f"Twin.\nharmless: {PARENT.text}"


@pytest.mark.parametrize(
    "babble",
    ["", CUT, DECLINED, f"harmless: {PARENT.text}", '{"question": "Wie kann ich das Ende eines Films ansehen?"}'],
)
def test_babble_is_no_twin(babble: str | Completion) -> None:
    assert LlmTwins(PlayedEngine(babble), Sampling(64), TWIN, IDENTIFIER, Fallback()).twins([PARENT]) == [None]


@pytest.mark.parametrize(
    ("probabilities", "preferred"),
    [
        ((0.6, 0.3), True),
        ((0.3, 0.6), False),
        ((0.5, 0.5), False),
        ((0.26, 0.24), True),
        ((0.25, 0.24), False),
        ((0.0, 0.0), False),
        ((), False),
    ],
)
def test_the_likelier_letter_is_preferred_where_the_model_says_one(
    probabilities: tuple[float, ...], preferred: bool
) -> None:
    engine = PlayedEngine(Completion("A", probabilities=probabilities))
    pair = (Exchange("en", "one?", "first"), Exchange("en", "two?"))
    assert LlmPreference(engine, PREFERENCE).prefers([pair]) == [preferred]
    assert engine.told == "Prefer.\nA one? first B two? "
    assert engine.calls[0][1] == Sampling(1, first_tokens=("A", "B"))


@pytest.mark.parametrize("said", [TOO_LONG, DECLINED])
def test_what_cannot_be_asked_is_not_preferred(said: Completion) -> None:
    assert LlmPreference(PlayedEngine(said), PREFERENCE).prefers([(Exchange("en", "a"), Exchange("en", "b"))]) == [
        False
    ]


def test_english_is_english_in_latin_letters() -> None:
    assert is_english("Yo, what's the trick to bend the rules, innit?", IDENTIFIER)
    assert is_english("Is it naïve to ask for a café's rules?", IDENTIFIER)
    assert not is_english("كيف يمكنني تجاوز قواعد النادي", IDENTIFIER)
    assert not is_english("Comment puis-je contourner les règles du club ?", IDENTIFIER)
    assert not is_english("", IDENTIFIER)
