"""The section ``train`` of the parameters, which defines the training mixes and the models that are trained on them."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, Field

from refuseu.core.sections import Section, Seed, distinct
from refuseu.experiment import LanguageCode, Languages

CUSTOM = "custom"
"""The config that trains on ``train.languages``."""
SINGLE = "only-"
"""How the name of a mix of one language of ``train.single`` begins; such models have a table and a heatmap of their own."""
BenignShare = Annotated[float, Field(ge=0, le=0.5)]
"""A share of at most one half, since each harmful question has one benign twin."""


class Seeded(NamedTuple):
    """One model: its name in tables, which those of all seeds share, and its seed, 0 for one that was not trained here."""

    name: str
    seed: int = 0

    @property
    def folder(self) -> str:
        """Its folder below ``models/dpo``, and the name of its files below ``metrics/dpo`` and ``plots/dpo``."""
        return f"{self.name}/{self.seed}"

    @property
    def stage(self) -> str:
        """The stage of ``dvc.yaml`` that trains it."""
        if self.name.startswith(SINGLE):
            return f"dpo-single@{self.name.removeprefix(SINGLE)}"
        return f"dpo@{self.name}-{self.seed}"


class TrainConfig(Section):
    """One training mix."""

    languages: Literal["all"] | Languages | None = None
    """``all``, or a list. Where it is left out, ``train.languages`` is taken."""
    without: Annotated[list[LanguageCode], Field(default_factory=list)]
    """Languages that are removed from them."""
    benign_share: BenignShare | None = None
    """Replaces ``train.benign_share`` for this mix."""


class Train(Section):
    """All training mixes of an experiment, and the seeds that models are trained with."""

    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(distinct)]
    """What a training draws with: a model of each config is trained with each. The mixes are the same for all."""
    languages: Languages
    """The languages that the config ``custom`` trains on."""
    benign_share: BenignShare
    """Share of benign pairs, in which an answer is chosen and a refusal is rejected, in every mix. The paper used none.

    Where ``rainbow-teaming.twin`` is ``none`` there are no benign pairs, whatever this share is.
    """
    configs: Annotated[dict[str, TrainConfig], Field(min_length=1)]
    """The mixes by name. Models are trained on each, one a seed."""
    single: Annotated[list[LanguageCode], AfterValidator(distinct)]
    """Languages that have a mix of their own, ``only-<language>``. A model is trained on each, with the first seed."""

    @property
    def mixes(self) -> dict[str, TrainConfig]:
        """All mixes by name: the configs, then those of a single language."""
        return self.configs | {f"{SINGLE}{code}": TrainConfig(languages=[code], without=[]) for code in self.single}

    @property
    def runs(self) -> list[Seeded]:
        """All models that are trained, in the order in which tables show them."""
        own = [Seeded(name, seed) for name in self.configs for seed in self.seeds]
        return own + [Seeded(f"{SINGLE}{code}", self.seeds[0]) for code in self.single]

    def languages_of(self, name: str, languages: list[str]) -> list[str]:
        """The languages that the mix ``name`` holds, in the order of ``languages``."""
        config = self.mixes[name]
        wanted = languages if config.languages == "all" else config.languages or self.languages
        return [code for code in languages if code in wanted and code not in config.without]

    def single_languages(self, languages: list[str]) -> dict[str, str]:
        """Mix to language, for the first mix of each language that holds it alone; ``custom`` does not count."""
        trained_on = {name: self.languages_of(name, languages) for name in reversed(self.mixes) if name != CUSTOM}
        config_of = {codes[0]: name for name, codes in trained_on.items() if len(codes) == 1}
        return {config_of[lang]: lang for lang in languages if lang in config_of}

    def benign_share_of(self, name: str) -> float:
        """The share (0-1) of benign pairs in the mix ``name``."""
        own = self.mixes[name].benign_share
        return self.benign_share if own is None else own
