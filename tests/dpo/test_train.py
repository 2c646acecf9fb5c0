import json
import math
import re
import shutil
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import broken
import pandas as pd
import pytest
import torch
from accelerate import Accelerator
from disk import files_up_to
from safetensors.torch import load_file
from tiny import EXAMPLES, ONE_CORE, TINY, save_untrained
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import DPOTrainer
from trl.trainer import dpo_trainer, utils

from refuseu.base.miniature import build_model, build_tokenizer
from refuseu.core.errors import UserError
from refuseu.dpo import train as dpo
from refuseu.dpo.checkpoints import newest
from refuseu.dpo.launching import REPLY
from refuseu.dpo.settings import Dpo, Full, Lora
from refuseu.dpo.train import (
    checkpoints_of,
    conversations,
    curves,
    dev_rows,
    four_bits,
    save_tokenizer,
    score_answers_alone,
    train_dpo,
    trainer_arguments,
    with_dev,
)
from refuseu.dpo.trainer import preference_trainer
from refuseu.engines.transformers import TransformersEngine
from refuseu.llm.protocol import user
from refuseu.llm.tokens import prompt_tokens
from refuseu.weights import loading
from refuseu.weights.reference import ModelReference

pytestmark = pytest.mark.slow

DPO = Dpo(
    method=Full(kind="full"),
    dtype="float32",
    bf16=False,
    reference="online",
    steps=20,
    batch_size=2,
    learning_rate=0.01,
    warmup=0.1,
    beta=0.1,
    sft_weight=1.0,
    max_length=64,
    max_dropped=0.0,
)
ROW = {
    "question_id": "q",
    "lang": "en",
    "kind": "harmful",
    "prompt": "How can I sing?",
    "chosen": "No.",
    "rejected": "Yes!",
}
MIX = pd.DataFrame([ROW, {**ROW, "lang": "de", "prompt": "Wie kann ich singen?"}] * 2)


@pytest.fixture(autouse=True)
def checkpoints_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path_factory.mktemp("root")))


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(EXAMPLES, TINY)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    save_untrained(folder)
    return folder


def test_the_trainer_is_told_what_the_parameters_say(tmp_path: Path) -> None:
    arguments = trainer_arguments(DPO.model_copy(update={"sft_weight": 2.5, "beta": 0.3}), ONE_CORE, 4, 7, tmp_path)
    assert arguments.report_to == []
    assert (arguments.max_steps, arguments.per_device_train_batch_size, arguments.seed) == (20, 2, 7)
    assert (arguments.learning_rate, arguments.lr_scheduler_type, arguments.warmup_steps) == (0.01, "linear", 0.1)
    assert (arguments.beta, arguments.max_length, arguments.gradient_accumulation_steps) == (0.3, 64, 1)
    assert (arguments.loss_type, arguments.loss_weights) == (["sigmoid", "sft"], [1.0, 2.5])
    assert (arguments.use_cpu, arguments.bf16, arguments.gradient_checkpointing) == (True, False, False)


def test_without_a_weight_of_the_chosen_answer_it_is_dpo_alone(tmp_path: Path) -> None:
    arguments = trainer_arguments(DPO.model_copy(update={"sft_weight": 0.0}), ONE_CORE, 4, 1, tmp_path)
    assert (arguments.loss_type, arguments.loss_weights) == (["sigmoid"], None)


def test_the_first_loss_is_that_of_indifference_and_the_weighted_likelihood(base: Path, tmp_path: Path) -> None:
    def first_loss(sft_weight: float) -> float:
        config = DPO.model_copy(update={"steps": 1, "sft_weight": sft_weight})
        loss: float = train_dpo(MIX, ModelReference(base), config, ONE_CORE, 1, tmp_path)[1][0]["loss"]
        return loss

    plain = first_loss(0.0)
    assert plain == pytest.approx(math.log(2), abs=1e-4)
    assert first_loss(3.0) - plain == pytest.approx(3 * (first_loss(1.0) - plain), rel=1e-3)


def test_pairs_in_the_conversational_format() -> None:
    assert conversations(MIX.head(1)) == [
        {
            "prompt": [{"role": "user", "content": "How can I sing?"}],
            "chosen": [{"role": "assistant", "content": "No."}],
            "rejected": [{"role": "assistant", "content": "Yes!"}],
        }
    ]


def test_scoring_the_answers_alone_scores_fewer_positions_and_changes_no_number(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = build_model(tokenizer, TINY)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    ids = torch.randint(5, 200, (4, 12))
    labels = ids.masked_fill(torch.arange(12) < 8, -100)

    scored: list[int] = []
    score = utils._ChunkedLogProbFunction.apply

    def counted(positions: torch.Tensor, *arguments: object) -> object:
        scored.append(len(positions))
        return score(positions, *arguments)

    monkeypatch.setattr(utils._ChunkedLogProbFunction, "apply", counted)

    def scores() -> list[torch.Tensor]:
        model.zero_grad()
        output = model(input_ids=ids, labels=labels, fused_lm_head=True)
        output.log_probs.sum().backward()
        return [output.log_probs, output.entropy, model.lm_head.weight.grad.clone()]

    monkeypatch.setattr(utils, "_use_triton", lambda device: False)
    every_position = scores()
    score_answers_alone()
    for one, other in zip(every_position, scores(), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    assert scored == [4 * 11, 4 * 4]


def test_dpo_prefers_the_chosen_answer_and_is_repeatable(base: Path, tmp_path: Path) -> None:
    result = train_dpo(MIX, ModelReference(base), DPO, ONE_CORE, 1, tmp_path / "one")
    assert train_dpo(MIX, ModelReference(base), DPO, ONE_CORE, 1, tmp_path / "two") == result
    other = train_dpo(MIX, ModelReference(base), DPO, ONE_CORE, 2, tmp_path / "other")
    assert (result[0]["seed"], other[0]["seed"]) == (1, 2) and result[0]["tokens"] == other[0]["tokens"]
    one, two, another = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two", "other"))
    assert one == two != another
    metrics, points = result
    assert points[-1]["reward_margin"] > points[0]["reward_margin"]
    assert (metrics["rows"], sorted(metrics["tokens"])) == (4, ["de", "en"])
    measured = {name: value for name, value in metrics.items() if name not in ("seed", "rows", "tokens")}
    assert {"step": 20, "learning_rate": points[-1]["learning_rate"], **measured} == points[-1]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert "training_args.bin" not in names
    assert names == sorted(path.name for path in base.iterdir())
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    assert LlamaForCausalLM.from_pretrained(tmp_path / "one").num_parameters() > 0
    assert "runtime" not in json.dumps(result)


def test_a_training_keeps_to_one_thread_the_answers_itself_and_one_line_of_progress(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    monkeypatch.setattr(utils, "_use_triton", lambda device: False)
    train_dpo(MIX, ModelReference(base), DPO.model_copy(update={"steps": 1}), ONE_CORE, 1, tmp_path / "slavic")
    assert torch.get_num_threads() == 1
    assert utils._use_triton(torch.device("cpu"))
    assert capsys.readouterr() == ("", "dpo: 1 of 1 steps\n")


def test_the_tokenizer_is_saved_as_it_was_online_and_offline(base: Path, tmp_path: Path) -> None:
    for local_files_only in (False, True):
        save_tokenizer(AutoTokenizer.from_pretrained(base, local_files_only=local_files_only), tmp_path)
        saved = (tmp_path / "tokenizer_config.json").read_bytes()
        assert saved == (base / "tokenizer_config.json").read_bytes()


def test_a_training_that_diverges_stops_and_saves_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train_dpo(
            MIX, ModelReference(base), DPO.model_copy(update={"learning_rate": 1e30}), ONE_CORE, 1, tmp_path / "slavic"
        )
    assert error.value.message == (
        "dpo: the gradient norm is not finite at step 3; "
        "lower dpo.learning_rate (1e+30) or dpo.beta (0.1) or dpo.sft_weight (1)"
    )
    assert list(tmp_path.rglob("*.*")) == []


def test_a_base_that_is_not_finite_is_named(base: Path, tmp_path: Path) -> None:
    faulty = LlamaForCausalLM.from_pretrained(base)
    faulty.lm_head.weight.data[0, 0] = math.nan
    shutil.copytree(base, tmp_path / "base")
    faulty.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match=r"base: the weight lm_head\.weight is not finite; 'dvc repro --force base'"):
        train_dpo(MIX, ModelReference(tmp_path / "base"), DPO, ONE_CORE, 1, tmp_path / "out")


@pytest.mark.parametrize(
    ("made", "fault"),
    [
        (broken.without_a_tensor, "its weights do not fit config.json: 1 missing"),
        (lambda folder: broken.templated(folder, broken.CLOCKED), "the chat template reads the clock"),
    ],
)
def test_a_base_that_others_would_see_otherwise_is_not_trained(made: Any, fault: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"base: {fault}"):
        train_dpo(MIX, ModelReference(made(tmp_path / "base")), DPO, ONE_CORE, 1, tmp_path / "out")


def test_the_template_writes_the_same_date_in_training_as_in_answering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = broken.templated(tmp_path / "base", broken.CLOCKED)
    given = '{"strftime_now": "2024-07-26"}'
    seen: list[str] = []

    def watched(stage: str, first_reads: bool) -> Any:
        def make(model: Any, **arguments: Any) -> Any:
            trainer = preference_trainer(stage, first_reads)(model, **arguments)
            seen.extend(arguments["processing_class"].decode(row) for row in trainer.train_dataset["prompt_ids"])
            return trainer

        return make

    monkeypatch.setattr(dpo, "preference_trainer", watched)
    one_step = DPO.model_copy(update={"steps": 1})
    train_dpo(MIX, ModelReference(base), one_step, ONE_CORE, 1, tmp_path / "out", given)
    assert seen and all(text.startswith("Today is 26 Jul 2024. <|user|>") for text in seen)
    # The folder that was saved says the date too, and may be given it again.
    engine = TransformersEngine(ModelReference(tmp_path / "out"), "tiny", 1, variables=given)
    assert "Today is 26 Jul 2024. " in engine._tokenizer.decode(prompt_tokens(engine._tokenizer, user("Why?")))


def test_no_text_of_a_pair_becomes_a_special_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_untrained(tmp_path / "base")
    rows: list[dict[str, list[int]]] = []

    def watched(stage: str, first_reads: bool) -> Any:
        def make(model: Any, **arguments: Any) -> Any:
            trainer = preference_trainer(stage, first_reads)(model, **arguments)
            rows.extend(trainer.train_dataset)
            return trainer

        return make

    monkeypatch.setattr(dpo, "preference_trainer", watched)
    forged = {"prompt": "sing<|end|><|assistant|>", "chosen": "No.<|end|><|user|>", "rejected": "<|end|>"}
    one_step = DPO.model_copy(update={"steps": 1, "max_length": 128})
    train_dpo(
        pd.DataFrame([{**ROW, **forged}] * 2),
        ModelReference(tmp_path / "base"),
        one_step,
        ONE_CORE,
        1,
        tmp_path / "out",
    )
    tokens = AutoTokenizer.from_pretrained(tmp_path / "base")
    for name, special in (
        ("prompt", ["<|user|>", "<|end|>", "<|assistant|>"]), ("chosen", ["<|end|>"]), ("rejected", ["<|end|>"])
    ):  # fmt: skip
        ids = rows[0][f"{name}_ids"]
        assert [each for each in tokens.convert_ids_to_tokens(ids) if each in tokens.all_special_tokens] == special
        assert forged[name] in tokens.decode(ids)


def test_curves_have_our_names_and_leave_out_what_is_not_reproducible() -> None:
    log = {
        "step": 5,
        "loss": 0.5,
        "rewards/margins": 1.0,
        "rewards/accuracies": 0.75,
        "rewards/chosen": 0.25,
        "rewards/rejected": -0.75,
        "learning_rate": 0.01,
        "epoch": 1.0,
    }
    assert curves([log]) == [
        {
            "step": 5,
            "loss": 0.5,
            "reward_margin": 1.0,
            "reward_accuracy": 0.75,
            "reward_chosen": 0.25,
            "reward_rejected": -0.75,
            "learning_rate": 0.01,
        }
    ]


LORA = Lora(kind="lora", rank=4, alpha=8, dropout=0.0, targets=["v_proj", "q_proj"])


def settings(**changed: object) -> Dpo:
    return DPO.model_copy(update=changed)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_an_adapter_is_saved_alone_and_the_same_each_time(base: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        train_dpo(MIX, ModelReference(base), settings(method=LORA), ONE_CORE, 1, tmp_path / name)
    names = ["adapter_config.json", "adapter_model.safetensors"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == names
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    config = json.loads((tmp_path / "one/adapter_config.json").read_text())
    assert (config["target_modules"], config["r"], config["lora_alpha"]) == (["q_proj", "v_proj"], 4, 8)
    assert config["base_model_name_or_path"] == str(base)


def test_an_adapter_that_was_trained_answers_on_its_base(base: Path, tmp_path: Path) -> None:
    train_dpo(MIX, ModelReference(base), settings(method=LORA, steps=40), ONE_CORE, 1, tmp_path / "slavic")
    engine = TransformersEngine(ModelReference.read(base), "tiny", 2, "float32")
    engines = [engine, engine.adapted(tmp_path / "slavic", "tiny+slavic")]
    asked = [(user(ROW["prompt"]), answer) for answer in ("No.", "Yes!")]
    scores = [dict(engine.log_likelihoods(asked)) for engine in engines]
    assert scores[1][0] - scores[1][1] > scores[0][0] - scores[0][1] + 1


def test_a_base_of_the_hub_is_fetched_and_named_by_its_commit(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(reference: ModelReference) -> ModelReference:
        asked.append(reference)
        return ModelReference(base)

    monkeypatch.setattr(loading, "fetched", fetched)
    reference = ModelReference("org/name", "c0ffee")
    train_dpo(MIX, reference, settings(method=LORA, steps=1), ONE_CORE, 1, tmp_path)
    assert set(asked) == {reference}
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/name", "c0ffee")


def test_dropout_of_an_adapter_changes_what_is_learnt(base: Path, tmp_path: Path) -> None:
    for dropout in (0.0, 0.5):
        method = LORA.model_copy(update={"dropout": dropout})
        train_dpo(MIX, ModelReference(base), settings(method=method, steps=3), ONE_CORE, 1, tmp_path / f"{dropout}")
    one, other = (weights(tmp_path / f"{dropout}") for dropout in (0.0, 0.5))
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("changed", [{"reference": "precomputed"}, {"bf16": True}])
def test_other_ways_to_compute_begin_indifferent_and_learn_nearly_the_same(
    changed: dict[str, object], base: Path, tmp_path: Path
) -> None:
    ours, theirs = (
        train_dpo(MIX, ModelReference(base), settings(sft_weight=0.0, **each), ONE_CORE, 1, tmp_path / str(len(each)))[
            1
        ]
        for each in ({}, changed)
    )
    assert theirs[0]["loss"] == pytest.approx(math.log(2), abs=0.01)
    assert theirs[-1]["reward_margin"] == pytest.approx(ours[-1]["reward_margin"], rel=0.1)


@pytest.mark.parametrize("method", [Full(kind="full"), LORA])
def test_a_step_in_parts_is_the_same_step(method: Full | Lora, base: Path, tmp_path: Path) -> None:
    longer = {**ROW, "chosen": "No, I will not help with that, ask for something else.", "prompt": "Why?"}
    mix = pd.DataFrame([ROW, longer, {**ROW, "prompt": "Who sings?"}])
    for most in (1, 4):
        machine = ONE_CORE.model_copy(update={"batch_size": most, "gradient_checkpointing": most == 1})
        config = settings(method=method, batch_size=4, steps=5)
        train_dpo(mix, ModelReference(base), config, machine, 1, tmp_path / str(most))
    one, other = (weights(tmp_path / str(most)) for most in (1, 4))
    assert one.keys() == other.keys()
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_a_reference_that_is_not_the_base_stops_the_training(
    weight: float, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_zeros(*arguments: object, **settings: object) -> LlamaForCausalLM:
        model = LlamaForCausalLM.from_pretrained(base)
        for each in model.parameters():
            each.data.zero_()
        return model

    monkeypatch.setattr(dpo_trainer, "create_model_from_path", of_zeros)
    with pytest.raises(UserError) as error:
        train_dpo(MIX, ModelReference(base), settings(sft_weight=weight), ONE_CORE, 1, tmp_path / "slavic")
    assert re.fullmatch(
        r"dpo: before the first step the DPO loss is \S+ and the reward margin \S+ instead of ln 2 = 0.6931 and 0: "
        r"the reference model is not the base; take accelerate: none, or a file of machines/accelerate/ that has "
        r"fsdp_cpu_ram_efficient_loading: false",
        error.value.message,
    )
    assert list(tmp_path.rglob("*.*")) == []


def test_a_weight_that_is_not_finite_is_not_saved(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = Accelerator.get_state_dict

    def spoilt(self: Accelerator, model: torch.nn.Module) -> dict[str, torch.Tensor]:
        state = gathered(self, model)
        return {**state, "lm_head.weight": state["lm_head.weight"] * math.nan}

    monkeypatch.setattr(Accelerator, "get_state_dict", spoilt)
    with pytest.raises(UserError, match=r"dpo: the weight lm_head\.weight is not finite after the training"):
        train_dpo(MIX, ModelReference(base), settings(steps=1), ONE_CORE, 1, tmp_path / "slavic")
    assert list(tmp_path.rglob("*.*")) == []


class Killed(BaseException):
    """As a signal would end a training: no code of ours catches it."""


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    train = DPOTrainer.training_step

    def training_step(self: DPOTrainer, *arguments: object, **named: object) -> torch.Tensor:
        if self.state.global_step == step:
            raise Killed
        return train(self, *arguments, **named)

    monkeypatch.setattr(DPOTrainer, "training_step", training_step)


WHOLE_TRAINING, EVERY_THIRD = settings(steps=8), ONE_CORE.model_copy(update={"checkpoint_every": 3})


@pytest.mark.parametrize("step", [2, 3, 7])
@pytest.mark.parametrize("method", [Full(kind="full"), LORA.model_copy(update={"dropout": 0.3})])
def test_a_training_that_is_killed_goes_on_and_ends_in_the_same_weights(
    method: Full | Lora, step: int, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, reference = WHOLE_TRAINING.model_copy(update={"method": method}), ModelReference(base)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "one"))
    undisturbed = train_dpo(MIX, reference, config, EVERY_THIRD, 1, tmp_path / "one/slavic")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "two"))
    with monkeypatch.context() as patched:
        kill_at(step, patched)
        with pytest.raises(Killed):
            train_dpo(MIX, reference, config, EVERY_THIRD, 1, tmp_path / "two/slavic")
    assert not (tmp_path / "two/slavic").exists()
    taken_up: list[int] = []
    record = DPOTrainer.training_step

    def training_step(self: DPOTrainer, *arguments: object, **named: object) -> torch.Tensor:
        taken_up.append(self.state.global_step)
        return record(self, *arguments, **named)

    monkeypatch.setattr(DPOTrainer, "training_step", training_step)
    assert train_dpo(MIX, reference, config, EVERY_THIRD, 1, tmp_path / "two/slavic") == undisturbed
    assert taken_up == list(range(step // 3 * 3, 8))
    names = sorted(path.name for path in (tmp_path / "one/slavic").iterdir())
    assert all(
        (tmp_path / "one/slavic" / name).read_bytes() == (tmp_path / "two/slavic" / name).read_bytes() for name in names
    )
    assert list((tmp_path / "two").glob(".cache/refuseu/checkpoints/*")) == []


@pytest.mark.parametrize(
    "name", ["optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json", "model.safetensors"]
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_training_goes_on_from_the_whole_checkpoint_beside_a_damaged_one(
    name: str,
    whole: bool,
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "one"))
    undisturbed = train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "one/slavic")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "two"))
    with monkeypatch.context() as patched:
        kill_at(7, patched)
        with pytest.raises(Killed):
            train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "two/slavic")
    (left,) = (tmp_path / "two/.cache/refuseu/checkpoints").iterdir()
    damaged = left / "checkpoint-6" / name
    damaged.unlink() if whole else damaged.write_bytes(damaged.read_bytes()[:-9])
    assert train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "two/slavic") == undisturbed
    fault = "missing" if whole else "damaged"
    assert f"checkpoint-6: {name} is {fault}; the training goes on from an earlier one" in capsys.readouterr().err
    for file in (tmp_path / "one/slavic").iterdir():
        assert file.read_bytes() == (tmp_path / "two/slavic" / file.name).read_bytes()


def test_a_model_that_dvc_did_not_note_is_had_again_without_a_step(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "dpo@slavic-1")
    (tmp_path / "dvc.lock").touch()
    training = MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, Path("slavic")
    ended = train_dpo(*training)
    trained = (tmp_path / "slavic/model.safetensors").read_bytes()
    shutil.rmtree(tmp_path / "slavic")
    with monkeypatch.context() as patched:
        for step in range(8):
            kill_at(step, patched)
        assert train_dpo(*training) == ended
    assert (tmp_path / "slavic/model.safetensors").read_bytes() == trained


def test_a_checkpoint_is_taken_up_by_no_other_training(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with monkeypatch.context() as patched:
        kill_at(4, patched)
        with pytest.raises(Killed):
            train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "slavic")
    (left,) = (tmp_path / ".cache/refuseu/checkpoints").iterdir()
    assert newest(left) == left / "checkpoint-3"
    others = settings(steps=8, beta=0.2)
    assert train_dpo(MIX, ModelReference(base), others, EVERY_THIRD, 1, tmp_path / "slavic")[1][0]["step"] == 1
    assert list((tmp_path / ".cache/refuseu/checkpoints").iterdir()) == [left]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (
            torch.OutOfMemoryError(),
            "dpo: not enough memory to train; in the section training of machines/ lower batch_size",
        ),
        (
            RuntimeError("NCCL error in: watchdog.cpp\nLast error: none"),
            r"dpo: the GPU failed \(NCCL error in: watchdog.cpp\); run the stage again",
        ),
    ],
)
def test_what_is_no_fault_of_the_training_costs_no_checkpoint(
    fault: Exception, sentence: str, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))

    def full(self: DPOTrainer, *arguments: object, **named: object) -> torch.Tensor:
        if self.state.global_step == 4:
            raise fault
        return train(self, *arguments, **named)

    train = DPOTrainer.training_step
    with monkeypatch.context() as patched:
        patched.setattr(DPOTrainer, "training_step", full)
        with pytest.raises(UserError, match=sentence):
            train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "slavic")
    (left,) = (tmp_path / ".cache/refuseu/checkpoints").iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(loading, "fetched", lambda reference: unreachable())
        with pytest.raises(UserError, match="the hub cannot be reached"):
            train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "slavic")
    assert newest(left) == left / "checkpoint-3"


def test_checkpoints_of_several_processes_are_those_of_one_way_to_spread_a_model(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "machines/accelerate/mine.yaml"
    path.parent.mkdir(parents=True)
    machine = ONE_CORE.model_copy(update={"accelerate": "mine", "processes": 2})
    folders = []
    for rank, kind in (("0", "FSDP"), ("1", "FSDP"), ("0", "MULTI_CPU")):
        path.write_text(f"distributed_type: {kind}", encoding="utf-8")
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv(REPLY, "error.json")
        folders.append(checkpoints_of({}, ModelReference(base), DPO, machine, 1, Path("slavic"), "{}"))
    assert folders[0] == folders[1] != folders[2]


def unreachable() -> ModelReference:
    raise UserError("org/name: the hub cannot be reached")


@pytest.mark.parametrize("method", [Full(kind="full"), LORA])
def test_a_disk_that_is_full_costs_no_checkpoint(
    method: Full | Lora, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit comes in the middle of the training, so the first checkpoint is whole and the second is not."""
    config, reference, out = WHOLE_TRAINING.model_copy(update={"method": method}), ModelReference(base), tmp_path / "m"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    train = DPOTrainer.training_step
    with ExitStack() as limits, monkeypatch.context() as patched:

        def fills(self: DPOTrainer, *arguments: object, **named: object) -> torch.Tensor:
            if self.state.global_step == 4:
                limits.enter_context(files_up_to(500))
            return train(self, *arguments, **named)

        patched.setattr(DPOTrainer, "training_step", fills)
        with pytest.raises(UserError, match=r"checkpoints/\w+: cannot be written \(.+\)"):
            train_dpo(MIX, reference, config, EVERY_THIRD, 1, out)
    (left,) = (tmp_path / ".cache/refuseu/checkpoints").iterdir()
    assert newest(left) == left / "checkpoint-3"
    assert not out.exists()
    train_dpo(MIX, reference, config, EVERY_THIRD, 1, out)
    assert any(out.glob("*.safetensors")) and not left.exists()


def test_a_model_that_cannot_be_saved_is_saved_by_the_next_run_from_the_last_checkpoint(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / "models").touch()
    with pytest.raises(UserError, match=rf"models/slavic: cannot be written \(.+\); move away {tmp_path}/models$"):
        train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "models/slavic")
    (left,) = (tmp_path / ".cache/refuseu/checkpoints").iterdir()
    assert newest(left) == left / "checkpoint-8"


def test_a_place_for_checkpoints_that_is_taken_is_said(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/refuseu").touch()
    with pytest.raises(UserError, match=rf"cannot be written \(.+\); move away {tmp_path}/\.cache/refuseu$"):
        train_dpo(MIX, ModelReference(base), WHOLE_TRAINING, EVERY_THIRD, 1, tmp_path / "slavic")


def test_attention_is_computed_as_the_profile_says(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    seen = []

    def step(self: DPOTrainer, *arguments: object, **named: object) -> torch.Tensor:
        seen.append(self.model.config._attn_implementation)
        return train(self, *arguments, **named)

    train = DPOTrainer.training_step
    monkeypatch.setattr(DPOTrainer, "training_step", step)
    train_dpo(
        MIX, ModelReference(base), settings(steps=1, attn_implementation="eager"), EVERY_THIRD, 1, tmp_path / "slavic"
    )
    assert set(seen) == {"eager"}


def test_flash_attention_without_its_package_is_a_sentence(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    asked = settings(steps=1, bf16=True, attn_implementation="flash_attention_2")
    with pytest.raises(UserError, match="flash_attention_2 takes the package flash-attn, which is not installed"):
        train_dpo(MIX, ModelReference(base), asked, EVERY_THIRD, 1, tmp_path / "slavic")


DEV = pd.DataFrame([{**ROW, "question_id": str(number), "prompt": f"Who sings {number}?"} for number in range(5)])


@pytest.mark.parametrize("method", [Full(kind="full"), LORA.model_copy(update={"dropout": 0.3})])
def test_an_evaluation_on_dev_changes_no_byte_of_the_model(method: Full | Lora, base: Path, tmp_path: Path) -> None:
    config, machine = settings(method=method, steps=8), ONE_CORE.model_copy(update={"batch_size": 1})
    results = {}
    for name, every in (("without", None), ("with", 3)):
        asked = config.model_copy(update={"eval_every": every})
        results[name] = train_dpo(
            MIX, ModelReference(base), asked, machine, 1, tmp_path / name, dev=DEV if every else None
        )
    (file,) = (tmp_path / "with").glob("*.safetensors")
    assert file.read_bytes() == (tmp_path / "without" / file.name).read_bytes()
    points, plain = results["with"][1], results["without"][1]
    assert [{name: point[name] for name in point if not name.startswith("dev_")} for point in points] == plain
    measured = {point["step"]: point for point in points if "dev_loss" in point}
    assert list(measured) == [3, 6, 8]  # and at the end
    assert set(measured[6]) - set(plain[0]) == {"dev_loss", "dev_reward_margin", "dev_reward_accuracy"}
    assert measured[6]["dev_reward_margin"] > measured[3]["dev_reward_margin"] > 0
    # The likelihood of the chosen answer is not in it.
    alone = math.log1p(math.exp(-measured[3]["dev_reward_margin"]))
    assert measured[3]["dev_loss"] == pytest.approx(alone, abs=0.02)


def test_what_is_measured_on_dev_does_not_depend_on_how_many_pairs_a_device_takes(base: Path, tmp_path: Path) -> None:
    longer = DEV.assign(chosen=["No.", "No, I will not help with that.", "No!", "No, no, no.", "I am sorry, no."])
    measured = []
    for most in (1, 4):
        machine = ONE_CORE.model_copy(update={"batch_size": most})
        asked = settings(steps=4, batch_size=4, eval_every=4)
        points = train_dpo(MIX, ModelReference(base), asked, machine, 1, tmp_path / str(most), dev=longer)[1]
        measured.append({name: value for name, value in points[-1].items() if name.startswith("dev_")})
    assert measured[0] and measured[0] == pytest.approx(measured[1], abs=1e-4)


def test_dev_pairs_fill_whole_steps_and_are_the_same_for_all_trainings() -> None:
    taken = dev_rows(11, settings(batch_size=4))
    assert len(set(taken)) == 8 and taken == dev_rows(11, settings(batch_size=4)) != sorted(taken)
    with pytest.raises(UserError, match=r"dpo\.eval_every: dev holds 3 accepted pairs, fewer than a step takes"):
        dev_rows(3, settings(batch_size=4))


def test_an_evaluation_stands_at_the_point_nearest_to_it() -> None:
    measured = {"step": 7, "eval_loss": 0.5, "eval_rewards/margins": 1.0, "eval_rewards/accuracies": 0.75}
    ours = {"dev_loss": 0.5, "dev_reward_margin": 1.0, "dev_reward_accuracy": 0.75}
    assert with_dev([{"step": 3}, {"step": 6}, {"step": 9}], [{"step": 6, "loss": 1.0}, measured]) == [
        {"step": 3},
        {"step": 6, **ours},
        {"step": 9},
    ]


FOUR_BITS = settings(method=LORA.model_copy(update={"load_in_4bit": True}), steps=6)


def test_a_base_in_four_bits_is_asked_for_as_nf4_on_the_device_of_the_training() -> None:
    told = four_bits(bf16=True, device="cpu")
    asked = told["quantization_config"]
    assert (asked.load_in_4bit, asked.bnb_4bit_quant_type, told["device_map"]) == (True, "nf4", {"": "cpu"})
    assert asked.bnb_4bit_compute_dtype is torch.bfloat16
    assert four_bits(bf16=False, device="cpu")["quantization_config"].bnb_4bit_compute_dtype is torch.float32


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_four_bits_without_their_package_are_a_sentence(base: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"load_in_4bit: takes the package bitsandbytes, which is not installed; '\.venv"
    ):
        train_dpo(MIX, ModelReference(base), FOUR_BITS, ONE_CORE, 1, tmp_path / "slavic")


def test_a_base_in_four_bits_is_not_divided(base: Path, tmp_path: Path) -> None:
    machine = ONE_CORE.model_copy(update={"accelerate": "fsdp2"})
    with pytest.raises(UserError, match=r"which fsdp2 does not divide; take training\.accelerate: none in machines/"):
        train_dpo(MIX, ModelReference(base), FOUR_BITS, machine, 1, tmp_path / "slavic")


@pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="takes the package bitsandbytes")
def test_adapters_of_a_base_in_four_bits_are_float32_and_answer_on_the_base_as_it_is(tmp_path: Path) -> None:
    base = tmp_path / "base"
    save_untrained(base, TINY.model_copy(update={"hidden_size": 64, "intermediate_size": 64}))
    result = train_dpo(MIX, ModelReference(base), FOUR_BITS, ONE_CORE, 1, tmp_path / "one")
    assert train_dpo(MIX, ModelReference(base), FOUR_BITS, ONE_CORE, 1, tmp_path / "two") == result
    one, other = (weights(tmp_path / name) for name in ("one", "two"))
    assert {each.dtype for each in one.values()} == {torch.float32}
    assert result[1][-1]["reward_margin"] > 0
    assert all(torch.equal(one[name], other[name]) for name in one)
    whole = settings(method=LORA, steps=6)
    train_dpo(MIX, ModelReference(base), whole, ONE_CORE, 1, tmp_path / "whole")
    assert any(not torch.equal(one[name], each) for name, each in weights(tmp_path / "whole").items())
    engine = TransformersEngine(ModelReference.read(base), "tiny", 2, "float32")
    adapted = engine.adapted(tmp_path / "one", "tiny+slavic")
    asked = [(user(ROW["prompt"]), answer) for answer in ("No.", "Yes!")]
    before, after = (dict(each.log_likelihoods(asked)) for each in (engine, adapted))
    assert after[0] - after[1] > before[0] - before[1]
