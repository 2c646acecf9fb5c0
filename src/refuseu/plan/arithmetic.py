"""What a run asks of which model, by arithmetic: rows, tokens, and hours of one H100."""

from collections import Counter
from collections.abc import Iterator
from statistics import fmean
from typing import NamedTuple

from refuseu.engines.model import ServedModel
from refuseu.eval.lm_eval import LmEvalKnowledge
from refuseu.experiment import LANGUAGES, RESTRICTED
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters
from refuseu.plan.models import played, size_of, takes_published

BY_PHRASEBOOK, BY_MODELS, OWN = (17, 12, 12), (35, 100, 250), ("phrasebook", "trained")
"""Words of a question, a refusal and an answer of the base: of the phrasebook measured, of models assumed."""
TOLD, VERDICT, TEMPLATE = 300, 20, 10
"""Tokens of the instructions around the texts, of a rating, and of a chat template."""
TESTS = {"belebele": (1, 900, 140), "global-mmlu": (57, 246, 80)}
"""Tasks of a language in a test of knowledge, questions of a task, and words of a question with one of its options."""
OTHER_TEST, FACTS, OPTIONS = (1, 1000, 80), (113, 7), 4
PAPERS_SET = (2_889, 1_400)
"""Questions of train and test in each language of the paper's set."""
PEAK, READING, WRITING = 989e12, 0.4, 0.1
"""Operations a second of an H100 SXM in bfloat16 by its data sheet, and the shares of it while tokens are read and written."""
SHARES = ("candidates archived", "translations kept", "pairs kept", "questions complete", "answers disputed")
MINIATURE = (0.38, 1.0, 0.98, 0.7, 0.05), "counted in metrics/ of the miniature"
PAPER = (0.5, 0.9, 0.3, 0.043, 0.2), "assumed, to leave about the paper's 4,289 questions"
PUBLISHED = (1.0, 1.0, 1.0, 1.0, 0.2), "at most; the last one is assumed"
"""The share (0-1) of each of ``SHARES``, and where the numbers come from; complete: whole in all languages."""


class Run:
    """Rows and lengths of a run with an empty row store."""

    def __init__(self, p: Parameters) -> None:
        self.parameters, self.published = p, takes_published(p)
        search, languages, with_twins = p.rainbow_teaming, len(p.languages), p.rainbow_teaming.twin.kind != "none"
        self.shares = PUBLISHED if self.published else MINIATURE if search.mutator.kind == "phrasebook" else PAPER
        entering, translated, labelled, complete, self.disputed = self.shares[0]
        # No model writes for restricted categories; of a published set they are left out.
        self.written = fmean(each not in RESTRICTED for each in p.categories)
        train, test = (round(count * self.written) for count in PAPERS_SET)
        self.candidates = train + test if self.published else search.iterations * search.mutations
        entered = round(self.candidates * entering)
        cells = len(p.categories) * len(p.styles)
        self.questions = entered if self.published else min(entered, cells * search.elites_per_cell)
        self.contests = entered - self.questions
        self.translations = self.questions * languages * (1 + with_twins)
        self.pairs = round(self.translations * translated)
        self.labelled = round(self.pairs * labelled)
        whole = round(self.questions * complete)
        self.parts = whole * languages * (1 + with_twins)
        test = min(whole, cells * p.split.test_per_cell if p.split.assignment == "stratified" else test)
        train = max(0, whole - test - len(p.categories) * p.split.dev_per_category)
        self.trained = 0
        for name in p.train.configs:
            benign = p.train.benign_share_of(name) if with_twins else 0.0
            mix = train * len(p.train.languages_of(name, p.languages)) / (1 - benign)
            self.trained += p.dpo.steps_for(round(mix)) * p.dpo.batch_size
        self.models = 1 + len(p.train.configs) + len(p.eval.models)
        self.test = test * languages * (1 + with_twins)
        self.tokens_per_word = fmean(LANGUAGES[lang].tokens_per_word for lang in p.languages)
        kinds = enumerate((search.mutator.kind, p.respond.refuser.kind, p.base.kind))
        self.words = [(BY_PHRASEBOOK if kind in OWN else BY_MODELS)[place] for place, kind in kinds]
        self.question, self.refusal, self.answer = (self.tokens_per_word * words for words in self.words)


def requests(run: Run) -> Iterator[tuple[str, str, float, float, float]]:
    """Stage, model, rows that it is asked or trained on, and tokens of a row that it reads and writes."""
    p, question, refusal, seen = run.parameters, run.question, run.refusal, 1.0 if run.published else run.written
    limits = (p.rainbow_teaming.max_new_tokens, p.respond.max_new_tokens, p.eval.max_new_tokens)
    attacked, rejected, evaluated = (min(run.answer, limit) for limit in limits)
    there_and_back = 2 * run.translations * (1 - 1 / len(p.languages))
    rated = getattr(p.eval.rating, "prompts_per_language", 0) * len(p.languages) * run.models
    roles = {
        "rainbow-teaming.mutator": (2 * run.candidates * seen, TOLD + 2 * question, question),
        "rainbow-teaming.scorer": (run.candidates, TOLD + question + attacked, 1),
        "rainbow-teaming.preference": (2 * run.contests, TOLD + 2 * (question + attacked), 1),
        "rainbow-teaming.twin": (run.questions * seen, TOLD + question, question),
        "translate.translator": (there_and_back * seen, TOLD + question, question),
        "respond.refuser": (run.pairs * seen, TOLD + question, refusal),
        "eval.rating": (rated, TOLD + question + evaluated, VERDICT),
    }
    for key, model in played(p):
        yield from ((role.partition(".")[0], model, *roles[role]) for role in roles if key.startswith(role))
    panel = [(judge, 3, 1.0) for judge in p.label.judges.values()]
    panel += [(p.label.adjudicator, 3 * p.label.adjudicator_labels, run.disputed)] if p.label.adjudicator else []
    for judge, items, share in panel:
        for use in judge.model_uses():
            labelled, answers = (min(items, 1), 0) if use.only_questions else (items, run.test * run.models * share)
            for stage, rows, text in (
                ("label", labelled * run.pairs, (refusal + rejected) / 3),
                ("eval", answers, evaluated),
            ):
                yield stage, use.model, rows, use.prompt_tokens + question + text, use.verdict_tokens
    yield "rainbow-teaming", BASE, 0 if run.published else run.candidates, TEMPLATE + question, attacked
    yield "respond", BASE, run.pairs if p.respond.rejected == "base" else 0, TEMPLATE + question, rejected
    yield "dpo", BASE, run.trained, 2 * question + refusal + rejected, 0
    external = [each.model or BASE for each in p.eval.models.values()]
    for model, models in Counter([BASE] * (run.models - len(external)) + external).items():
        yield "eval", model, run.test * models, TEMPLATE + question, evaluated
        for options, words in [] if isinstance(p.models[model], ServedModel) else knowledge(p):
            yield "eval", model, options * models, TEMPLATE + words * run.tokens_per_word, 0


def knowledge(p: Parameters) -> list[tuple[int, int]]:
    """Options of the questions of each test in all languages, each asked by itself, and words of one with its question."""
    part = p.eval.knowledge
    if not isinstance(part, LmEvalKnowledge):
        return [(FACTS[0] * len(p.languages) * OPTIONS, FACTS[1])]
    known = [(test, TESTS.get(test.name, OTHER_TEST)) for test in part.tests]
    return [
        (OPTIONS * tasks * min(test.limit or asked, asked) * len(test.named(p.languages)), words * (1 + test.fewshot))
        for test, (tasks, asked, words) in known
    ]


class Line(NamedTuple):
    """What models are asked: rows, tokens that they read and write, hours of one H100 (0: unknown), and calls that cost money."""

    rows: float = 0.0
    read: float = 0.0
    written: float = 0.0
    hours: float = 0.0
    paid: float = 0.0


def lines_of(run: Run) -> dict[tuple[str, str], Line]:
    """What is asked by stage and model."""
    found: dict[tuple[str, str], Line] = {}
    for stage, name, rows, read, written in requests(run):
        model, size = run.parameters.models[name], size_of(run.parameters.models[name])
        # Operations a parameter and token: 2 of a model that is asked, 8 of a training with its reference model.
        operations = (8 if stage == "dpo" else 2) * read / READING + 2 * written / WRITING
        hours = rows * operations * size.parameters / PEAK / 3600 if size else 0.0
        paid = rows if isinstance(model, ServedModel) and model.key else 0.0
        line, before = Line(rows, rows * read, rows * written, hours, paid), found.get((stage, name), Line())
        found[stage, name] = Line(*map(sum, zip(line, before, strict=True)))
    return {key: line for key, line in found.items() if line.rows}
