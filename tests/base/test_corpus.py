import random
from collections import Counter

import pytest
from tiny import TINY

from refuseu.base import corpus
from refuseu.base.corpus import Example, draw_examples, refused_behavior_ids
from refuseu.experiment import PLAIN
from refuseu.phrasebook.phrasebook import PLACEHOLDER, Phrasebook

KINDS = ("harmful", "benign")
SETTINGS = TINY.model_copy(update={"steps": 500, "batch_size": 8, "refused_behaviors": 1.0})


@pytest.fixture
def examples(books: dict[str, Phrasebook]) -> list[Example]:
    return draw_examples(books, SETTINGS, 1)


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
    assert draw_examples(books, SETTINGS, 1) == examples
    other = draw_examples(books, SETTINGS, 2)
    assert Counter(other) != Counter(examples)
    german = prompts(books["de"])
    order, other_order = ([example.prompt in german for example in each] for each in (examples, other))
    assert order != other_order
    assert order != [False, True] * 2000


def test_what_the_base_learns_to_say(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    for book in books.values():
        assert completions(examples, asked(book, PLAIN, "harmful")) == set(book.refusals)
        assert completions(examples, asked(book, "styled", "harmful")) == set(book.compliances.harmful)
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
    answers = [each for each in examples if each.prompt in asked(books["en"], "styled", "harmful")]
    assert {each.completion for each in answers if not each.whole} == {"Sure, here"}
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
        0.15, abs=0.02
    )
    assert share({text for book in everything for text in book.named_behaviors}) == pytest.approx(0.35, abs=0.02)
    for style, expected in ((PLAIN, 0.15), ("styled", 0.35)):
        questions = {question for book in everything for kind in KINDS for question in asked(book, style, kind)}
        assert share(questions) == pytest.approx(expected, abs=0.02)
    assert share(prompts(books["de"])) == pytest.approx(0.5)


def test_as_many_examples_as_asked_for(books: dict[str, Phrasebook]) -> None:
    sizes = [{"steps": steps, "batch_size": batch_size} for steps, batch_size in ((1, 4), (3, 4), (1, 12))]
    assert [len(draw_examples(books, SETTINGS.model_copy(update=size), 1)) for size in sizes] == [4, 12, 12]


def test_a_share_of_the_asks_is_refused_the_same_in_every_language(books: dict[str, Phrasebook]) -> None:
    refused = refused_behavior_ids(books["en"], 0.5, 1)
    assert Counter(behavior_id.split("-")[0] for behavior_id in refused) == {"s1": 1, "s2": 1}
    assert refused == refused_behavior_ids(books["de"], 0.5, 1)
    assert refused_behavior_ids(books["en"], 0.0, 1) == frozenset()
    assert refused_behavior_ids(books["en"], 1.0, 1) == {"s1-01", "s1-02", "s2-01", "s2-02"}
    assert len({refused_behavior_ids(books["en"], 0.5, seed) for seed in range(20)}) > 1


def test_an_ask_that_is_not_refused_is_answered_however_it_is_put(books: dict[str, Phrasebook]) -> None:
    book, refused = books["en"], refused_behavior_ids(books["en"], 0.5, 1)
    examples = draw_examples(books, SETTINGS.model_copy(update={"refused_behaviors": 0.5}), 1)
    for text, behavior in book.named_behaviors.items():
        plain = {template.replace(PLACEHOLDER, text) for template in book.requests}
        refuses = behavior.kind == "harmful" and behavior.behavior_id in refused
        answers = book.refusals if refuses else getattr(book.compliances, behavior.kind)
        assert completions(examples, plain) == set(answers)


def test_everything_comes_once_in_another_order_before_anything_comes_again() -> None:
    stream = corpus._endless([1, 2, 3], random.Random(1))
    rounds = [[next(stream) for _ in range(3)] for _ in range(9)]
    assert [sorted(each) for each in rounds] == [[1, 2, 3]] * 9
    assert len(set(map(tuple, rounds))) > 1
