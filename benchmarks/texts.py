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
ANSWERS = {"chosen": 600, "rejected": 1500}
"""Characters of the two answers of a pair."""
ANSWER_TEXTS = 20
"""Texts that an answer is cut from."""
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


def pairs(count: int, languages: list[str], styles: list[str], batch: int = 4_000) -> Iterator["pd.DataFrame"]:
    """Preference pairs of ``count`` questions, every second the benign twin of the one before, in every language.

    They come by their ids, ``batch`` questions at a time. A language is the same made-up words in other letters. Answers are
    as long as ``ANSWERS`` says. The last two words of a text say what judges and identifier should find: a kind or reply, and
    the language.
    """
    import pandas as pd

    english = list(questions(count))
    letters = {
        lang: str.maketrans("bcdfghjklmnp", "bcdfghjklmnp"[place:] + "bcdfghjklmnp"[:place])
        for place, lang in enumerate(languages)
    }

    def row(number: int, lang: str) -> dict[str, str]:
        kind, group = ("harmful", "benign")[number % 2], number // 2
        replies = ("refusal", "compliance") if kind == "harmful" else ("compliance", "refusal")
        said = " ".join(english[number - ANSWER_TEXTS : number] or english[:ANSWER_TEXTS]).translate(letters[lang])
        return {
            "question_id": f"q{number:07}",
            "kind": kind,
            "group_id": f"s{group:07}",
            "category": f"S{group % 14 + 1}",
            "style": styles[group // 14 % len(styles)],
            "behavior_id": f"behavior-{group % 1400}",
            "lang": lang,
            "text": f"{english[number].translate(letters[lang])} {kind} {lang}",
            **{
                name: f"{said[:length]} {reply} {lang}"
                for (name, length), reply in zip(ANSWERS.items(), replies, strict=True)
            },
        }

    for start in range(0, count, batch):
        numbers = range(start, min(start + batch, count))
        yield pd.DataFrame([row(number, lang) for number in numbers for lang in sorted(languages)])
