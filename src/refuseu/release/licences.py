"""Under which licence data and models are published: it follows from the models that wrote the data, and from a published set."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from refuseu.llm.settings import BASE
from refuseu.release.settings import ReleaseParameters, Role

OWN = "apache-2.0"
"""The hub's tag of the licence of this project, whose phrasebook and miniature it covers."""
PERMISSIVE = frozenset({OWN, "mit"})
"""Licences that bind nobody further on. What comes under them and under one other licence comes under the other one."""
OTHER = "other"
"""The hub's tag where a licence is not known, or several bind at once."""
TEXTS = {OWN: "https://spdx.org/licenses/Apache-2.0.html", "llama3.1": "https://www.llama.com/llama3_1/license/"}
"""Where the text of a licence stands, by its tag."""
LLAMA = "llama"
"""How the tags of Meta's licences begin."""
BUILT_WITH_LLAMA = "Built with Llama"
"""What Meta's licences want to be shown."""


@dataclass(frozen=True)
class Author:
    """Who wrote texts of the data."""

    name: str
    licence: str | None
    """The hub's tag; ``None`` where the profile does not say it."""
    wrote: tuple[str, ...]

    @property
    def terms(self) -> str:
        """The licence as cards name it."""
        return self.licence or "licence not stated"


def authors(config: ReleaseParameters) -> list[Author]:
    """Everybody but the project who wrote texts of the data, in the order of the stages: models, and the published set."""
    wrote: dict[tuple[str, str | None], list[str]] = {}
    for role, texts in (
        (config.mutator, "questions"),
        (config.twin, "benign questions"),
        (config.translator, "translations"),
        (config.respond.refuser, "refusals"),
        (config.respond.rejected, "the other answers"),
    ):
        for author in _players(role, config):
            wrote.setdefault(author, []).append(texts)
    return [Author(name, licence, tuple(texts)) for (name, licence), texts in wrote.items()]


def _players(role: Role, config: ReleaseParameters) -> Iterator[tuple[str, str | None]]:
    """The names and licences of those who play a role; none where the phrasebook or the miniature's own base does."""
    if role.kind == "published":
        yield f"the published set `{config.published.source}`", config.published.license
    names = [*([role.model] if role.model else []), *role.models]
    if role.kind == BASE and config.has_real_answers:
        names.append(BASE)
    for name in names:
        model = config.models[name]
        yield f"`{name if model.in_folder else model.repo or model.model or name}`", model.license


def common(licences: Iterable[str | None]) -> str:
    """The tag of what comes under all of ``licences`` and this project's own; ``OTHER`` where that is no single one."""
    found = {licence for licence in licences if licence not in PERMISSIVE}
    if len(found) > 1 or None in found:
        return OTHER
    return next((licence for licence in found if licence), OWN)


def notice(licences: Iterable[str | None]) -> str:
    """What Meta's licences want a card to say, or nothing where none of them is among ``licences``."""
    versions = sorted({licence.removeprefix(LLAMA) for licence in licences if licence and licence.startswith(LLAMA)})
    terms = "".join(
        f" Llama {version} is licensed under the Llama {version} Community License, Copyright © Meta Platforms, Inc. All "
        "Rights Reserved."
        for version in versions
    )
    return (
        f'**{BUILT_WITH_LLAMA}.**{terms} The name of a model that is trained on it begins with "Llama".'
        if versions
        else ""
    )
