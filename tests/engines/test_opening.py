from pathlib import Path

import pytest
from engines.misbehaving import serving
from profile_texts import MACHINE, MODELS, opener, read
from pydantic import TypeAdapter
from tiny import save_untrained

from refuseu.engines import opening
from refuseu.engines.identity import weights_hash
from refuseu.engines.opening import Opener
from refuseu.engines.protocol import Completion, Sampling, completed, user
from refuseu.engines.reference import ModelReference
from refuseu.errors import UserError
from refuseu.parameters.models import Models
from refuseu.store import Store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base that is trained, but not well."""
    save_untrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_loaded_for_its_first_missing_row_and_not_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    questions = [user("one"), user("two"), user("three")]
    first = opener(tmp_path, progress="respond").folder(ModelReference(folder))
    assert first.identity == f"{weights_hash(folder)} transformers float64"
    said = completed(first, questions, Sampling(6))
    assert capfd.readouterr().err == "respond: 1 of 3 rows\nrespond: 2 of 3 rows\nrespond: 3 of 3 rows\n"
    monkeypatch.setattr(opening, "TransformersEngine", None)
    again = opener(tmp_path, progress="respond").folder(ModelReference(folder))
    assert completed(again, questions, Sampling(6)) == said
    with pytest.raises(TypeError):
        completed(again, questions, Sampling(7))


def test_a_model_that_computes_in_other_numbers_is_another(folder: Path, tmp_path: Path) -> None:
    models = f"""
one: {{engine: transformers, repo: {folder}, dtype: float64}}
other: {{engine: transformers, repo: {folder}, dtype: float32}}
"""
    opened = opener(tmp_path, models)
    assert opened.named("one").identity == f"{weights_hash(folder)} transformers float64"
    assert opened.named("other").identity == f"{weights_hash(folder)} transformers float32"


def test_a_folder_that_the_profile_names_answers(folder: Path, tmp_path: Path) -> None:
    named = opener(tmp_path, f"one: {{engine: transformers, repo: {folder}, dtype: float64}}").named("one")
    base = opener(tmp_path / "other").folder(ModelReference(folder))
    assert completed(named, [user("one")], Sampling(6)) == completed(base, [user("one")], Sampling(6))


def test_a_repository_is_known_by_its_commit_and_not_asked_for(tmp_path: Path) -> None:
    assert opener(tmp_path).named("local").identity == (
        "org/name@0123456789012345678901234567890123456789 transformers float32"
    )


def test_equal_names_are_opened_once(folder: Path, tmp_path: Path) -> None:
    opened = opener(tmp_path, f"{MODELS}\nmodel: {{engine: transformers, repo: {folder}, dtype: float64}}")
    for name in ("local", "served", "model"):
        assert opened.named(name) is opened.named(name)


@pytest.mark.parametrize("name", ["nobody", "base"])
def test_a_name_without_a_model_names_those_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        opener(tmp_path).named(name)
    assert error.value.message == (
        f"models.{name}: the profile has no such model with a repo; it has base, local, served"
    )
    with pytest.raises(UserError, match="it has none"):
        opener(tmp_path, "{}").named(name)


@pytest.mark.parametrize("models", ["base: {engine: openai, model: a-model}", "{}"])
def test_a_base_needs_weights(models: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        opener(tmp_path, models).folder(ModelReference(folder))
    assert error.value.message == "models.base: must be a model with weights, for it is trained further"


def test_a_served_model_is_asked_for_its_first_missing_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    models: Models = TypeAdapter(Models).validate_python(read(MODELS))
    with serving() as server:
        at_server = MACHINE.openai.model_copy(update={"base_url": server.url})
        machine, store = MACHINE.model_copy(update={"openai": at_server}), Store(tmp_path / "rows.sqlite")
        engine = Opener(models, machine, store).named("served")
        assert (engine.identity, server.requests) == ("openai:a-model", {})
        assert completed(engine, [user("row")], Sampling(6)) == [Completion("echo row")]
        assert server.requests == {"row": 1}
    # The server is gone; what it said is kept.
    assert completed(Opener(models, machine, store).named("served"), [user("row")], Sampling(6)) == [
        Completion("echo row")
    ]


def test_a_key_is_wanted_with_the_first_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEY", raising=False)
    engine = opener(tmp_path, "served: {engine: openai, model: a-model, key: SERVICE_KEY}").named("served")
    with pytest.raises(UserError, match="the environment variable SERVICE_KEY holds no key"):
        completed(engine, [user("row")], Sampling(6))
