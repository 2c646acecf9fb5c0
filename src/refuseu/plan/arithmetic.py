"""What a run asks of which model, by arithmetic: rows, tokens, operations, and the hours that they take."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import starmap
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, Self

from refuseu.base.settings import TrainedBase
from refuseu.engines.model import LocalModel, ServedModel
from refuseu.experiment import LANGUAGES, RESTRICTED
from refuseu.knowledge.settings import LmEvalKnowledge
from refuseu.llm.settings import BASE
from refuseu.parameters import Parameters, WholeMachine
from refuseu.plan.models import counted_as, model_of, played, size_in, takes_published, works_on
from refuseu.rainbow_teaming.generator import EXAMPLES, read_activities
from refuseu.rainbow_teaming.settings import Generator
from refuseu.sources.settings import ByPublished

ACTIVITIES = Path("data/prompts/activities.yaml")
BY_PHRASEBOOK, BY_MODELS, OWN = (17, 12, 12), (35, 100, 250), ("phrasebook", "trained")
"""Words of a question, a refusal and an answer of the base: of the phrasebook measured, of models assumed."""
TOLD, VERDICT, TEMPLATE = 300, 20, 10
"""Tokens of the instructions around the texts, of a rating, and of a chat template."""
OPTIONS = 4
TESTS = {"belebele": (1, 900, 1, 140), "global-mmlu": (57, 246, 1, 80)}
"""Tasks of a language in a test of knowledge, questions of a task, readings of a question, and words of one.

A letter is one token, and one reading of a question scores all its letters (``llm.tokens.passes``).
"""
OTHER_TEST, FACTS = (1, 1000, OPTIONS, 80), (113, 7)
PUBLISHED_SET = (2_748, 141, 1_400)
"""Questions of train, dev and test in each language of the published set; those of test have no category."""
PEAK, READING, WRITING = 989e12, 0.4, 0.1
"""Operations a second of an H100 SXM in bfloat16 by its data sheet, and the shares of it while tokens are read and written."""
OF_DPO, OF_TRAINING, OF_ANSWERS = 8, 6, 2
"""Operations a parameter and token: forward 2, backward 4, and 2 of DPO's reference model."""
SHARES = (
    *("candidates archived", "translations kept", "pairs kept", "questions complete", "questions trained on"),
    "answers disputed",
)
MINIATURE = (0.22, 1.0, 0.98, 0.67, 0.29, 0.05), "counted in metrics/ of the miniature"
SMOLLM2 = (0.44, 1.0, 0.98, 0.9, 0.5, 0.05), "the first of runs with SmolLM2, others assumed"
PAPER = (0.5, 0.9, 0.3, 0.043, 0.029, 0.2), "assumed, to leave about 4,289 as in the paper"
GENERATED = (0.9, 0.9, 0.053, 0.9 * 0.053, 0.9 * 0.053, 0.2), "assumed, to leave about 4,289 as in the paper"
"""A question stands in one language, so none is lost because another language lost its own."""
PUBLISHED = (1.0, 1.0, 1.0, 1.0, 1.0, 0.2), "at most; the last one is assumed"
"""The share (0-1) of each of ``SHARES``, and where the numbers come from; complete: whole in all languages."""


class Run:
    """Rows and lengths of a run with an empty row store."""

    def __init__(self, p: Parameters) -> None:
        self.parameters, self.published = p, takes_published(p)
        search, languages, with_twins = p.rainbow_teaming, len(p.languages), p.rainbow_teaming.twin.kind != "none"
        self.searched = not isinstance(search.mutator, ByPublished | Generator)
        self.shares = PUBLISHED if self.published else PAPER if self.searched else GENERATED
        if search.mutator.kind == "phrasebook":
            self.shares = MINIATURE if isinstance(p.base, TrainedBase) else SMOLLM2
        entering, translated, labelled, complete, trained_on, self.disputed = self.shares[0]
        # Of restricted categories nothing is taken from a published set, and the miniature's base alone answers, which the
        # phrasebook writes for.
        unrestricted = [each for each in p.categories if each not in RESTRICTED]
        searched = list(p.categories) if isinstance(p.base, TrainedBase) else unrestricted
        self.written = len(unrestricted) / len(searched) if searched else 0.0
        *pairs, test = PUBLISHED_SET
        train, dev = (round(count * len(unrestricted) / len(p.categories)) for count in pairs)
        # Where there is no search, the questions of a language.
        self.candidates = train + dev if self.published else search.iterations * search.mutations
        cells = len(searched) * len(p.styles)
        self.generated = 0.0
        """Questions in all languages that each of a generator's models is asked for."""
        if isinstance(search.mutator, Generator):
            activities = read_activities(ACTIVITIES, p.categories)
            self.candidates = sum(map(len, activities.values())) * len(p.styles) * search.mutator.questions_per_slot
            cells = len(activities) * len(p.styles)
            self.generated = self.candidates * languages / len(search.mutator.models)
        entered = round(self.candidates * entering)
        reserve = cells * search.reserved_per_cell if self.searched else 0
        self.questions = min(entered, cells * search.elites_per_cell) + reserve if self.searched else entered
        self.found = self.questions * (languages if self.generated else 1)
        self.contests = entered - (self.questions - reserve)
        self.translations = self.questions * languages * (1 + with_twins)
        self.pairs = round(self.translations * translated)
        self.labelled = round(self.pairs * labelled)
        whole = round(self.questions * complete)
        if p.split.assignment == "stratified":
            test = min(whole, cells * p.split.test_per_cell)
            left = max(0, whole - test - len(searched) * p.split.dev_per_category)
            train = min(left, round(self.questions * trained_on))
            self.parts = whole * languages * (1 + with_twins)
        else:
            self.parts = (whole + test) * languages
        self.pairs_of: dict[str, int] = {}
        """Pairs that the training of a model of each mix sees, one as often as there are epochs."""
        for name in p.train.mixes:
            benign = p.train.benign_share_of(name) if with_twins else 0.0
            mix = train * len(p.train.languages_of(name, p.languages)) / (1 - benign)
            self.pairs_of[name] = p.dpo.steps_for(round(mix)) * p.dpo.batch_size
        self.trained = sum(self.pairs_of[model.name] for model in p.train.runs)
        self.models = 1 + len(p.train.runs) + len(p.eval.models)
        self.test = test * languages * (1 + with_twins)
        self.tokens_per_word = fmean(LANGUAGES[lang].tokens_per_word for lang in p.languages)
        kinds = enumerate((search.mutator.kind, p.respond.refuser.kind, p.base.kind))
        self.words = [(BY_PHRASEBOOK if kind in OWN else BY_MODELS)[place] for place, kind in kinds]
        self.question, self.refusal, self.answer = (self.tokens_per_word * words for words in self.words)


def requests(run: Run) -> Iterator[tuple[str, str, float, float, float]]:
    """Stage, model, rows that it is asked or trained on, and tokens of a row that it reads and writes."""
    p, question, refusal, seen = run.parameters, run.question, run.refusal, run.written if run.searched else 1.0
    limits = (p.rainbow_teaming, p.respond.rejected, p.eval)
    attacked, rejected, evaluated = (min(run.answer, getattr(each, "max_new_tokens", run.answer)) for each in limits)
    there_and_back = 2 * run.translations * (1 - 1 / len(p.languages))
    prompts = getattr(p.eval.rating, "prompts_per_language", 0) * len(p.languages)
    mutations, shown = (2 * run.candidates * seen, 2) if run.searched else (run.generated, EXAMPLES)
    roles = {
        "rainbow-teaming.mutator": (mutations, TOLD + shown * question, question),
        "rainbow-teaming.scorer": (run.candidates, TOLD + question + attacked, 1),
        "rainbow-teaming.preference": (2 * run.contests, TOLD + 2 * (question + attacked), 1),
        "rainbow-teaming.twin": (run.questions * seen, TOLD + question, question),
        "translate.translator": (there_and_back * seen, TOLD + question, question),
        "respond.refuser": (run.pairs * seen, TOLD + question, refusal),
        "respond.rejected": (run.pairs * seen, TEMPLATE + question, rejected),
        "eval.rating": (prompts * run.models, TOLD + question + evaluated, VERDICT),
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
    if isinstance(p.base, TrainedBase):
        yield "base", BASE, p.base.steps * p.base.batch_size, question + run.answer, 0
    yield "rainbow-teaming", BASE, run.candidates if run.searched else 0, TEMPLATE + question, attacked
    yield "respond", BASE, run.pairs if p.respond.rejected.kind == "base" else 0, TEMPLATE + question, rejected
    yield "dpo", BASE, run.trained, 2 * question + refusal + rejected, 0
    external = list(starmap(counted_as, p.eval.models.items()))
    for model, models in Counter([BASE] * (run.models - len(external)) + external).items():
        yield "eval", model, (run.test + prompts) * models, TEMPLATE + question, evaluated
        for readings, words in [] if isinstance(model_of(p, model), ServedModel) else knowledge(p):
            yield "eval", model, readings * models, TEMPLATE + words * run.tokens_per_word, 0


def knowledge(p: Parameters) -> list[tuple[int, int]]:
    """Readings of the questions of each test in all languages, for all their options, and words of one."""
    part = p.eval.knowledge
    if not isinstance(part, LmEvalKnowledge):
        return [(FACTS[0] * len(p.languages) * OPTIONS, FACTS[1])]
    known = [(test, TESTS.get(test.name, OTHER_TEST)) for test in part.tests]
    return [
        (tasks * min(test.limit or asked, asked) * readings * len(test.named(p.languages)), words * (1 + test.fewshot))
        for test, (tasks, asked, readings, words) in known
    ]


class Speed(NamedTuple):
    """Operations a second of a device."""

    reading: float
    """While prompts are read, and while a model is trained."""
    writing: float
    """While answers are written, a token at a time."""


H100 = Speed(READING * PEAK, WRITING * PEAK)
CPU = Speed(100e9, 60e9)
"""Two CPU cores, as LoRA trainings (480 pairs in 10 minutes) and answers (230 tokens a second) of 135 M parameters were."""


class Line(NamedTuple):
    """What a model is asked, or several models together: rows, tokens, and operations."""

    rows: float = 0.0
    read: float = 0.0
    """Tokens of the prompts, and of what is trained on."""
    written: float = 0.0
    """Tokens of the answers."""
    reading: float = 0.0
    """Operations; 0 of a model whose size is not known."""
    writing: float = 0.0

    @classmethod
    def sum(cls, lines: Iterable[Self]) -> Self:
        return cls(*(sum(column) for column in zip(cls(), *lines, strict=True)))

    def times(self, share: float) -> "Line":
        return Line(*(share * value for value in self))

    def hours(self, speed: Speed) -> float:
        return (self.reading / speed.reading + self.writing / speed.writing) / 3600


Work = dict[tuple[str, str], Line]
"""What is asked, by stage and model: of a whole run, or of a part of it."""


def work_of(run: Run) -> Work:
    """What the whole run asks."""
    found: Work = {}
    for stage, name, rows, read, written in requests(run):
        size = size_in(run.parameters, name)
        parameters = size.parameters if size else 0
        factor = {"dpo": OF_DPO, "base": OF_TRAINING}.get(stage, OF_ANSWERS)
        operations = (rows * read * factor * parameters, rows * written * OF_ANSWERS * parameters)
        line = Line(rows, rows * read, rows * written, *operations)
        found[stage, name] = Line.sum([found.get((stage, name), Line()), line])
    return {key: line for key, line in found.items() if line.rows}


def work_of_models(run: Run) -> dict[str, Work]:
    """What a model of each mix adds, one for each of its seeds: its training, and its part of the evaluation.

    All models are asked and judged alike, so that each has an equal part.
    """
    whole, external = work_of(run), list(starmap(counted_as, run.parameters.eval.models.items()))
    answering = run.models - sum(name != BASE for name in external)
    evaluation = {
        (stage, name): line.times(1 / (answering if name == BASE else run.models))
        for (stage, name), line in whole.items()
        if stage == "eval" and (name == BASE or name not in external)
    }
    training = whole.get(("dpo", BASE), Line())
    return {
        name: {("dpo", BASE): training.times(pairs / run.trained if run.trained else 0.0), **evaluation}
        for name, pairs in run.pairs_of.items()
    }


def work_of_a_seed(run: Run) -> Work:
    """What one more seed adds: a model of every config, and none of a single language."""
    each, found = work_of_models(run), Work()
    for work in map(each.get, run.parameters.train.configs):
        found |= {key: Line.sum([found.get(key, Line()), line]) for key, line in (work or {}).items()}
    return found


def is_paid(parameters: Parameters, name: str) -> bool:
    """Whether calls of a model cost money: it is served, and a key is asked for."""
    model = model_of(parameters, name)
    return isinstance(model, ServedModel) and model.key is not None


def paid(run: Run, work: Work) -> dict[str, Line]:
    """The calls that cost money, by model."""
    names = dict.fromkeys(name for _, name in work if is_paid(run.parameters, name))
    return {each: Line.sum(line for (_, name), line in work.items() if name == each) for each in names}


def unknown(run: Run, work: Work) -> list[str]:
    """The models whose size is not known, so that their hours are counted nowhere; those that are paid by call have none."""
    asked = dict.fromkeys(name for _, name in work)
    return [name for name in asked if not size_in(run.parameters, name) and not is_paid(run.parameters, name)]


def gpus_at_work(run: Run, machine: WholeMachine, stage: str, name: str) -> int | None:
    """GPUs of a machine that work for a model in a stage; 0 where its CPUs do, ``None`` where the work is done elsewhere.

    Elsewhere is behind a server, or on a machine that runs the model's engine.
    """
    if stage in ("base", "dpo"):
        return machine.training.devices if machine.training.device == "cuda" else 0
    model = model_of(run.parameters, name)
    return works_on(model, machine) if isinstance(model, LocalModel) else None


def gpus_taken(run: Run, machine: WholeMachine, work: Work) -> int | None:
    """GPUs of a machine that work takes where it takes most; ``None`` where the machine does not run one of its models."""
    found = [
        gpus_at_work(run, machine, *key) for key in work if isinstance(model_of(run.parameters, key[1]), LocalModel)
    ]
    return None if None in found else max((gpus or 0 for gpus in found), default=0)


def hours_here(run: Run, machine: WholeMachine, work: Work) -> float | None:
    """Hours by the clock of a machine; ``None`` where nothing is asked here of a model whose size is known."""
    found = []
    for (stage, name), line in work.items():
        gpus = gpus_at_work(run, machine, stage, name)
        if gpus is not None and size_in(run.parameters, name):
            found.append(line.hours(H100) / gpus if gpus else line.hours(CPU))
    return sum(found) if found else None
