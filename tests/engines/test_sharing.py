"""Models that share weights: what is loaded, how often, and that it is given back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from profile_texts import engines

from refuseu.engines import transformers
from refuseu.engines.registry import LoadedModels, shared
from refuseu.engines.transformers import TransformersModel
from refuseu.engines.vllm import VllmModel
from refuseu.llm.protocol import Completion, Conversation, Engine, LoadedEngine, Sampling, asked_alone
from refuseu.weights.reference import ModelReference

FLOAT64 = TransformersModel(engine="transformers", dtype="float64")
FLOAT32 = TransformersModel(engine="transformers", dtype="float32")


@dataclass
class FakeEngine:
    """Says where its weights are."""

    reference: ModelReference
    identity: str
    batch_size: int
    dtype: str
    device: str
    variables: str = "{}"
    attention: str | None = None
    loads: ClassVar[list[tuple[str, str]]] = []
    closes: ClassVar[list[str]] = []

    def __post_init__(self) -> None:
        self.loads.append((Path(self.reference.source).name, self.dtype))

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        return [(place, Completion(Path(self.reference.source).name)) for place in range(len(conversations))]

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        raise AssertionError("not asked")

    def adapted(self, folder: Path, identity: str) -> Engine:
        return Adapted(folder.name, identity)

    def close(self) -> None:
        self.closes.append(Path(self.reference.source).name)


@dataclass
class Adapted:
    """Says which adapter it is."""

    name: str
    identity: str

    def complete(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        return [(place, Completion(self.name)) for place in range(len(conversations))]

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> Iterable[tuple[int, float]]:
        raise AssertionError("not asked")


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeEngine]:
    monkeypatch.setattr(transformers, "TransformersEngine", FakeEngine)
    monkeypatch.setattr(FakeEngine, "loads", [])
    monkeypatch.setattr(FakeEngine, "closes", [])
    return FakeEngine


def folder(path: Path, file: str, content: str) -> Path:
    path.mkdir()
    (path / file).write_text(content, encoding="utf-8")
    return path


def test_a_base_is_loaded_once_for_its_adapters_and_once_more_for_other_numbers(
    fakes: type[FakeEngine], tmp_path: Path
) -> None:
    base = ModelReference(folder(tmp_path / "base", "model.safetensors", "base"))
    one, other = (
        ModelReference(folder(tmp_path / name, "adapter_model.safetensors", name), base=base) for name in ("one", "two")
    )
    opened = engines(tmp_path)
    models = opened.sharing(
        {"base": (base, FLOAT64), "one": (one, FLOAT64), "two": (other, FLOAT64), "finer": (base, FLOAT32)}
    )
    said = {name: asked_alone(engine, ["Why?"], Sampling(3)) for name, engine in models.items()}
    assert said == {"base": ["base"], "one": ["one"], "two": ["two"], "finer": ["base"]}
    assert fakes.loads == [("base", "float64"), ("base", "float32")]
    opened.close()
    assert sorted(fakes.closes) == ["base", "base"]


def test_models_share_weights_by_their_base_and_their_numbers() -> None:
    base = ModelReference(Path("base"))
    adapter = ModelReference(Path("adapter"), base=base)
    licensed = TransformersModel(engine="transformers", dtype="float64", license="apache-2.0")
    assert shared(base, FLOAT64) == shared(adapter, licensed)
    others = [shared(base, FLOAT32), shared(base, VllmModel(engine="vllm", dtype="float32")), shared(adapter, FLOAT64)]
    assert len({*others, shared(ModelReference(Path("other")), FLOAT64)}) == 4


def test_what_was_closed_is_loaded_anew() -> None:
    loads: list[Any] = []

    def load() -> LoadedEngine:
        loads.append(FakeEngine(ModelReference(Path("base")), "base", 1, "float64", "cpu"))
        found: LoadedEngine = loads[-1]
        return found

    models = LoadedModels(2)
    assert models.get("base", load) is models.get("base", load)
    models.close()
    assert models.get("base", load) is loads[1]
