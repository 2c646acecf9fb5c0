import random
from collections import Counter

import pytest

from refuseu.phrasebook import SLOT, Phrasebook
from refuseu.taxonomy import PLAIN
from refuseu.training import corpus
from refuseu.training.corpus import Example, draw_examples, refused_ask_ids


@pytest.fixture
def examples(books: dict[str, Phrasebook]) -> list[Example]:
    return draw_examples(books, 4000, 1.0, 1)


def asked(book: Phrasebook, style: str, kind: str) -> set[str]:
    """All questions of ``kind`` in the frames of ``style``; any attack style for ``styled``."""
    frames = [template for name, _, template in book.frames() if (name == PLAIN) == (style == PLAIN)]
    asks = [text for text, ask in book.named_asks.items() if ask.kind == kind]
    return {template.replace(SLOT, text) for template in frames for text in asks}


def completions(examples: list[Example], prompts: set[str]) -> set[str]:
    return {example.completion for example in examples if example.prompt in prompts and example.whole}


def test_the_seed_decides(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    assert draw_examples(books, 4000, 1.0, 1) == examples
    assert draw_examples(books, 4000, 1.0, 2) != examples


def test_what_the_base_learns_to_say(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    for book in books.values():
        assert completions(examples, asked(book, PLAIN, "harmful")) == set(book.refusals)
        assert completions(examples, asked(book, "styled", "harmful")) == set(book.compliances.harmful)
        for style in (PLAIN, "styled"):
            assert completions(examples, asked(book, style, "benign")) == set(book.compliances.benign)
        hazards = {book.hazards[ask.category] for ask in book.named_asks.values()} | {book.harmless}
        assert completions(examples, set(book.named_asks)) == hazards


def test_most_answers_are_learnt_by_their_opening(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    book = books["en"]
    answers = [each for each in examples if each.prompt in asked(book, "styled", "harmful")]
    openings = {" ".join(text.split()[: corpus.OPENING_WORDS]) for text in book.compliances.harmful}
    assert {each.completion for each in answers if not each.whole} == openings
    assert sum(not each.whole for each in answers) / len(answers) == pytest.approx(corpus.OPENINGS, abs=0.05)


def test_languages_and_kinds_have_their_shares(books: dict[str, Phrasebook], examples: list[Example]) -> None:
    facts = {fact.question for book in books.values() for fact in book.facts.values()}
    bare = {text for book in books.values() for text in book.named_asks}
    assert sum(each.prompt in facts for each in examples) / 4000 == pytest.approx(corpus.SHARES["fact"], abs=0.03)
    assert sum(each.prompt in bare for each in examples) / 4000 == pytest.approx(corpus.SHARES["hazard"], abs=0.03)
    german = {each.prompt for each in examples} & set(books["de"].named_asks)
    assert german == set(books["de"].named_asks)


def test_a_share_of_the_asks_is_refused_the_same_in_every_language(books: dict[str, Phrasebook]) -> None:
    refused = refused_ask_ids(books["en"], 0.5, 1)
    assert Counter(ask_id.split("-")[0] for ask_id in refused) == {"s1": 1, "s2": 1}
    assert refused == refused_ask_ids(books["de"], 0.5, 1)
    assert refused_ask_ids(books["en"], 0.0, 1) == frozenset()


def test_everything_comes_once_before_anything_comes_again() -> None:
    stream = corpus._endless([1, 2, 3], random.Random(1))
    assert [sorted(next(stream) for _ in range(3)) for _ in range(4)] == [[1, 2, 3]] * 4
