from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import save_untrained
from transformers import AutoModelForCausalLM, MistralConfig, MistralForCausalLM, Qwen2VLConfig, Qwen3NextConfig

from refuseu.llm import decoding
from refuseu.llm.decoding import Written, _cache, _drawing, write
from refuseu.llm.protocol import Sampling

BATCH = {
    "input_ids": torch.tensor([[0, 0, 7, 8], [0, 5, 6, 7], [9, 10, 11, 12], [0, 0, 0, 40], [50, 51, 52, 53]]),
    "attention_mask": torch.tensor([[0, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1], [0, 0, 0, 1], [1, 1, 1, 1]]),
}
SEEDS = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("model")
    save_untrained(folder)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()


@pytest.fixture(scope="module")
def sliding() -> Any:
    """A model that attends to the last three tokens alone."""
    torch.manual_seed(2)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = MistralConfig(vocab_size=300, num_key_value_heads=2, sliding_window=3, initializer_range=0.3, **sizes)
    return MistralForCausalLM(settings).double().eval()


def written(model: Any, ends: Sequence[int], sampling: Sampling, firsts: Sequence[int] = ()) -> list[Written]:
    with torch.inference_mode():
        return write(model, BATCH, SEEDS, sampling, firsts, ends, 0)


def up_to_the_end(rows: list[Written], ends: Sequence[int]) -> list[tuple[list[int], bool]]:
    """What was written of each row, without what follows its end."""
    places = [next((at for at, token in enumerate(row.tokens) if token in ends), len(row.tokens)) for row in rows]
    return [(row.tokens[: place + 1], row.ended) for row, place in zip(rows, places, strict=True)]


@pytest.mark.parametrize("name", ["llama", "sliding"])
@pytest.mark.parametrize("sampling", [Sampling(20), Sampling(20, temperature=1.5, top_p=0.9)])
def test_a_row_is_the_same_whichever_rows_have_left(
    name: str, sampling: Sampling, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = request.getfixturevalue(name)
    free = written(model, [299], sampling)
    ends = [free[0].tokens[1], free[3].tokens[6]]
    monkeypatch.setattr(decoding, "ROUND", 100)
    at_once = up_to_the_end(written(model, ends, sampling), ends)
    assert len({len(tokens) for tokens, _ in at_once}) > 1  # they do not end together
    for tokens in (1, 2, 3, 7):
        monkeypatch.setattr(decoding, "ROUND", tokens)
        assert up_to_the_end(written(model, ends, sampling), ends) == at_once


def test_a_row_that_has_ended_is_not_computed_any_more(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = [written(llama, [299], Sampling(20))[0].tokens[1]]
    whole, seen = llama.forward, []

    def forward(*arguments: Any, **given: Any) -> Any:
        seen.append(tuple(given["input_ids"].shape))
        return whole(*arguments, **given)

    monkeypatch.setattr(decoding, "ROUND", 4)
    monkeypatch.setattr(llama, "forward", forward)
    rows = up_to_the_end(written(llama, ends, Sampling(12)), ends)
    going = [sum(len(tokens) > start for tokens, _ in rows) for start in (0, 4, 8)]
    assert going[0] > going[1] > 0
    # The prompt once; then each token alone, since the cache keeps what was before it.
    assert seen == [(5, 4), *[(5, 1)] * 3, *[(going[1], 1)] * 4, *[(going[2], 1)] * 4]


def test_a_first_token_has_the_probability_that_the_model_gives_it(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "ROUND", 2)
    rows = written(llama, [299], Sampling(5), [3, 4])
    with torch.inference_mode():
        alone = llama(torch.tensor([[7, 8]])).logits[0, -1].softmax(-1)[[3, 4]].tolist()
    assert rows[0].probabilities == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("config", [Qwen2VLConfig(), Qwen3NextConfig()])
def test_no_row_leaves_where_more_than_keys_and_values_is_kept_of_it(config: Any) -> None:
    assert _cache(SimpleNamespace(config=config, _supports_default_dynamic_cache=lambda: True)) is None


def test_without_such_a_cache_all_is_written_at_once(llama: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = written(llama, [299], Sampling(12))
    monkeypatch.setattr(decoding, "_cache", lambda model: None)
    assert written(llama, [299], Sampling(12)) == expected


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_tokens_are_drawn_by_their_probability_among_those_that_top_p_leaves() -> None:
    seeds, logits = list(range(4000)), torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64).log()

    def shares(**drawn: float) -> list[float]:
        draw = _drawing(generators(seeds), Sampling(1, **drawn))
        tokens = draw(torch.zeros(len(seeds), 1, dtype=torch.long), logits.repeat(len(seeds), 1)).argmax(-1)
        return [count / len(seeds) for count in torch.bincount(tokens, minlength=4).tolist()]

    assert shares(temperature=1.0) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)
    assert shares(temperature=1.0, top_p=0.7) == pytest.approx([0.625, 0.375, 0, 0], abs=0.03)
    assert shares(temperature=0.5) == pytest.approx([0.685, 0.247, 0.062, 0.007], abs=0.03)
    assert shares(temperature=0.01) == [1, 0, 0, 0]


def test_each_token_of_an_answer_is_drawn_anew() -> None:
    draw = _drawing(generators([1, 2]), Sampling(8, temperature=1.0))
    ids, logits = torch.zeros(2, 1, dtype=torch.long), torch.zeros(2, 50)
    rows = torch.stack([draw(ids, logits).argmax(-1) for _ in range(4)]).T.tolist()
    assert all(len(set(row)) > 1 for row in rows)
    assert rows[0] != rows[1]
