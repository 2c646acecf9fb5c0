import json
import pickle
import shutil
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from engines.misbehaving import serving
from profile_texts import MACHINE, MODELS, TRANSFORMERS, engines, read, with_sections
from pydantic import TypeAdapter
from safetensors.torch import save_file
from scripted import Scripted
from tiny import save_untrained

from refuseu.core.errors import UserError
from refuseu.core.faults import validated
from refuseu.engines import machine, openai, registry, transformers, vllm
from refuseu.engines.machine import EngineMachine, Machine, RayMachine
from refuseu.engines.model import LocalModel, ServedModel
from refuseu.engines.openai import OpenaiEngine, OpenaiMachine, OpenaiModel
from refuseu.engines.ray import RayEngine
from refuseu.engines.registry import ENGINES, EngineFactory, Models, engine_class
from refuseu.engines.vllm import VllmEngine, VllmMachine, VllmModel
from refuseu.llm import versions
from refuseu.llm.protocol import Completion, Engine, Sampling, completed, user
from refuseu.llm.size import Gpus
from refuseu.store import revisions
from refuseu.store.rows import Store
from refuseu.weights.identity import weights_hash
from refuseu.weights.reference import ModelReference


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_is_whole(name: str) -> None:
    """It says what it takes, and every method that the pipeline calls is there."""
    kind = engine_class(name)
    assert issubclass(kind, LocalModel | ServedModel)
    assert kind.__abstractmethods__ == frozenset()
    assert issubclass(kind.section, EngineMachine)
    assert kind.package and kind.install
    assert get_args(kind.model_fields["engine"].annotation) == (name,)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{engine: sglang}", f"engine 'sglang' is none of {', '.join(ENGINES)}"),
        ("{engine: [vllm]}", f"engine ['vllm'] is none of {', '.join(ENGINES)}"),
        ("{repo: org/name}", "engine is missing"),
        ("{engine: transformers, dtype: float8}", "dtype: must be 'float64', 'float32', 'bfloat16' or 'float16'"),
        ("{engine: transformers, dtype: float64, size: 8}", "size: unknown key"),
    ],
)
def test_a_model_that_no_engine_takes_is_one_sentence(entry: str, problem: str) -> None:
    with pytest.raises(UserError) as error:
        validated(TypeAdapter(Models), {"mine": read(entry)}, "profile")
    assert error.value.message.removeprefix("profile: mine").removeprefix(".").removeprefix(": ") == problem


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A base that is trained, but not well."""
    save_untrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_is_loaded_for_its_first_missing_row_and_not_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    questions = [user("one"), user("two"), user("three")]
    first = engines(tmp_path, progress="respond").folder(ModelReference(folder))
    assert first.identity == f"{weights_hash(folder)} {TRANSFORMERS} float64"
    said = completed(first, questions, Sampling(6))
    assert capfd.readouterr().err == "respond: 1 of 3 rows\nrespond: 2 of 3 rows\nrespond: 3 of 3 rows\n"
    monkeypatch.setattr(transformers, "TransformersEngine", None)
    again = engines(tmp_path, progress="respond").folder(ModelReference(folder))
    assert completed(again, questions, Sampling(6)) == said
    with pytest.raises(TypeError):
        completed(again, questions, Sampling(7))


def test_a_model_that_computes_in_other_numbers_is_another(folder: Path, tmp_path: Path) -> None:
    models = f"""
one: {{engine: transformers, repo: {folder}, dtype: float64}}
other: {{engine: transformers, repo: {folder}, dtype: float32}}
"""
    opened = engines(tmp_path, models)
    assert opened.named("one").identity == f"{weights_hash(folder)} {TRANSFORMERS} float64"
    assert opened.named("other").identity == f"{weights_hash(folder)} {TRANSFORMERS} float32"


def test_an_upgrade_of_the_engine_asks_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = engines(tmp_path).folder(ModelReference(folder))
    completed(before, [user("one")], Sampling(6))
    monkeypatch.setattr(versions, "version", lambda package: "9.9.9+cpu")
    versions.versioned.cache_clear()
    try:
        after = engines(tmp_path).folder(ModelReference(folder))
        assert after.identity == f"{weights_hash(folder)} transformers-9.9.9 torch-9.9.9 float64"
        monkeypatch.setattr(transformers, "TransformersEngine", None)
        with pytest.raises(TypeError):
            completed(after, [user("one")], Sampling(6))
    finally:
        versions.versioned.cache_clear()


def test_a_folder_that_the_profile_names_answers(folder: Path, tmp_path: Path) -> None:
    named = engines(tmp_path, f"one: {{engine: transformers, repo: {folder}, dtype: float64}}").named("one")
    base = engines(tmp_path / "other").folder(ModelReference(folder))
    assert completed(named, [user("one")], Sampling(6)) == completed(base, [user("one")], Sampling(6))


def test_a_repository_is_known_by_its_commit_and_not_asked_for(tmp_path: Path) -> None:
    assert engines(tmp_path).named("local").identity == (
        f"org/name@0123456789012345678901234567890123456789 {TRANSFORMERS} float32"
    )


def test_the_base_is_at_the_commit_that_its_stage_recorded_and_others_at_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revisions, "newest_commit", lambda *_: "b" * 40)
    recorded = {"source": "org/name", "commit": "a" * 40}
    (tmp_path / "reference.json").write_text(json.dumps(recorded), encoding="utf-8")
    models: Models = TypeAdapter(Models).validate_python(
        {name: {"engine": "transformers", "dtype": "float32", "repo": "org/name"} for name in ("base", "other")}
    )
    opened = EngineFactory(models, MACHINE, Store(tmp_path / "rows.sqlite"), base=tmp_path)
    assert {name: opened.named(name).identity for name in models} == {
        "base": f"org/name@{'a' * 40} {TRANSFORMERS} float32",
        "other": f"org/name@{'b' * 40} {TRANSFORMERS} float32",
    }


def test_equal_names_are_opened_once(folder: Path, tmp_path: Path) -> None:
    opened = engines(tmp_path, f"{MODELS}\nmodel: {{engine: transformers, repo: {folder}, dtype: float64}}")
    for name in ("local", "served", "model"):
        assert opened.named(name) is opened.named(name)


@pytest.mark.parametrize("name", ["nobody", "base"])
def test_a_name_without_a_model_names_those_there_are(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        engines(tmp_path).named(name)
    assert error.value.message == (
        f"models.{name}: the profile has no such model with a repo; it has base, local, served"
    )
    with pytest.raises(UserError, match="it has none"):
        engines(tmp_path, "{}").named(name)


@pytest.mark.parametrize("models", ["base: {engine: openai, model: a-model}", "{}"])
def test_a_base_needs_weights(models: str, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        engines(tmp_path, models).folder(ModelReference(folder))
    assert error.value.message == "models.base: must be a model with weights, for it is trained further"


def at(url: str, **others: str) -> OpenaiMachine:
    return OpenaiMachine(base_url=url, base_urls=others, concurrency=2, retries=0, timeout=5.0)


def test_a_served_model_is_asked_for_its_first_missing_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    models: Models = TypeAdapter(Models).validate_python(read(MODELS))
    with serving() as server:
        here, store = with_sections(openai=at(server.url)), Store(tmp_path / "rows.sqlite")
        engine = EngineFactory(models, here, store).named("served")
        assert (engine.identity, server.requests) == ("openai:a-model", {})
        assert completed(engine, [user("row")], Sampling(6)) == [Completion("echo row")]
        assert server.requests == {"row": 1}
    # The server is gone; what it said is kept.
    assert completed(EngineFactory(models, here, store).named("served"), [user("row")], Sampling(6)) == [
        Completion("echo row")
    ]


def test_a_key_is_wanted_before_any_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVICE_KEY", raising=False)
    opened = engines(tmp_path, "served: {engine: openai, model: a-model, key: SERVICE_KEY}")
    with pytest.raises(UserError, match="the environment variable SERVICE_KEY holds no key"):
        opened.named("served")


def test_models_that_lie_elsewhere_are_asked_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    models = "here: {engine: openai, model: a}\nthere: {engine: openai, model: b}"
    with serving() as near, serving() as far:
        opened = engines(tmp_path, models, with_sections(openai=at(near.url, there=far.url)))
        for name in ("here", "there"):
            completed(opened.named(name), [user(name)], Sampling(6))
        assert (near.requests, far.requests) == ({"here": 1}, {"there": 1})


def test_one_model_may_lie_at_openai_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def engine(*arguments: object) -> Engine:
        asked.append(signature(OpenaiEngine).bind(*arguments).arguments)
        return Scripted(lambda text, _: text)

    monkeypatch.setattr(openai, "OpenaiEngine", engine)
    monkeypatch.setenv("SERVICE_KEY", "a-key")
    own = OpenaiMachine(base_url="http://here/v1", base_urls={"judge": None}, concurrency=3, retries=4, timeout=5.0)
    models = "judge: {engine: openai, model: gpt, key: SERVICE_KEY}\nserved: {engine: openai, model: own}"
    opened = engines(tmp_path, models, with_sections(openai=own))
    for name in ("judge", "served"):
        completed(opened.named(name), [user("row")], Sampling(6))
    common = {"concurrency": 3, "retries": 4, "timeout": 5.0}
    assert asked == [
        {
            "model": OpenaiModel(engine="openai", model="gpt", key="SERVICE_KEY"),
            "base_url": "https://api.openai.com/v1",
            **common,
        },
        {"model": OpenaiModel(engine="openai", model="own"), "base_url": "http://here/v1", **common},
    ]


def test_the_models_that_were_opened_by_name_are_told(folder: Path, tmp_path: Path) -> None:
    opened = engines(tmp_path)
    opened.folder(ModelReference(folder))
    assert opened.identities() == {}
    opened.named("served")
    opened.named("local")
    assert opened.identities() == {
        "local": f"org/name@0123456789012345678901234567890123456789 {TRANSFORMERS} float32",
        "served": "openai:a-model",
    }


VLLM = VllmMachine(tensor_parallel=2, memory_fraction=0.4, chunk_size=7, eager=True)
GPUS = with_sections(vllm=VLLM)
RAY = RayMachine(workers=3, batch_size=5, cpus_per_worker=4, address="host:6379")
CLUSTER = GPUS.model_copy(update={"ray": RAY})
QUESTION = [user("one")]


class Fake(Scripted):
    """An engine that takes memory: it answers with the model's name, and that of the adapter."""

    def __init__(self, played: type, log: list[dict[str, Any]], *arguments: object) -> None:
        super().__init__(lambda *_: self.said)
        self.asked_for = signature(played).bind(*arguments).arguments
        self.identity = self.said = str(self.asked_for["identity"])
        log.append(self.asked_for)

    def adapted(self, folder: Path, identity: str) -> Engine:
        assert folder in self.asked_for["adapters"]
        return Scripted(lambda *_: f"{folder.name} on {self.said}")

    def close(self) -> None:
        pass


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What vLLM and Ray are started with, as their engines name it; both are installed."""
    monkeypatch.setattr(machine, "find_spec", lambda name: name)
    log: list[dict[str, Any]] = []
    monkeypatch.setattr(vllm, "VllmEngine", partial(Fake, VllmEngine, log))
    monkeypatch.setattr(registry, "RayEngine", partial(Fake, RayEngine, log))
    return log


def on_vllm(folder: Path, here: Machine) -> EngineFactory:
    models = f"base: {{engine: vllm, dtype: bfloat16, repo: {folder}, max_model_len: 512}}"
    return engines(folder.parent, models, here)


def test_vllm_is_started_as_the_machine_says(folder: Path, held: list[dict[str, Any]]) -> None:
    model = VllmModel(engine="vllm", dtype="bfloat16", repo=str(folder), max_model_len=512)
    opened = on_vllm(folder, GPUS).named("base")
    name = f"{weights_hash(folder)} vllm bfloat16 512"
    assert (opened.identity, held) == (name, [])
    assert completed(opened, QUESTION, Sampling(6)) == [Completion(name)]
    assert held == [
        {"reference": ModelReference(folder), "model": model, "machine": VLLM, "identity": name, "adapters": ()}
    ]


@pytest.mark.usefixtures("held")
def test_what_a_model_in_vllm_may_attend_to_is_part_of_what_it_is(folder: Path, tmp_path: Path) -> None:
    models = f"""
short: {{engine: vllm, dtype: bfloat16, repo: {folder}, max_model_len: 512}}
long: {{engine: vllm, dtype: bfloat16, repo: {folder}, max_model_len: 1024}}
whole: {{engine: vllm, dtype: bfloat16, repo: {folder}}}
other: {{engine: vllm, dtype: float16, repo: {folder}}}
"""
    opened, own = engines(tmp_path, models, GPUS), weights_hash(folder)
    assert {name: opened.named(name).identity for name in ("short", "long", "whole", "other")} == {
        "short": f"{own} vllm bfloat16 512",
        "long": f"{own} vllm bfloat16 1024",
        "whole": f"{own} vllm bfloat16",
        "other": f"{own} vllm float16",
    }


def test_a_machine_that_says_nothing_of_vllm_is_one_sentence(folder: Path, held: list[dict[str, Any]]) -> None:
    with pytest.raises(UserError) as error:
        on_vllm(folder, MACHINE).named("base")
    assert error.value.message == (
        f"models.base: {folder}: the engine vllm needs a section vllm in machines/; name a machine that has one by "
        "REFUSEU_MACHINE (make: MACHINE=h100)"
    )
    assert held == []


@pytest.mark.parametrize("name", ["vllm", "ray"])
def test_a_package_is_wanted_before_any_row(
    name: str, folder: Path, held: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda package: package != name)
    opened = on_vllm(folder, CLUSTER)
    for open_one in (partial(opened.named, "base"), partial(opened.folder, ModelReference(folder))):
        with pytest.raises(UserError, match=f"takes the package {name}, which is not installed"):
            open_one()
    assert held == []


def test_ray_is_started_as_the_machine_says_and_its_workers_load_what_one_machine_would(
    folder: Path, held: list[dict[str, Any]]
) -> None:
    opened = on_vllm(folder, CLUSTER).named("base")
    completed(opened, QUESTION, Sampling(6))
    load = held[0].pop("load")
    packages = {"vllm", "torch", "transformers"}
    expected = {"identity": opened.identity, "settings": RAY, "spread": (3, 2), "packages": packages}
    assert held == [expected]
    pickle.loads(pickle.dumps(load))  # it goes to other processes
    assert load().identity == opened.identity
    assert held[1]["reference"] == ModelReference(folder)


def test_the_size_of_a_model_decides_on_how_many_gpus_it_is_started(folder: Path, held: list[dict[str, Any]]) -> None:
    weights = {"weight": torch.zeros(1024, 1024, dtype=torch.bfloat16)}
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"num_attention_heads": 28}), encoding="utf-8")
    for gigabytes, spread in ((1.0, (8, 1)), (0.002, (4, 2)), (0.0001, (2, 4))):
        here = CLUSTER.model_copy(
            update={
                "loaded": 1,
                "ray": RAY.model_copy(update={"workers": None}),
                "gpus": Gpus(per_node=8, memory_gb=gigabytes / 0.9),
                "engines": {"vllm": VllmMachine(memory_fraction=0.9, chunk_size=7)},
            }
        )
        held.clear()
        completed(on_vllm(folder, here).named("base"), [user(f"{gigabytes}")], Sampling(6))
        assert held[0]["spread"] == spread
        held[0]["load"]()
        assert held[1]["machine"].tensor_parallel == spread[1]


def adapters_and_wholes(folder: Path) -> dict[str, ModelReference]:
    """The base, two adapters on it, and a model that was trained as a whole."""
    references = {"base": ModelReference(folder)}
    for name in ("one", "two"):
        adapter = folder.parent / name
        adapter.mkdir()
        (adapter / "adapter_model.safetensors").write_text(name, encoding="utf-8")
        references[name] = ModelReference(adapter, base=references["base"])
    whole = folder.parent / "whole"
    shutil.copytree(folder, whole)
    (whole / "config.json").write_text("{}", encoding="utf-8")
    return {**references, "whole": ModelReference(whole)}


def held_together(opened: EngineFactory, references: dict[str, ModelReference]) -> dict[str, Engine]:
    return opened.sharing({name: (reference, opened.base_model()) for name, reference in references.items()})


def test_adapters_share_the_weights_of_their_base_and_whole_models_do_not(
    folder: Path, held: list[dict[str, Any]]
) -> None:
    references = adapters_and_wholes(folder)
    engines = held_together(on_vllm(folder, GPUS), references)
    assert list(engines) == ["base", "one", "two", "whole"]
    own = {name: weights_hash(Path(each.source)) for name, each in references.items()}
    numbers = "vllm bfloat16 512"
    assert {name: engine.identity for name, engine in engines.items()} == {
        "base": f"{own['base']} {numbers}",
        "one": f"{own['base']}+{own['one']} {numbers}",
        "two": f"{own['base']}+{own['two']} {numbers}",
        "whole": f"{own['whole']} {numbers}",
    }
    said = {name: completed(engine, QUESTION, Sampling(6))[0].text for name, engine in engines.items()}
    assert said == {
        "base": engines["base"].identity,
        "one": f"one on {engines['base'].identity}",
        "two": f"two on {engines['base'].identity}",
        "whole": engines["whole"].identity,
    }
    assert [(each["reference"].source, each["adapters"]) for each in held] == [
        (folder, (folder.parent / "one", folder.parent / "two")),
        (folder.parent / "whole", ()),
    ]


def test_an_adapter_of_two_names_is_held_once(folder: Path, held: list[dict[str, Any]]) -> None:
    references = adapters_and_wholes(folder)
    engines = held_together(on_vllm(folder, GPUS), {**references, "again": references["one"]})
    said = [completed(engines[name], QUESTION, Sampling(6))[0].text for name in ("one", "again")]
    assert said[0] == said[1]
    assert held[0]["adapters"] == (folder.parent / "one", folder.parent / "two")


def test_workers_elsewhere_find_a_folder_that_was_named_from_here(
    folder: Path, held: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    references = adapters_and_wholes(folder)
    monkeypatch.chdir(folder.parent)
    base = ModelReference(Path(folder.name))
    one = ModelReference(Path("one"), base=base)
    engines = held_together(on_vllm(folder, CLUSTER), {"base": base, "one": one})
    completed(engines["base"], QUESTION, Sampling(6))
    monkeypatch.chdir("/")
    held[0]["load"]()
    assert (held[1]["reference"].source, held[1]["adapters"]) == (folder, (Path(references["one"].source),))


def test_where_one_model_fits_the_memory_the_base_is_loaded_again_after_a_whole_one(
    folder: Path, held: list[dict[str, Any]]
) -> None:
    engines = held_together(on_vllm(folder, GPUS.model_copy(update={"loaded": 1})), adapters_and_wholes(folder))
    for name in ("one", "base", "whole", "two"):
        completed(engines[name], QUESTION, Sampling(6))
    assert [each["reference"].source.name for each in held] == ["model", "whole", "model"]
