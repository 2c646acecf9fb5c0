import copy
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import datasets
import pandas as pd
import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging
from trl.trainer import utils

from refuseu.errors import UserError
from refuseu.parameters import Dpo
from refuseu.training.base import build_model, build_tokenizer
from refuseu.training.dpo import (
    TokenStatistics,
    check_lengths,
    conversations,
    curves,
    save_tokenizer,
    score_answers_alone,
    token_statistics,
    train_dpo,
    trainer_arguments,
)

DPO = Dpo(
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


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(EXAMPLES, TINY)


@pytest.fixture(scope="module")
def base(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(1)
    build_model(tokenizer, TINY).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_tokens_are_counted_by_language_as_the_trainer_sees_them(tokenizer: PreTrainedTokenizerFast) -> None:
    def length(prompt: str, answer: str) -> int:
        return len(tokenizer(f"<|user|>{prompt}<|end|><|assistant|>{answer}<|end|>")["input_ids"])

    statistics = token_statistics(MIX, tokenizer, 64)
    assert statistics["en"].tokens_p50 == max(length("How can I sing?", answer) for answer in ("No.", "Yes!"))
    assert (statistics["de"].rows, statistics["de"].dropped, statistics["de"].truncated) == (2, 0, 0)


def test_rows_that_do_not_fit_are_counted_and_stop_the_stage(tokenizer: PreTrainedTokenizerFast) -> None:
    mix = pd.DataFrame([ROW, {**ROW, "prompt": "sing " * 100}, {**ROW, "chosen": "no " * 100}])
    statistics = token_statistics(mix, tokenizer, 64)
    assert (statistics["en"].dropped, statistics["en"].truncated) == (1, 1)
    with pytest.raises(UserError) as error:
        check_lengths(statistics, DPO)
    assert error.value.message == (
        "dpo.max_length: 64 tokens drop or cut 66.7% of the rows in en, more than dpo.max_dropped 0.0%; "
        f"raise dpo.max_length to {statistics['en'].tokens_max}"
    )


def test_a_row_that_just_fits_is_neither_dropped_nor_truncated(tokenizer: PreTrainedTokenizerFast) -> None:
    mix = pd.DataFrame([ROW])
    prompt = len(tokenizer("<|user|>How can I sing?<|end|><|assistant|>")["input_ids"])
    total = int(token_statistics(mix, tokenizer, 64)["en"].tokens_max)

    def lost(max_length: int) -> tuple[int, int]:
        statistics = token_statistics(mix, tokenizer, max_length)["en"]
        return statistics.dropped, statistics.truncated

    assert (lost(total), lost(total - 1)) == ((0, 0), (0, 1))
    assert (lost(prompt + 1), lost(prompt)) == ((0, 1), (1, 0))


def test_a_language_may_lose_exactly_the_share_that_is_allowed() -> None:
    german = TokenStatistics(rows=4, tokens_p50=9.0, tokens_p99=9.0, tokens_max=9, dropped=1, truncated=1)
    fits = TokenStatistics(rows=4, tokens_p50=9.0, tokens_p99=9.0, tokens_max=99, dropped=0, truncated=0)
    check_lengths({"en": fits, "de": german}, DPO.model_copy(update={"max_dropped": 0.5}))
    with pytest.raises(UserError, match=r"50\.0% of the rows in de, .*max_dropped 49\.0%; raise dpo\.max_length to 99"):
        check_lengths({"en": fits, "de": german}, DPO.model_copy(update={"max_dropped": 0.49}))


def test_the_quantiles_are_of_prompt_and_longer_answer(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = [{**ROW, "prompt": "~" * size, "chosen": "~", "rejected": "~~"} for size in range(1, 102)]
    statistics = token_statistics(pd.DataFrame(rows), tokenizer, 1000)["en"]
    around = 6  # the four tokens of the template, and the two of the answer
    assert (statistics.tokens_p50, statistics.tokens_p99, statistics.tokens_max) == (
        51 + around,
        100 + around,
        101 + around,
    )
    swapped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows]
    assert token_statistics(pd.DataFrame(swapped), tokenizer, 1000)["en"] == statistics


def test_a_prompt_that_reads_otherwise_before_an_answer_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    other = copy.deepcopy(tokenizer)
    other.chat_template = tokenizer.chat_template.replace("<|assistant|>{% endif %}", "<|assistant|>Well: {% endif %}")
    with pytest.raises(UserError, match="dpo: question q in en: the prompt has other tokens before an answer than"):
        token_statistics(MIX, other, 64)


def test_the_trainer_is_told_what_the_parameters_say(tmp_path: Path) -> None:
    arguments = trainer_arguments(DPO.model_copy(update={"sft_weight": 2.5, "beta": 0.3}), 7, tmp_path)
    assert arguments.report_to == []
    assert (arguments.max_steps, arguments.per_device_train_batch_size, arguments.seed) == (20, 2, 7)
    assert (arguments.learning_rate, arguments.lr_scheduler_type, arguments.warmup_steps) == (0.01, "linear", 0.1)
    assert (arguments.beta, arguments.max_length, arguments.gradient_accumulation_steps) == (0.3, 64, 1)
    assert (arguments.loss_type, arguments.loss_weights) == (["sigmoid", "sft"], [1.0, 2.5])
    assert (arguments.use_cpu, arguments.bf16, arguments.gradient_checkpointing) == (True, False, False)


def test_without_a_weight_of_the_chosen_answer_it_is_dpo_alone(tmp_path: Path) -> None:
    arguments = trainer_arguments(DPO.model_copy(update={"sft_weight": 0.0}), 1, tmp_path)
    assert (arguments.loss_type, arguments.loss_weights) == (["sigmoid"], None)


def test_the_first_loss_is_that_of_indifference_and_the_weighted_likelihood(base: Path, tmp_path: Path) -> None:
    def first_loss(sft_weight: float) -> float:
        config = DPO.model_copy(update={"steps": 1, "sft_weight": sft_weight})
        loss: float = train_dpo(MIX, base, config, 1, tmp_path)["curves"][0]["loss"]
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
    result = train_dpo(MIX, base, DPO, 1, tmp_path / "one")
    assert train_dpo(MIX, base, DPO, 1, tmp_path / "two") == result
    assert result["rows"] == 4
    assert result["curves"][-1]["reward_margin"] > result["curves"][0]["reward_margin"]
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
    monkeypatch.delenv("HF_HUB_DISABLE_TELEMETRY")
    logging.enable_progress_bar()
    datasets.enable_progress_bars()
    train_dpo(MIX, base, DPO.model_copy(update={"steps": 1}), 1, tmp_path / "slavic")
    assert torch.get_num_threads() == 1
    assert utils._use_triton(torch.device("cpu"))
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert capsys.readouterr() == ("", "dpo@slavic: 1 of 1 steps\n")


def test_the_tokenizer_is_saved_as_it_was_online_and_offline(base: Path, tmp_path: Path) -> None:
    for local_files_only in (False, True):
        save_tokenizer(AutoTokenizer.from_pretrained(base, local_files_only=local_files_only), tmp_path)
        saved = (tmp_path / "tokenizer_config.json").read_bytes()
        assert saved == (base / "tokenizer_config.json").read_bytes()


def test_a_training_does_not_report_to_the_hub() -> None:
    code = """
import os, sys
os.environ.pop("HF_HUB_DISABLE_TELEMETRY", None)
import click, pandas, pyarrow.parquet, pydantic, refuseu.training.dpo
assert "huggingface_hub" not in sys.modules
refuseu.training.dpo.no_telemetry()
from huggingface_hub import constants
assert constants.HF_HUB_DISABLE_TELEMETRY
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_training_that_diverges_stops_and_saves_nothing(base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train_dpo(MIX, base, DPO.model_copy(update={"learning_rate": 1e30}), 1, tmp_path / "slavic")
    assert error.value.message == (
        "dpo@slavic: the gradient norm is not finite at step 3; "
        "lower dpo.learning_rate (1e+30) or dpo.beta (0.1) or dpo.sft_weight (1)"
    )
    assert list(tmp_path.rglob("*.*")) == []


def test_a_base_that_is_not_finite_is_named(base: Path, tmp_path: Path) -> None:
    broken = LlamaForCausalLM.from_pretrained(base)
    broken.lm_head.weight.data[0, 0] = math.nan
    shutil.copytree(base, tmp_path / "base")
    broken.save_pretrained(tmp_path / "base")
    with pytest.raises(UserError, match=r"base: the weight lm_head\.weight is not finite; 'dvc repro --force base'"):
        train_dpo(MIX, tmp_path / "base", DPO, 1, tmp_path / "out")


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
