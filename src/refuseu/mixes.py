"""The section ``train``: the training mixes."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Section
from refuseu.experiment import LanguageCode, Languages

CUSTOM = "custom"
"""The config that ``train.languages`` is for."""
BenignShare = Annotated[float, Field(ge=0, le=0.5)]
"""A harmful question has one benign twin, so more than half cannot be reached."""


class TrainConfig(Section):
    """One training mix."""

    languages: Literal["all"] | Languages | None = None
    """``all``, a list, or nothing for ``train.languages``."""
    without: Annotated[list[LanguageCode], Field(default_factory=list)]
    """Languages taken out again."""
    benign_share: BenignShare | None = None
    """In place of ``train.benign_share``."""


class Train(Section):
    """All training mixes."""

    languages: Languages
    """What the config ``custom`` trains on."""
    benign_share: BenignShare
    """Share of benign pairs (chosen: an answer, rejected: a refusal) in every mix; the paper used none.

    Where ``rainbow-teaming.twin`` is none there are none either, whatever stands here.
    """
    configs: Annotated[dict[str, TrainConfig], Field(min_length=1)]
    """The mixes by name; each trains a model of its own."""

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
        """The share (0-1) of benign pairs in the mix of config ``name``."""
        own = self.configs[name].benign_share
        return self.benign_share if own is None else own
