"""What each model of a profile is asked in each stage."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.flow import Flow
from refuseu.commands.plan.lengths import TOKENS_PER_WORD, Lengths, mean_words, tokens_per_word
from refuseu.commands.plan.published import takes_published
from refuseu.commands.plan.shares import shares_of
from refuseu.engines.settings import BASE, ServedModel
from refuseu.eval.lm_eval import LmEvalKnowledge
from refuseu.eval.settings import ChatRating
from refuseu.experiment import PIVOT, RESTRICTED
from refuseu.judges.settings import GuardSettings, JudgeSettings
from refuseu.phrasebook.phrasebook import OPTIONS, Phrasebook
from refuseu.rainbow_teaming.settings import LlmMutator, LlmRole
from refuseu.respond.settings import LlmRefuser
from refuseu.translate.settings import LlmTranslator, Seq2SeqTranslator

TEMPLATE = 10
"""Tokens of a chat template around a conversation of two turns, about."""
JSON = 10
"""Tokens of the JSON object around a text that an LLM writes, about."""
EXAMPLES = 3
"""Questions that the style step is shown."""
RATING = 15
"""Tokens of a rating of an answer, about."""
TESTS = {"belebele": (1, 900, 140.0), "global-mmlu": (57, 246, 80.0)}
"""Tasks of a language, questions of a task (on average), and words of a question with its options, about."""
OTHER_TEST = (1, 1000, 80.0)
"""Of a test that is not known here."""
JUDGED = 3
"""Items of a pair: question, chosen, rejected."""


@dataclass(frozen=True)
class Ask:
    """Rows that one model is asked in one stage."""

    stage: str
    model: str
    """One of the profile's ``models``."""
    rows: int
    each_in: float
    """Mean tokens of a row, as it is put to the model."""
    each_out: float
    """Mean tokens that the model writes."""

    @property
    def tokens_in(self) -> int:
        return round(self.rows * self.each_in)

    @property
    def tokens_out(self) -> int:
        return round(self.rows * self.each_out)


@dataclass(frozen=True)
class Asks:
    """All that a run asks, with an empty row store; rows that repeat are counted each time."""

    parameters: Parameters
    flow: Flow
    lengths: Lengths
    books: dict[str, Phrasebook]
    told: Callable[[str], str]
    """What stands in a file of ``data/prompts``, by its name."""

    def all(self) -> list[Ask]:
        """Stage by stage, in the order of the pipeline."""
        return [*self.search(), *self.translate(), *self.respond(), *self.label(), *self.eval()]

    def search(self) -> Iterator[Ask]:
        """The stage ``rainbow-teaming``; nobody is asked where the questions are a published set's."""
        if takes_published(self.parameters):
            return
        part, flow, question = self.parameters.rainbow_teaming, self.flow, self.lengths.question[PIVOT]
        answer = min(self.lengths.answer[PIVOT], part.max_new_tokens)
        ask = partial(Ask, "rainbow-teaming")
        yield ask(BASE, flow.candidates, question + TEMPLATE, answer)
        if isinstance(part.mutator, LlmMutator):
            shown, written = round(flow.candidates * self._shown), question + JSON
            yield ask(part.mutator.model, shown, self._prompt("category") + question, written)
            yield ask(part.mutator.model, shown, self._prompt("style") + (1 + EXAMPLES) * question, written)
        if isinstance(part.scorer, GuardSettings):
            yield ask(part.scorer.model, flow.candidates, part.scorer.prompt_tokens + question + answer, 1)
        if isinstance(part.preference, LlmRole):
            both = 2 * (question + answer)
            yield ask(part.preference.model, 2 * flow.contests, self._prompt("preference") + both, 1)
        if isinstance(part.twin, LlmRole):
            yield ask(
                part.twin.model,
                round(flow.questions * self._shown),
                self._prompt("twin") + question,
                question + JSON,
            )

    def translate(self) -> Iterator[Ask]:
        """There and back, for each language but English."""
        part = self.parameters.translate.translator
        if isinstance(part, LlmTranslator | Seq2SeqTranslator):
            there = self.flow.to_translate * (self.flow.languages - 1) / self.flow.languages
            question = self.lengths.mean(self.lengths.question)
            llm = isinstance(part, LlmTranslator)
            told, around = (self._prompt("translation"), JSON) if llm else (0.0, 0)
            yield Ask("translate", part.model, round(2 * there * self._shown), told + question, question + around)

    def respond(self) -> Iterator[Ask]:
        """The base answers every question, but where a published set has an answer, and the refuser too."""
        part, lengths = self.parameters.respond, self.lengths
        question = lengths.mean(lengths.question)
        answer = lengths.mean(lengths.answer, part.max_new_tokens)
        if part.rejected == "base":
            yield Ask("respond", BASE, self.flow.pairs, question + TEMPLATE, answer)
        if isinstance(part.refuser, LlmRefuser):
            refusal = lengths.mean(lengths.refusal, part.refuser.max_new_tokens)
            rows = round(self.flow.pairs * self._shown)
            yield Ask("respond", part.refuser.model, rows, self._prompt("refusal") + question, refusal)

    def label(self) -> Iterator[Ask]:
        """Every judge judges the question and both answers of each pair; so may the adjudicator, for agreement."""
        lengths, protocol = self.lengths, self.parameters.label
        answers = lengths.mean(lengths.refusal) + lengths.mean(lengths.answer, self.parameters.respond.max_new_tokens)
        exchange = lengths.mean(lengths.question) + answers / JUDGED
        adjudicators = [protocol.adjudicator] if protocol.adjudicator and protocol.adjudicator_labels else []
        for part in (*protocol.judges.values(), *adjudicators):
            yield from _judged("label", part, JUDGED * self.flow.pairs, exchange, share_asked=1 / JUDGED)

    def eval(self) -> Iterator[Ask]:
        """Every model answers the test questions and sits the test of knowledge; the panel judges the answers."""
        lengths, protocol, flow = self.lengths, self.parameters.label, self.flow
        question = lengths.mean(lengths.question)
        answer = lengths.mean(lengths.answer, self.parameters.eval.max_new_tokens)
        rows = flow.test_rows * flow.models
        for name, models in self._evaluated_models().items():
            yield Ask("eval", name, flow.test_rows * models, question + TEMPLATE, answer)
        yield from self._knowledge()
        yield from self._rating()
        for part in protocol.judges.values():
            yield from _judged("eval", part, rows, question + answer, share_asked=0)
        if protocol.adjudicator:
            disputed = round(rows * shares_of(self.parameters).disputed)
            yield from _judged("eval", protocol.adjudicator, disputed, question + answer, share_asked=0)

    def _evaluated_models(self) -> Counter[str]:
        """How many of the evaluated models each of the profile's ``models`` stands for; those that it does not name, the base."""
        others = (asked.model or BASE for asked in self.parameters.eval.models.values())
        return Counter({BASE: self.flow.models - self.flow.others}) + Counter(others)

    def _rating(self) -> Iterator[Ask]:
        """Some answers of every model in every language."""
        part, lengths = self.parameters.eval.rating, self.lengths
        if isinstance(part, ChatRating):
            rows = self.flow.models * sum(min(part.prompts_per_language, self.flow.test) for _ in self.books)
            answer = lengths.mean(lengths.answer, self.parameters.eval.max_new_tokens)
            told = self._prompt("fluency") + lengths.mean(lengths.question) + answer
            yield Ask("eval", part.model, rows, told, RATING)

    def _knowledge(self) -> Iterator[Ask]:
        """Likelihoods of every option of every question, by every model but served ones: nothing is written."""
        for questions, words in self._tests():
            tokens = words * fmean(tokens_per_word(lang, self.parameters) for lang in self.books)
            for name, models in self._evaluated_models().items():
                if not isinstance(self.parameters.models[name], ServedModel):
                    yield Ask("eval", name, questions * OPTIONS * models, tokens + TEMPLATE, 0)

    def _tests(self) -> Iterator[tuple[int, float]]:
        """Questions of each test in all languages, and words of a question with its options."""
        part = self.parameters.eval.knowledge
        if isinstance(part, LmEvalKnowledge):
            for test in part.tests:
                tasks, questions, words = TESTS.get(test.name, OTHER_TEST)
                of_a_task = min(test.limit or questions, questions)
                shown = words * (1 + test.fewshot)
                yield tasks * of_a_task * len(test.named(self.parameters.languages)), shown
        else:
            facts = [fact for book in self.books.values() for fact in book.facts.values()]
            yield len(facts), mean_words(fact.question for fact in facts) + mean_words(fact.answer for fact in facts)

    @property
    def _shown(self) -> float:
        """Share (0-1) of the questions that an LLM may see; of a published set no others are taken."""
        if takes_published(self.parameters):
            return 1.0
        return sum(each not in RESTRICTED for each in self.parameters.categories) / len(self.parameters.categories)

    def _prompt(self, name: str) -> float:
        return len(self.told(name).split()) * TOKENS_PER_WORD[PIVOT][0] + TEMPLATE


def _judged(stage: str, part: JudgeSettings, rows: int, exchange: float, share_asked: float) -> Iterator[Ask]:
    """What a judge is asked; one that is asked about questions alone takes the share ``share_asked`` of the rows."""
    for use in part.model_uses():
        asked = round(rows * share_asked) if use.only_questions else rows
        yield Ask(stage, use.model, asked, use.prompt_tokens + exchange, use.verdict_tokens)
