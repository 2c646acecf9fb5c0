"""On how many GPUs of 80 GB a model lies, of which vLLM takes 72."""

import pytest

from refuseu.llm.size import Size, fewest_gpus

FOUR_BITS = {"num_attention_heads": 64, "quantization_config": {"quant_method": "mxfp4"}}


def sized(billions: float, heads: int) -> Size:
    return Size(round(billions * 1e9), config={"num_attention_heads": heads})


@pytest.mark.parametrize(
    ("size", "gpus"),
    [
        (sized(8.03, 32), 1),
        (sized(7.6, 28), 1),
        (sized(23.6, 32), 1),
        (sized(32.8, 40), 2),
        (sized(70.6, 64), 4),
        (sized(180, 64), 8),
        (sized(405, 128), 8),  # too much for a node: the plan says so
        (sized(70.6, 28), 4),  # neither three GPUs nor eight share 28 heads
        (Size(117_000_000_000, 65.0, FOUR_BITS), 2),
        (Size(70_000_000_000, named=True), 4),
        (None, 8),
    ],
)
def test_the_fewest_gpus_that_hold_weights_and_leave_a_third_for_conversations(size: Size | None, gpus: int) -> None:
    assert fewest_gpus(size, "bfloat16", 72.0, 8) == gpus


def test_a_machine_has_no_more_gpus_than_it_has() -> None:
    assert fewest_gpus(sized(70.6, 64), "bfloat16", 72.0, 1) == 1
    assert fewest_gpus(sized(70.6, 64), "bfloat16", 72.0, 6) == 2  # four do not divide six
