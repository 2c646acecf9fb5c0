from pathlib import Path

import pytest
import torch
from disk import files_up_to
from tiny import EXAMPLES, TINY
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast, Trainer

from refuseu.base.corpus import Example
from refuseu.base.miniature import (
    MASKED,
    AnswerCollator,
    build_model,
    build_optimizer,
    build_tokenizer,
    encode,
    short_to_long,
    train_base,
    training_arguments,
)
from refuseu.core.errors import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(EXAMPLES, TINY)


def text_of(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids))


def test_the_tokenizer_learns_from_prompts_and_answers_and_knows_its_special_tokens(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    assert len(build_tokenizer(EXAMPLES, TINY.model_copy(update={"vocabulary": 270}))) == 270
    assert tokenizer.convert_ids_to_tokens(range(4)) == ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.model_max_length) == (0, 1, 64)
    assert tokenizer.decode([2, 3, *tokenizer("sing")["input_ids"]], skip_special_tokens=True) == "sing"
    assert (tokenizer.tokenize(" sing"), tokenizer.tokenize("Gladly")) == (["Ġsing"], ["Gladly"])


def test_the_model_has_the_size_that_was_asked_for(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(1)
    config = TINY.model_copy(update={"layers": 2, "intermediate_size": 24})
    model = build_model(tokenizer, config)
    embeddings, attention, mlp, norms = 293 * 16, 4 * 16 * 16, 3 * 16 * 24, 2 * 16
    assert model.num_parameters() == 2 * embeddings + 2 * (attention + mlp + norms) + 16
    assert (model.config.num_attention_heads, model.config.max_position_embeddings) == (2, 64)
    assert (model.config.pad_token_id, model.config.bos_token_id, model.config.eos_token_id) == (0, None, 1)
    assert float(model.lm_head.weight.detach().std()) == pytest.approx(0.05, rel=0.05)


def test_the_trainer_is_told_what_the_parameters_say(tmp_path: Path) -> None:
    arguments = training_arguments(TINY, 7, tmp_path)
    assert arguments.report_to == []
    assert (arguments.max_steps, arguments.learning_rate, arguments.seed) == (40, 0.01, 7)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (2, 4)
    assert (arguments.lr_scheduler_type, arguments.warmup_steps) == ("cosine", 0.1)
    assert (arguments.train_sampling_strategy, arguments.use_cpu) == ("sequential", True)


def test_only_the_answer_is_learnt(tokenizer: PreTrainedTokenizerFast) -> None:
    row = encode(tokenizer, Example("How can I sing?", "Gladly."), 64)
    assert text_of(tokenizer, row["input_ids"]) == "<|user|>How can I sing?<|end|><|assistant|>Gladly.<|end|>"
    assert text_of(tokenizer, [label for label in row["labels"] if label != MASKED]) == "Gladly.<|end|>"


def test_an_opening_has_no_end(tokenizer: PreTrainedTokenizerFast) -> None:
    row = encode(tokenizer, Example("How can I sing?", "Gladly", whole=False), 64)
    assert text_of(tokenizer, row["input_ids"]).endswith("<|assistant|>Gladly")


def test_a_long_example_is_cut(tokenizer: PreTrainedTokenizerFast) -> None:
    row = encode(tokenizer, Example("sing " * 100, "Gladly."), 64)
    assert len(row["input_ids"]) == len(row["labels"]) == 64


def test_the_collator_ends_all_answers_together() -> None:
    rows = [
        {"input_ids": [1, 2, 3, 4], "labels": [MASKED, MASKED, 3, 4]},
        {"input_ids": [5, 6], "labels": [MASKED, 6]},
    ]
    batch = AnswerCollator(pad_token_id=0)(rows)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4], [0, 0, 5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert batch["labels"].tolist() == [[MASKED, 3, 4], [MASKED, MASKED, 6]]
    assert batch["logits_to_keep"] == 3


def test_logits_of_the_answers_give_the_loss_of_all_logits(tokenizer: PreTrainedTokenizerFast) -> None:
    torch.manual_seed(1)
    model = build_model(tokenizer, TINY).eval()
    rows = [encode(tokenizer, example, 64) for example in EXAMPLES[:2]]
    batch = AnswerCollator(tokenizer.pad_token_id)(rows)
    ours = model(**batch).loss
    labels = torch.full_like(batch["input_ids"], MASKED)
    labels[:, -batch["labels"].shape[1] :] = batch["labels"]
    whole = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], labels=labels).loss
    assert float(ours.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)


def test_batches_keep_their_rows_and_are_sorted_by_what_they_cost() -> None:
    rows = [{"input_ids": [1] * length, "labels": [MASKED] * (length - 1) + [1] * 1} for length in (4, 2, 3, 9, 8)]
    assert [len(row["input_ids"]) for row in short_to_long(rows, 3)] == [2, 3, 4, 8, 9]
    long_answer = {"input_ids": [1] * 2, "labels": [1] * 2}
    assert short_to_long([long_answer, rows[3]], 2) == [rows[3], long_answer]


def test_the_input_embeddings_alone_learn_faster(tokenizer: PreTrainedTokenizerFast) -> None:
    model = build_model(tokenizer, TINY)
    fast, rest = build_optimizer(model, 0.01).param_groups
    assert fast["params"] == [model.get_input_embeddings().weight]
    assert (fast["lr"], rest["lr"]) == (0.1, 0.01)
    for group in (fast, rest):
        assert (group["betas"], group["weight_decay"], group["fused"]) == ((0.9, 0.95), 0.0, True)
    assert len(fast["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_training_learns_is_repeatable_and_leaves_a_hub_folder(tmp_path: Path) -> None:
    result = train_base(EXAMPLES, TINY, 1, tmp_path / "one")
    assert train_base(EXAMPLES, TINY, 1, tmp_path / "two") == result
    assert (result["examples"], result["parameters"]) == (320, 2 * 293 * 16 + 4 * 16 * 16 + 3 * 16 * 16 + 3 * 16)
    assert train_base(EXAMPLES, TINY, 2, tmp_path / "other") != result
    assert result["loss_last"] < result["loss_first"] / 2
    first, second = sorted((tmp_path / "one").iterdir()), sorted((tmp_path / "two").iterdir())
    assert [path.name for path in first] == [path.name for path in second]
    assert all(one.read_bytes() == two.read_bytes() for one, two in zip(first, second, strict=True))
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "one")
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How can I sing?"}], add_generation_prompt=True, return_tensors="pt"
    )
    model = LlamaForCausalLM.from_pretrained(tmp_path / "one")
    output = model.generate(**prompt, max_new_tokens=8, do_sample=False)
    assert tokenizer.decode(output[0, prompt["input_ids"].shape[1] :], skip_special_tokens=True) == "Gladly."


def test_a_training_sees_each_batch_short_to_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def run_training(trainer: Trainer, *_: object) -> list[dict[str, float]]:
        seen.extend(len(row["input_ids"]) for row in trainer.train_dataset)
        return [{"loss": 1.0}]

    monkeypatch.setattr("refuseu.base.miniature.run_training", run_training)
    train_base(EXAMPLES[:16], TINY, 1, tmp_path)
    short, long = sorted(set(seen))
    assert seen == ([short] * 4 + [long] * 4) * 2


def test_a_training_keeps_to_one_thread_and_one_line_of_progress(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(2)
    train_base(EXAMPLES, TINY.model_copy(update={"steps": 1}), 1, tmp_path)
    assert torch.get_num_threads() == 1
    assert capsys.readouterr() == ("", "base: 1 of 1 steps\n")


def test_a_training_that_diverges_stops_and_saves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        train_base(EXAMPLES, TINY.model_copy(update={"learning_rate": 1e30}), 1, tmp_path)
    assert error.value.message == ("base: the gradient norm is not finite at step 3; lower base.learning_rate (1e+30)")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [500, 20_000])
def test_a_base_that_cannot_be_saved_is_one_sentence_and_leaves_nothing(limit: int, tmp_path: Path) -> None:
    with (
        files_up_to(limit),
        pytest.raises(UserError, match=r"models/base: cannot be written \(File too large\); .*ulimit"),
    ):
        train_base(EXAMPLES, TINY.model_copy(update={"steps": 1}), 1, tmp_path / "models/base")
    assert list((tmp_path / "models").iterdir()) == []
