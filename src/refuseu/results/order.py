"""In which order every table and figure shows languages and models."""

from collections.abc import Sequence

from refuseu.experiment import HIGH_RESOURCE

SINGLE = "only-"
"""Configs of this prefix train on a single language; they have a table and a heatmap of their own."""


def by_resource(languages: Sequence[str]) -> list[str]:
    """High-resource languages first, each group in the order given."""
    return sorted(languages, key=lambda lang: lang not in HIGH_RESOURCE)


def main_configs(configs: Sequence[str]) -> list[str]:
    """Base and main configs, each once, in the order given: all but the single-language runs."""
    return [name for name in dict.fromkeys(configs) if not name.startswith(SINGLE)]
