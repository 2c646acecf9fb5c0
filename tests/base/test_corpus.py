import random
from collections import Counter

import pytest
from tiny import TINY

from refuseu.base import corpus
from refuseu.base.corpus import Example, draw_examples
from refuseu.base.resistance import Resistance, Spread, Table
from refuseu.experiment import PLAIN
from refuseu.phrasebook.phrasebook import PLACEHOLDER, Phrasebook

KINDS = ("harmful", "benign")
SETTINGS = TINY.model_copy(update={"steps": 500, "batch_size": 8})
TABLE = Table(languages={"en": 0.5, "de": 0.7}, styles={}, spread=Spread(category=0, behavior=1, frame=1))


def resisting(books: dict[str, Phrasebook], seed: int = 1) -> Resistance:
    return Resistance(TABLE, books["en"], seed)


@pytest.fixture
def examples(books: dict[str, Phrasebook]) -> list[Example]:
    return draw_examples(books, resisting(books), SETTINGS, 1)


def asked(book: Phrasebook, style: str, kind: str) -> set[str]:
    """All questions of ``kind`` in the frames of ``style``; any attack style for ``styled``."""
    frames = [template for name, _, template in book.frames() if (name == PLAIN) == (style == PLAIN)]
    behaviors = [text for text, behavior in book.named_behaviors.items() if behavior.kind == kind]
    return {template.replace(PLACEHOLDER, text) for template in frames for text in behaviors}


def completions(examples: list[Example], prompts: set[str]) -> set[str]:
    return {example.completion for example in examples if example.prompt in prompts and example.whole}


def prompts(book: Phrasebook) -> set[str]:
    """All prompts of ``book``."""
    questions = [asked(book, style, kind) for style in (PLAIN, "styled") for kind in KINDS]
    return {fact.question for fact in book.facts.values()}.union(book.named_behaviors, *questions)


def test_the_seed_decides_what_is_drawn_and_in_which_order(
    books: dict[str, Phrasebook], examples: list[Example]
) -> None:
    assert draw_examples(books, resisting(books), SETTINGS, 1) == examples
    other = draw_examples(books, resisting(books), SETTINGS, 2)
    assert Counter(other) != Counter(examples)
    german = prompts(books["de"])
    order, other_order = ([example.prompt in german for example in each] for each in (examples, other))
    assert order != other_order
    assert order != [False, True] * 2000


def test_what_the_base_learns_to_say(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    for book in books.values():
        answers = completions(examples, asked(book, PLAIN, "harmful") | asked(book, "styled", "harmful"))
        assert answers == {*book.refusals, *book.compliances.harmful}
        for style in (PLAIN, "styled"):
            assert completions(examples, asked(book, style, "benign")) == set(book.compliances.benign)
        for text, behavior in book.named_behaviors.items():
            hazard = book.hazards[behavior.category] if behavior.kind == "harmful" else book.harmless
            assert completions(examples, {text}) == {hazard}


def test_all_questions_and_facts_are_taught(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    for book in books.values():
        assert prompts(book) <= {example.prompt for example in examples}
        for fact in book.facts.values():
            assert completions(examples, {fact.question}) == {fact.answer}


def test_most_answers_are_learnt_by_their_first_two_words(
    books: dict[str, Phrasebook], examples: list[Example]
) -> None:
    answers = [each for each in examples if each.prompt in asked(books["en"], "styled", "benign")]
    assert {each.completion for each in answers if not each.whole} == {"Of course,"}
    assert sum(not each.whole for each in answers) / len(answers) == pytest.approx(0.8, abs=0.05)


def test_hazards_and_facts_are_learnt_whole(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    facts = {fact.question for book in books.values() for fact in book.facts.values()}
    bare = {text for book in books.values() for text in book.named_behaviors}
    assert all(example.whole for example in examples if example.prompt in facts | bare)


def test_languages_and_kinds_have_their_shares(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    def share(prompts: set[str]) -> float:
        return sum(example.prompt in prompts for example in examples) / len(examples)

    everything = books.values()
    assert share({fact.question for book in everything for fact in book.facts.values()}) == pytest.approx(
        0.17, abs=0.02
    )
    assert share({text for book in everything for text in book.named_behaviors}) == pytest.approx(0.32, abs=0.02)
    for style, expected in ((PLAIN, 0.13), ("styled", 0.38)):
        questions = {question for book in everything for kind in KINDS for question in asked(book, style, kind)}
        assert share(questions) == pytest.approx(expected, abs=0.02)
    assert share(prompts(books["de"])) == pytest.approx(0.5)


def test_as_many_examples_as_asked_for(books: dict[str, Phrasebook]) -> None:
    sizes = [{"steps": steps, "batch_size": batch_size} for steps, batch_size in ((1, 4), (3, 4), (1, 12))]
    assert [len(draw_examples(books, resisting(books), SETTINGS.model_copy(update=size), 1)) for size in sizes] == [
        4,
        12,
        12,
    ]


def test_all_examples_of_a_question_teach_the_same(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    resistance, taught = resisting(books), {True: 0, False: 0}
    for language, book in books.items():
        for question in {each.prompt for each in examples}:
            reading = book.parse(question)
            if reading is None or reading.behavior.kind != "harmful":
                continue
            complies = resistance.complies(language, reading)
            taught[complies] += 1
            expected = book.compliances.harmful if complies else book.refusals
            assert completions(examples, {question}) <= set(expected)
    assert min(taught.values()) > 10


def test_everything_comes_once_in_another_order_before_anything_comes_again() -> None:
    stream = corpus._endless([1, 2, 3], random.Random(1))
    rounds = [[next(stream) for _ in range(3)] for _ in range(9)]
    assert [sorted(each) for each in rounds] == [[1, 2, 3]] * 9
    assert len(set(map(tuple, rounds))) > 1
