"""Texts for the benchmarks: made-up words as frequent as a language's, in frames as attack styles have them."""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvz" for vowel in "aeiou"]
WORDS = 20_000
FRAMES = 200
"""Openings of six words that texts share."""
ANSWERS = {"chosen": 150, "rejected": 450}
"""Characters of the two answers of a pair."""
NEAR = 0.1
"""Share of texts that are an earlier one with a word more."""


def questions(count: int, seed: int = 0) -> Iterator[str]:
    """``count`` texts of 14 or more words, about 110 characters each; a seed always gives the same."""
    rng = random.Random(seed)
    words = list(dict.fromkeys("".join(rng.choices(SYLLABLES, k=rng.randint(2, 5))) for _ in range(WORDS)))
    weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))  # Zipf's law with Mandelbrot's shift

    def some(length: int) -> list[str]:
        return rng.choices(words, cum_weights=weights, k=length)

    frames = [some(6) for _ in range(FRAMES)]
    texts: list[list[str]] = []
    for _ in range(count):
        again = texts and rng.random() < NEAR
        texts.append([*rng.choice(texts), *some(1)] if again else [*rng.choice(frames), *some(rng.randint(8, 11))])
        yield " ".join(texts[-1])


def pairs(count: int, languages: list[str]) -> "pd.DataFrame":
    """Preference pairs of ``count`` questions, every second the benign twin of the one before, in every language.

    A language is the same made-up words in other letters. Answers are as long as ``ANSWERS`` says.
    """
    import pandas as pd

    english = list(questions(count))
    rows = pd.DataFrame(
        {
            "question_id": [f"q{number:07}" for number in range(count)],
            "kind": ["harmful", "benign"] * (count // 2),
            "slot_id": [f"s{number // 2:07}" for number in range(count)],
            "category": [f"S{number // 2 % 14 + 1}" for number in range(count)],
            "style": [f"style-{number // 28 % 10}" for number in range(count)],
            "ask_id": [f"ask-{number // 2 % 1400}" for number in range(count)],
        }
    )
    tables = []
    for place, lang in enumerate(languages):
        other = str.maketrans("bcdfghjklmnp", "bcdfghjklmnp"[place:] + "bcdfghjklmnp"[:place])
        texts = [text.translate(other) for text in english]
        answers = {name: [(text * 10)[:length] for text in texts] for name, length in ANSWERS.items()}
        tables.append(rows.assign(lang=lang, text=texts, **answers))
    return pd.concat(tables, ignore_index=True)
