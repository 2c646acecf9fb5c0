from pathlib import Path

import pytest
import torch
from tiny import EXAMPLES, TINY
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from refuseu.training.base import (
    EMBEDDING_RATE,
    MASKED,
    AnswerCollator,
    build_model,
    build_optimizer,
    build_tokenizer,
    encode,
    short_to_long,
    train_base,
)
from refuseu.training.corpus import Example


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(EXAMPLES, TINY)


def text_of(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids))


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
    assert (fast["lr"], rest["lr"]) == (0.01 * EMBEDDING_RATE, 0.01)
    assert len(fast["params"]) + len(rest["params"]) == len(list(model.parameters()))


def test_training_learns_is_repeatable_and_leaves_a_hub_folder(tmp_path: Path) -> None:
    result = train_base(EXAMPLES, TINY, 1, tmp_path / "one")
    train_base(EXAMPLES, TINY, 1, tmp_path / "two")
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
