"""How many tokens the texts of a run have: words, times tokens a word in each language."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from refuseu.base.settings import TrainedBase
from refuseu.commands.parameters import Parameters
from refuseu.experiment import PIVOT
from refuseu.phrasebook.phrasebook import Phrasebook
from refuseu.rainbow_teaming.settings import PhrasebookRole
from refuseu.respond.settings import ByPhrasebook

TOKENS_PER_WORD = {
    "en": (1.2, 1.6),
    "de": (1.7, 1.9),
    "fr": (1.6, 1.8),
    "it": (1.8, 1.8),
    "es": (1.6, 1.6),
    "pt": (1.6, 1.6),
    "pl": (2.5, 2.2),
    "cs": (2.1, 1.9),
    "sk": (2.5, 1.9),
    "sl": (2.3, 1.9),
    "lt": (3.3, 2.2),
    "lv": (3.1, 2.1),
}
"""With Llama 3's tokenizer, and with the miniature's own; both measured on the phrasebook's questions and answers.

Models of other families are counted as if they had Llama 3's.
"""
OTHER_LANGUAGE = (3.0, 2.0)
"""Of a language that was not measured."""
QUESTION_WORDS, REFUSAL_WORDS, ANSWER_WORDS = 35, 100, 250
"""English words, assumed, of what an LLM writes: a question, a refusal, an answer.

Other languages have as many as the phrasebook's questions tell.
"""


@dataclass(frozen=True)
class Lengths:
    """Mean tokens of a text, by language."""

    question: dict[str, float]
    refusal: dict[str, float]
    answer: dict[str, float]
    """Of the base, before it is cut at ``max_new_tokens``."""

    def mean(self, texts: dict[str, float], most: float = float("inf")) -> float:
        """Mean over the languages of texts that are cut at ``most`` tokens."""
        return fmean(min(tokens, most) for tokens in texts.values())


def lengths_of(parameters: Parameters, books: dict[str, Phrasebook]) -> Lengths:
    """The phrasebook's own lengths where it writes a text, the assumed ones where a model does."""
    mine = isinstance(parameters.base, TrainedBase)
    by_word = {lang: tokens_per_word(lang, parameters) for lang in books}
    scale = {lang: question_words(book) / question_words(books[PIVOT]) for lang, book in books.items()}

    def tokens(by_book: bool, words: dict[str, float], assumed: int) -> dict[str, float]:
        return {lang: by_word[lang] * (words[lang] if by_book else assumed * scale[lang]) for lang in books}

    questions = {lang: question_words(book) for lang, book in books.items()}
    refusals = {lang: mean_words(book.refusals) for lang, book in books.items()}
    answers = {lang: mean_words(book.compliances.texts) for lang, book in books.items()}
    return Lengths(
        tokens(isinstance(parameters.rainbow_teaming.mutator, PhrasebookRole), questions, QUESTION_WORDS),
        tokens(isinstance(parameters.respond.refuser, ByPhrasebook), refusals, REFUSAL_WORDS),
        tokens(mine, answers, ANSWER_WORDS),
    )


def tokens_per_word(lang: str, parameters: Parameters) -> float:
    """Mean tokens of a word in the tokenizer of the profile's base."""
    return TOKENS_PER_WORD.get(lang, OTHER_LANGUAGE)[isinstance(parameters.base, TrainedBase)]


def question_words(book: Phrasebook) -> float:
    """Mean words of a question: the wording of an attack style with an ask in its slot."""
    wordings = [template for templates in book.styles.values() for template in templates]
    return mean_words(wordings) - 1 + mean_words(book.named_behaviors)


def mean_words(texts: Iterable[str]) -> float:
    """Mean number of words, which blanks part."""
    return fmean(len(text.split()) for text in texts)
