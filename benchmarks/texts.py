"""Texts for the benchmarks: invented words with the frequencies of a language, in frames like those of attack styles."""

import random
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

SYLLABLES = [consonant + vowel for consonant in "bcdfghjklmnprstvz" for vowel in "aeiou"]
WORDS = 20_000
FRAMES = 200
"""Number of openings of six words that texts share."""
ANSWERS = {"chosen": 600, "rejected": 1500}
"""Characters of the two answers of a pair."""
ANSWER_TEXTS = 20
"""Number of texts that an answer is cut from."""
NEAR = 0.1
"""Share of texts (0-1) that are an earlier text with one more word."""


def questions(count: int, seed: int = 0) -> Iterator[str]:
    """Yield ``count`` texts of 14 or more words, about 110 characters each; the same seed gives the same texts."""
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
    """Yield preference pairs of ``count`` questions in every language, ``batch`` questions at a time, in the order of their ids.

    Every second question is the benign twin of the one before. All languages have the same invented words in other letters.
    ``ANSWERS`` gives the length of the answers. The last two words of a text are what judges and identifier should find: its kind
    or reply, and its language.
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
        answer = " ".join(english[number - ANSWER_TEXTS : number] or english[:ANSWER_TEXTS]).translate(letters[lang])
        return {
            "question_id": f"q{number:07}",
            "kind": kind,
            "group_id": f"g{group:07}",
            "category": f"S{group % 14 + 1}",
            "style": styles[group // 14 % len(styles)],
            "behavior_id": f"behavior-{group % 1400}",
            "frame_id": f"{styles[group // 14 % len(styles)]}-{group % 3}",
            "lang": lang,
            "text": f"{english[number].translate(letters[lang])} {kind} {lang}",
            **{
                name: f"{answer[:length]} {reply} {lang}"
                for (name, length), reply in zip(ANSWERS.items(), replies, strict=True)
            },
        }

    for start in range(0, count, batch):
        numbers = range(start, min(start + batch, count))
        yield pd.DataFrame([row(number, lang) for number in numbers for lang in sorted(languages)])
