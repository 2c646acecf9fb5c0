from typing import Any

import pytest
from pydantic import ValidationError

from refuseu.dpo.settings import Dpo

LORA = {"kind": "lora", "rank": 8, "alpha": 16, "dropout": 0.05, "targets": ["q_proj", "v_proj"]}
FULL: dict[str, Any] = {
    "method": {"kind": "full"},
    "dtype": "float32",
    "bf16": True,
    "reference": "precomputed",
    "steps": 10,
    "batch_size": 16,
    "learning_rate": 5e-7,
    "warmup": 0.1,
    "beta": 0.1,
    "sft_weight": 0.0,
    "max_length": 64,
    "max_dropped": 0.0,
}


def test_steps_are_given_or_follow_from_the_rounds() -> None:
    assert Dpo.model_validate(FULL).steps_for(10**6) == 10
    rounds = Dpo.model_validate({**FULL, "steps": None, "epochs": 1.5})
    assert [rounds.steps_for(rows) for rows in (1, 32, 33, 34668)] == [1, 3, 4, 3251]


def test_adapters_are_for_named_layers_or_all_linear_ones() -> None:
    lora = {**FULL, "reference": "online", "dtype": "bfloat16"}
    assert Dpo.model_validate({**lora, "method": LORA}).method.kind == "lora"
    assert Dpo.model_validate({**lora, "method": {**LORA, "targets": "all-linear"}}).method.kind == "lora"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 1.0}, "give either steps or epochs, not both"),
        ({"steps": None}, "give either steps or epochs, not both"),
        ({"dtype": "bfloat16"}, "dtype bfloat16 rounds away the small steps of full fine-tuning; take float32"),
        ({"method": LORA}, "reference precomputed: TRL computes it wrongly for lora under FSDP2; take online"),
        ({"method": {**LORA, "targets": ["q_proj", "lm_head"]}}, "lm_head cannot be a target"),
        ({"method": {**LORA, "targets": ["q_proj", "q_proj"]}}, "q_proj"),
        ({"method": {**LORA, "targets": []}}, "at least 1 item"),
        ({"method": {**LORA, "dropout": 1.0}}, "less than 1"),
        ({"method": {"kind": "full", "rank": 8}}, "Extra inputs"),
        ({"method": {"kind": "full", "load_in_4bit": True}}, "Extra inputs"),
        ({"eval_every": 0}, "greater than 0"),
        ({"method": {"kind": "prefix"}}, "'full', 'lora'"),
    ],
)
def test_what_cannot_be_trained_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Dpo.model_validate({**FULL, **changed})
