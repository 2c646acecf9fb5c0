import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast
from trl.trainer import utils

from refuseu.errors import UserError
from refuseu.parameters import Dpo
from refuseu.training.base import build_model, build_tokenizer
from refuseu.training.dpo import (
    check_lengths,
    conversations,
    curves,
    save_tokenizer,
    score_answers_alone,
    token_statistics,
    train_dpo,
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
    with pytest.raises(UserError, match=r"en.*max_length"):
        check_lengths(statistics, DPO)


def test_pairs_in_the_conversational_format() -> None:
    assert conversations(MIX.head(1)) == [
        {
            "prompt": [{"role": "user", "content": "How can I sing?"}],
            "chosen": [{"role": "assistant", "content": "No."}],
            "rejected": [{"role": "assistant", "content": "Yes!"}],
        }
    ]


def test_scoring_the_answers_alone_changes_no_number(
    tokenizer: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(1)
    model = build_model(tokenizer, TINY)
    utils.add_fused_lm_head(model, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    ids = torch.randint(5, 200, (4, 12))
    labels = ids.masked_fill(torch.arange(12) < 8, -100)

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


def test_dpo_prefers_the_chosen_answer_and_is_repeatable(base: Path, tmp_path: Path) -> None:
    result = train_dpo(MIX, base, DPO, 1, tmp_path / "one")
    assert train_dpo(MIX, base, DPO, 1, tmp_path / "two") == result
    assert result["rows"] == 4
    assert result["curves"][-1]["reward_margin"] > result["curves"][0]["reward_margin"]
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert "model.safetensors" in names and "training_args.bin" not in names
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in names)
    assert LlamaForCausalLM.from_pretrained(tmp_path / "one").num_parameters() > 0
    assert "runtime" not in json.dumps(result)


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


def test_curves_leave_run_times_out() -> None:
    log = [{"loss": 0.5, "rewards/margins": 1.0, "step": 5, "epoch": 1.0}, {"train_runtime": 3.0, "step": 5}]
    assert curves(log) == [{"step": 5, "loss": 0.5, "reward_margin": 1.0}]
