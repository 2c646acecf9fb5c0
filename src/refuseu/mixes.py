"""The section ``train`` of the parameters, which defines the training mixes."""

from typing import Annotated, Literal

from pydantic import Field

from refuseu.core.sections import Section
from refuseu.experiment import LanguageCode, Languages

CUSTOM = "custom"
"""The config that trains on ``train.languages``."""
BenignShare = Annotated[float, Field(ge=0, le=0.5)]
"""A share of at most one half, since each harmful question has one benign twin."""


class TrainConfig(Section):
    """One training mix."""

    languages: Literal["all"] | Languages | None = None
    """``all``, or a list. Where it is left out, ``train.languages`` is taken."""
    without: Annotated[list[LanguageCode], Field(default_factory=list)]
    """Languages that are removed from them."""
    benign_share: BenignShare | None = None
    """Replaces ``train.benign_share`` for this mix."""


class Train(Section):
    """All training mixes of an experiment."""

    languages: Languages
    """The languages that the config ``custom`` trains on."""
    benign_share: BenignShare
    """Share of benign pairs, in which an answer is chosen and a refusal is rejected, in every mix. The paper used none.

    Where ``rainbow-teaming.twin`` is ``none`` there are no benign pairs, whatever this share is.
    """
    configs: Annotated[dict[str, TrainConfig], Field(min_length=1)]
    """The mixes by name. A model is trained on each."""

    def languages_of(self, name: str, languages: list[str]) -> list[str]:
        """The languages that the config ``name`` trains on, in the order of ``languages``."""
        config = self.configs[name]
        wanted = languages if config.languages == "all" else config.languages or self.languages
        return [code for code in languages if code in wanted and code not in config.without]

    def single_languages(self, languages: list[str]) -> dict[str, str]:
        """Config to language, for the first config of each language that trains on it alone; ``custom`` does not count."""
        trained_on = {name: self.languages_of(name, languages) for name in reversed(self.configs) if name != CUSTOM}
        config_of = {codes[0]: name for name, codes in trained_on.items() if len(codes) == 1}
        return {config_of[lang]: lang for lang in languages if lang in config_of}

    def benign_share_of(self, name: str) -> float:
        """The share (0-1) of benign pairs in the mix of the config ``name``."""
        own = self.configs[name].benign_share
        return self.benign_share if own is None else own
