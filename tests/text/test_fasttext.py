"""Identification by fastText. ``languages.bin`` is a model of 15 sentences in English, German and Russian (MIT-licensed code of
fastText wrote it; dim 8, 300 buckets); where the package is not installed, a stand-in takes its place."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from planned import changed, machine
from pydantic import ValidationError
from repository import ROOT

from refuseu.core.errors import UserError
from refuseu.llm.identifier import open_identifier
from refuseu.parameters import load_all
from refuseu.plan import checks, host
from refuseu.plan.checks import missing, unreachable
from refuseu.store.rows import Store
from refuseu.text.identification import PY3LANGID, FastText, Identified, Identifier

MODEL = Path(__file__).with_name("languages.bin")
COMMIT = "0123456789" * 4
ENGLISH, GERMAN, RUSSIAN = (
    "I like the house\nand the club.",
    "Wie geht das mit dem Brot?",
    "Мне очень жаль, что это так.",
)
RANKED = {
    ENGLISH: ["eng_Latn", "deu_Latn", "rus_Cyrl"],
    GERMAN: ["deu_Latn", "eng_Latn", "rus_Cyrl"],
    RUSSIAN: ["rus_Cyrl", "eng_Latn", "deu_Latn"],
    "a": ["eng_Latn", "deu_Latn", "rus_Cyrl"],
}
"""What the stand-in says of each text: labels by their probability."""


class StandIn(ModuleType):
    """The two functions of fastText that identification takes."""

    def __init__(self) -> None:
        super().__init__("fasttext")
        self.loaded: list[str] = []

    def load_model(self, path: str) -> Any:
        self.loaded.append(path)
        if not Path(path).stat().st_size:
            raise ValueError(f"{path} has wrong file format!")
        return SimpleNamespace(predict=self.predict)

    @staticmethod
    def predict(text: str, k: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
        if "\n" in text:
            raise ValueError("predict processes one line at a time (remove '\\n')")
        ranked = {" ".join(each.split()): labels for each, labels in RANKED.items()}[text]
        labels = ranked if k == -1 else ranked[:k]
        return tuple(f"__label__{label}" for label in labels), tuple(1 / (2 + place) for place in range(len(labels)))


@pytest.fixture(params=["the package", "a stand-in"])
def fasttext(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "the package":
        pytest.importorskip("fasttext")
    else:
        monkeypatch.setitem(sys.modules, "fasttext", StandIn())


@pytest.mark.usefixtures("fasttext")
def test_among_the_projects_languages_and_among_all_labels() -> None:
    identifier = Identifier(["en", "de"], MODEL)
    assert [identifier.identify(text) for text in (ENGLISH, GERMAN, RUSSIAN, "12 !")] == [
        Identified("en", "en"),
        Identified("de", "de"),
        Identified("en", "rus_Cyrl"),
        Identified("", ""),
    ]
    assert identifier.restricted(RUSSIAN) == "en"
    assert Identifier(["en"], MODEL).identify(GERMAN) == Identified("en", "de")


@pytest.mark.usefixtures("fasttext")
def test_a_language_without_a_label_is_said() -> None:
    with pytest.raises(
        UserError, match=r"^languages: the model of fastText has no label __label__pol_Latn for 'pl', so"
    ):
        Identifier(["en", "pl"], MODEL)


@pytest.mark.usefixtures("fasttext")
def test_a_file_that_is_no_model_is_said(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^identifier: .*model\.bin: fastText cannot read it as a model that tells labels"
    ):
        Identifier(["en"], tmp_path / "model.bin")


def test_without_the_package_one_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(
        UserError, match=r"^identifier: the package fasttext-predict is not installed; '.*0\.9\.2\.4' brings"
    ):
        Identifier(["en"], MODEL)


def test_how_often_the_two_identifiers_differ_by_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", StandIn())
    monkeypatch.setitem(RANKED, "Das Haus ist schön.", ["eng_Latn", "deu_Latn", "rus_Cyrl"])
    texts = [("de", GERMAN), ("de", "Das Haus ist schön."), ("en", ENGLISH)]
    assert Identifier(["en", "de", "fr"][:2], MODEL).differing(texts) == {"en": 0.0, "de": 50.0}
    assert Identifier(["en", "de"]).differing(texts) == {}


def fast_text(**settings: Any) -> FastText:
    return FastText.model_validate({"kind": "fasttext", "file": MODEL.name, **settings})


def test_a_folder_or_a_repository_at_a_commit_and_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", stand_in := StandIn())
    asked: list[Any] = []

    def hf_hub_download(*names: str, revision: str) -> str:
        asked.append((*names, revision))
        return str(MODEL)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    store, identities = Store(tmp_path / "rows.sqlite"), dict[str, str]()
    open_identifier(PY3LANGID, ["en"], store, identities)
    assert (identities, stand_in.loaded) == ({}, [])
    open_identifier(fast_text(repo=str(MODEL.parent)), ["en"], store, identities)
    assert identities["identifier"].startswith("languages.bin@")
    assert len(identities["identifier"]) == len("languages.bin@") + 64
    open_identifier(fast_text(repo="org/name", revision=COMMIT), ["en"], store, identities)
    assert identities["identifier"] == f"org/name@{COMMIT}"
    assert asked == [("org/name", "languages.bin", COMMIT)]


def test_doctor_tells_what_fasttext_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_package", lambda name: name != "fasttext")
    (gone := tmp_path / "folder").mkdir()
    parameters = changed(tmp_path, lambda _, p: p.update(identifier={"kind": "fasttext", "repo": str(gone)}))
    assert missing(parameters, machine()) == [
        "the package fasttext is not installed; '.venv/bin/uv pip install fasttext-predict==0.9.2.4' brings it",
        f"identifier: {gone / 'model.bin'}: there is no such file; name a model of fastText",
    ]


def test_doctor_asks_the_hub_for_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo: str, revision: str | None) -> None:
        raise UserError(f"{repo}: the hub knows no such repository")

    monkeypatch.setattr(host, "offline", lambda: False)
    monkeypatch.setattr(checks, "assert_obtainable", refuse)
    parameters = changed(tmp_path, lambda _, p: p.update(identifier={"kind": "fasttext", "repo": "org/no-such"}))
    assert list(unreachable(parameters, machine())) == ["identifier: org/no-such: the hub knows no such repository"]


def test_the_miniature_is_identified_by_py3langid() -> None:
    assert load_all(ROOT, "miniature").identifier == PY3LANGID


@pytest.mark.parametrize("file", ["../model.bin", "/model.bin", ""])
def test_a_file_outside_of_the_models_folder_is_refused(file: str) -> None:
    with pytest.raises(ValidationError, match="leads out of the model's folder; name a file in it"):
        FastText(kind="fasttext", repo="/a/folder", file=file)
