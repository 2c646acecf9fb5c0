"""Identifies the language of a text twice: among the project's languages, and among all languages that the identifier knows.

Among the project's languages a text in any other language cannot be recognised. Among all languages close relatives are confused
more often. Both results are therefore recorded. The identifier is py3langid, which identifies 99.2% of public test sentences
correctly among the 12 languages, or a model of fastText.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from refuseu.core.errors import UserError
from refuseu.core.paths import leads_out
from refuseu.core.sections import Section
from refuseu.experiment import LANGUAGES, PIVOT
from refuseu.text.normal import composed
from refuseu.weights.reference import is_folder

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

KEPT = 50_000
"""Results that are kept in memory, because models give many answers again and again."""
LATIN = 0.9
"""Least share of ASCII among the letters of an English text: py3langid calls some texts in other scripts English."""
INSTALL = "'.venv/bin/uv pip install fasttext-predict==0.9.2.4' brings it"
LABEL = "__label__"
"""What fastText puts before the name of a label."""

Classifier = Callable[[str], str]
"""Names the language of a text by its code."""


class Py3langid(Section):
    """py3langid identifies; its model comes with the package."""

    kind: Literal["py3langid"]


class FastText(Section):
    """A model of fastText identifies whose labels are codes of FLORES, as ``__label__eng_Latn``."""

    kind: Literal["fasttext"]
    repo: str
    """A repository of the hub (``org/name``), or a folder that begins with ``/`` or ``.``."""
    revision: str | None = None
    """A commit of the repository, 40 hexadecimal digits; left open, the newest is looked up."""
    file: str = "model.bin"
    """The model's file there."""

    @field_validator("file")
    @classmethod
    def _lies_there(cls, name: str) -> str:
        if leads_out(name):
            raise ValueError(f"{name!r} leads out of the model's folder; name a file in it")
        return name

    @property
    def folder(self) -> Path | None:
        """The folder of this machine that holds the file; ``None`` for a repository."""
        return Path(self.repo) if is_folder(self.repo) else None

    def assert_file(self) -> None:
        """Check that the file is there, where it lies in a folder of this machine.

        Raises:
            UserError: when it is not.
        """
        if self.folder and not (self.folder / self.file).is_file():
            raise UserError(f"identifier: {self.folder / self.file}: there is no such file; name a model of fastText")


Identification = Annotated[Py3langid | FastText, Field(discriminator="kind")]
"""Who identifies languages; ``llm.identifier.open_identifier`` builds each kind."""
PY3LANGID = Py3langid(kind="py3langid")


@dataclass(frozen=True)
class Identified:
    """The two codes of a text; both are empty for a text without a letter, which is in no language."""

    restricted: str
    """Code among the project's languages."""
    free: str
    """Code among all languages that the identifier knows."""


class Identifier:
    """Identifies languages; the results of the last ``KEPT`` texts are kept.

    Raises:
        UserError: for a language that the identifier does not know, and for a file that is no model of fastText.
    """

    def __init__(self, languages: list[str], model: Path | None = None) -> None:
        """``model`` is a file of fastText; without one, py3langid identifies."""
        self.languages = languages
        self.by_fasttext = model is not None
        if model is None:
            assert_known(languages)
            pair = (_by_langid(tuple(languages)), _by_langid(()))
        else:
            pair = _by_fasttext(model, languages)
        self._among, self._free = map(_remembered, pair)

    def identify(self, text: str) -> Identified:
        return Identified(self._among(text), self._free(text))

    def restricted(self, text: str) -> str:
        """Return only ``Identified.restricted``, which takes half the time."""
        return self._among(text)

    def differing(self, texts: Iterable[tuple[str, str]]) -> dict[str, float]:
        """The share (percent) of texts on which py3langid and fastText differ among the project's languages.

        ``texts`` are pairs of a language and a text in it; the shares are by this language, in the order of ``languages``. There
        are none where py3langid itself identifies.
        """
        if not self.by_fasttext:
            return {}
        other, found = Identifier(self.languages), {lang: [0, 0] for lang in self.languages}
        for lang, text in texts:
            found[lang][0] += self.restricted(text) != other.restricted(text)
            found[lang][1] += 1
        return {lang: 100 * differ / count for lang, (differ, count) in found.items() if count}


def is_english(text: str, identifier: Identifier) -> bool:
    """Whether ``text`` is English among the identifier's languages and written in Latin letters."""
    letters = [sign for sign in composed(text) if sign.isalpha()]
    return identifier.identify(text).restricted == PIVOT and sum(map(str.isascii, letters)) >= LATIN * len(letters)


def _remembered(classifier: Classifier) -> Classifier:
    @lru_cache(KEPT)
    def identify(text: str) -> str:
        return classifier(composed(text)) if any(map(str.isalpha, text)) else ""

    return identify


def _by_langid(languages: tuple[str, ...]) -> Classifier:
    """By py3langid among ``languages``, or among all that it knows where there are none."""
    identifier = _load(languages)
    return lambda text: str(identifier.classify(text)[0])


def _by_fasttext(path: Path, languages: list[str]) -> tuple[Classifier, Classifier]:
    """By the model in a file: among ``languages``, and among all labels; a label of no language of ours is its own code."""
    try:
        import fasttext
    except ModuleNotFoundError:
        raise UserError(f"identifier: the package fasttext-predict is not installed; {INSTALL}") from None
    codes = {f"{LABEL}{language.flores}": code for code, language in LANGUAGES.items()}

    def ranked(text: str, most: int) -> list[str]:
        # A text is one line to fastText. Of a language, the model may know several scripts.
        labels, _ = model.predict(" ".join(text.split()), k=most)
        return [codes.get(label, label.removeprefix(LABEL)) for label in labels]

    try:
        model = fasttext.load_model(str(path))
        known = ranked("a", -1)
    except (ValueError, RuntimeError, MemoryError):
        raise UserError(
            f"identifier: {path}: fastText cannot read it as a model that tells labels; fetch it anew, or name another"
        ) from None
    for code in languages:
        if code not in known:
            raise UserError(
                f"languages: the model of fastText has no label {LABEL}{LANGUAGES[code].flores} for {code!r}, so no text could "
                "be checked to be in it; take it out, or name another model"
            )
    ours = set(languages)
    return (
        lambda text: next((code for code in ranked(text, -1) if code in ours), ""),
        lambda text: next(iter(ranked(text, 1)), ""),
    )


def assert_known(languages: list[str]) -> None:
    """Check that the identifier knows all languages.

    Raises:
        UserError: for a language that it does not know.
    """
    labels = _load(()).labels
    for code in languages:
        if code not in labels:
            raise UserError(
                f"languages: the identifier py3langid has no language {code!r}, so no text could be checked to be in it; "
                f"take it out, or use a code of its {len(labels)}: {', '.join(sorted(labels))}"
            )


@cache
def _load(languages: tuple[str, ...]) -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if languages:
        identifier.set_languages(list(languages))
    return identifier
