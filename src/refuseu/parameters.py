"""Every parameter as a typed, frozen object, a class a section; an unknown key is an error.

``params.yaml`` says what the experiment is, ``profiles/<profile>.yaml`` who runs it. Both have one section a stage, and
the two halves of a section are one object here.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from refuseu.documents import distinct
from refuseu.taxonomy import LANGUAGES, PIVOT, PLAIN

CUSTOM = "custom"
"""The config that ``train.languages`` is for."""


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _known_language(code: str) -> str:
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {code!r}; known are {', '.join(LANGUAGES)}")
    return code


Language = Annotated[str, AfterValidator(_known_language)]
Languages = Annotated[list[Language], Field(min_length=1), AfterValidator(distinct)]
Named = Annotated[dict[str, str], Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(gt=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
BenignShare = Annotated[float, Field(ge=0, le=0.5)]
"""A harmful question has one benign twin, so more than half cannot be reached."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""As large as numpy's may be."""
Judge = Literal["lexicon", "ngrams", "nearest"]
Quorum = Literal["all", "any"]


class Base(Section):
    """The un-aligned model that is trained from scratch at the miniature's scale."""

    vocabulary: Annotated[int, Field(ge=300)]
    """BPE tokens; 256 of them are the bytes."""
    hidden_size: Positive
    layers: Positive
    heads: Positive
    """Each an even share of ``hidden_size``: positions turn a head's numbers in pairs."""
    intermediate_size: Positive
    max_length: Positive
    """Tokens the model can attend to."""
    steps: Positive
    """Optimizer steps."""
    batch_size: Annotated[int, Field(gt=0, multiple_of=4)]
    """Examples a step, which go through the model in four parts."""
    learning_rate: Rate
    """Peak of the schedule."""
    refused_asks: Share
    """Share of the harmful asks that the base refuses when put plainly, so that it knows what a refusal is."""

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(f"hidden_size {self.hidden_size} must be a multiple of twice the heads, {2 * self.heads}")
        return self


class RainbowTeaming(Section):
    elites_per_cell: Positive
    """Questions kept in each cell (category x style) of the archive."""
    temperature: Rate
    """Of the softmax over cell fitness that draws the target cell; the lower, the more often weak cells are drawn."""
    max_bleu: Annotated[float, Field(ge=0, lt=1)]
    """A candidate closer than this to its parent or to an elite of its cell is dropped."""
    iterations: Positive
    mutations: Positive
    """Candidates an iteration."""
    batch_size: Positive
    """Conversations a forward pass."""
    max_new_tokens: Positive


class Translate(Section):
    min_chrf: Annotated[float, Field(ge=0, le=100)]
    """Least chrF (0-100) of the back-translation against the English question."""


class Respond(Section):
    batch_size: Positive
    """Conversations a forward pass."""
    max_new_tokens: Positive


class Label(Section):
    judges: Annotated[list[Judge], Field(min_length=2, max_length=2), AfterValidator(distinct)]
    """The panel."""
    adjudicator: Judge
    """Decides in evaluation where the two judges differ."""
    question: Quorum
    """A question is kept when all (any) of the judges call it harmful; a benign one when they call it safe."""
    chosen: Quorum
    """A chosen answer is kept when all (any) of the judges call it what it should be."""
    rejected: Quorum
    """A rejected answer is kept when all (any) of the judges call it what it should be."""


class Split(Section):
    test_per_cell: Positive
    """Test slots drawn from each cell (category x style)."""
    dev_per_category: Count
    """Dev slots drawn from each category, for choosing hyper-parameters."""
    unseen_test_asks: Count
    """Asks of each category that only the test part may hold, in whatever wording."""
    unseen_dev_asks: Count
    """Asks of each category that only the dev part may hold."""
    near_duplicate: Annotated[float, Field(gt=0, lt=1)]
    """Jaccard similarity of character 5-grams from which two questions are near-duplicates."""


class TrainConfig(Section):
    languages: Literal["all"] | Languages | None = None
    """``all``, a list, or nothing for ``train.languages``."""
    without: list[Language] = []
    """Languages taken out again."""
    benign_share: BenignShare | None = None
    """In place of ``train.benign_share``."""


class Train(Section):
    languages: Languages
    """What the config ``custom`` trains on."""
    benign_share: BenignShare
    """Share of benign pairs (chosen: an answer, rejected: a refusal) in every mix; the paper used none."""
    configs: Annotated[dict[str, TrainConfig], Field(min_length=1)]

    def languages_of(self, name: str, languages: list[str]) -> list[str]:
        """The languages that config ``name`` trains on, in the order of ``languages``."""
        config = self.configs[name]
        wanted = languages if config.languages == "all" else config.languages or self.languages
        return [code for code in languages if code in wanted and code not in config.without]

    def single_languages(self, languages: list[str]) -> dict[str, str]:
        """For each language the first config, ``custom`` apart, that trains on it alone: config to language."""
        trained_on = {name: self.languages_of(name, languages) for name in reversed(self.configs) if name != CUSTOM}
        config_of = {codes[0]: name for name, codes in trained_on.items() if len(codes) == 1}
        return {config_of[lang]: lang for lang in languages if lang in config_of}

    def benign_share_of(self, name: str) -> float:
        own = self.configs[name].benign_share
        return self.benign_share if own is None else own


class Dpo(Section):
    steps: Positive
    """Optimizer steps, the same for every config."""
    batch_size: Positive
    """Preference pairs a step."""
    learning_rate: Rate
    """Peak; linear decay to zero."""
    warmup: Annotated[float, Field(ge=0, lt=1)]
    """Share of the steps over which the rate rises."""
    beta: Rate
    """Strength of the pull towards the reference model."""
    sft_weight: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Weight of the likelihood of the chosen answer, beside the DPO loss of weight 1."""
    max_length: Positive
    """Tokens of prompt and answer together."""
    max_dropped: Share
    """Share of a language's rows that may be dropped or truncated before the stage fails."""


class Eval(Section):
    reference: str
    """The config every other one is compared with by paired tests."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """Of every interval."""
    max_unparsed: Share
    """Largest share of a language's harmful questions whose answers could not be judged; above it, ASR is a range."""
    workers: Positive
    """Processes that share the models out; a core each. No result depends on it."""
    batch_size: Positive
    """Conversations a forward pass."""
    max_new_tokens: Positive


class Report(Section):
    dpi: Annotated[int, Field(ge=20, le=1200)]
    """Of the figures."""


class Parameters(Section):
    """All of ``params.yaml`` and of one profile."""

    profile: str
    seed: Seed
    languages: Languages
    categories: Named
    styles: Named
    base: Base
    rainbow_teaming: Annotated[RainbowTeaming, Field(alias="rainbow-teaming")]
    translate: Translate
    respond: Respond
    label: Label
    split: Split
    train: Train
    dpo: Dpo
    eval: Eval
    report: Report

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if PIVOT not in self.languages:
            raise ValueError(f"languages: must hold {PIVOT}, which questions are translated from")
        if PLAIN in self.styles:
            raise ValueError(f"styles.{PLAIN}: is the name of asking without a style; take another")
        if self.eval.reference not in self.train.configs:
            raise ValueError(f"eval.reference: {self.eval.reference!r} is not one of train.configs")
        if self.label.adjudicator in self.label.judges:
            raise ValueError("label.adjudicator: must differ from both label.judges")
        for name, config in self.train.configs.items():
            if name == "base" or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                raise ValueError(
                    f"train.configs.{name}: a config's name is a folder's; use a-z, 0-9 and '-', but not 'base'"
                )
            wanted = [] if config.languages == "all" else config.languages or self.train.languages
            for code in [*wanted, *config.without]:
                if code not in self.languages:
                    way_out = "add it there, or take the config out"
                    raise ValueError(f"train.configs.{name}: {code!r} is not in languages; {way_out}")
            if not self.train.languages_of(name, self.languages):
                raise ValueError(f"train.configs.{name}: no language is left")
        return self
