"""Which language an answer is in, as a whole and line by line.

The identifier names the language of the longest part of a text, so an English opening hides in an answer that goes on in
another language. Therefore each line is identified by itself too, for the line-level pass rate of Marchisio et al. (2024,
"Understanding and Mitigating Language Confusion in LLMs", ``compute_metrics.py`` of github.com/for-ai/language-confusion):
an answer passes when none of its lines of at least five words is in another language; shorter lines are skipped, and so is
an answer that has no other. Here a word is one with a letter, since numbers are in no language.
"""

from dataclasses import dataclass
from functools import cache

from markdown_it import MarkdownIt

from refuseu.text.identification import Identified, Identifier

MIN_WORDS = 5
"""A line or answer of fewer words is not identified. The identifier is wrong about 15% of the phrasebook's pieces of two words,
4.8% of three, 1.9% of four, 0.9% of five and 0.5% of six; about public test sentences, 9.1% of three words and 3.1% of five."""


@dataclass(frozen=True)
class AnswerLanguage:
    """What is known of an answer's language."""

    whole: Identified
    """The language of all its prose. Both codes are empty where that has fewer than ``MIN_WORDS`` words: it is undecided."""
    lines: tuple[Identified, ...]
    """The languages of the lines that have as many words."""

    def right(self, lang: str) -> int:
        """How many of ``lines`` are in ``lang``, among the project's languages."""
        return sum(line.restricted == lang for line in self.lines)

    def right_free(self, lang: str) -> int:
        """How many of ``lines`` are in ``lang``, among all languages of the identifier."""
        return sum(line.free == lang for line in self.lines)


def language_of(answer: str, identifier: Identifier) -> AnswerLanguage:
    """Which language ``answer`` is in, code and Markdown's marks left out."""
    lines = prose(answer)
    whole = "\n".join(lines)
    return AnswerLanguage(
        identifier.identify(whole) if _is_long_enough(whole) else Identified("", ""),
        tuple(identifier.identify(line) for line in lines if _is_long_enough(line)),
    )


def _is_long_enough(text: str) -> bool:
    return sum(any(map(str.isalpha, word)) for word in text.split()) >= MIN_WORDS


def prose(answer: str) -> list[str]:
    """The lines of an answer as a reader sees them, without code and without Markdown's marks, none of them empty."""
    lines = [""]
    for block in _markdown().parse(answer):
        for part in block.children or ():
            match part.type:
                case "text":
                    lines[-1] += part.content
                case "softbreak" | "hardbreak":
                    lines.append("")
        lines.append("")
    return [stripped for line in lines if (stripped := line.strip())]


@cache
def _markdown() -> MarkdownIt:
    # Text that is merely indented is code to Markdown, but seldom to a model; and no answer is to lose its words in a tag.
    return MarkdownIt("commonmark", {"html": False}).disable("code")
