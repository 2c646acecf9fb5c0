"""A model of the Hugging Face hub's format on this machine's CPU, by transformers."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from refuseu.engines.base import Conversation, Sampling
from refuseu.engines.folder import weights_hash, whole


class TransformersEngine:
    """Greedy batched generation, longest conversations first, so that a batch pads little.

    Computes in float64: a padded batch of another shape then rounds far below any gap between two logits, so an answer
    does not depend on which other rows were in its batch (a full, a partial or no row store give the same bytes).
    """

    def __init__(self, folder: Path, batch_size: int, progress: str | None = None) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self._progress = progress
        self._batch_size = batch_size
        with whole(folder):
            self.identity = weights_hash(folder)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
            self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()

    def chat(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, str]]:
        import torch

        prompts = [self._prompt(conversation) for conversation in conversations]
        for positions in self._batches([len(prompt) for prompt in prompts]):
            batch = self._tokenizer.pad({"input_ids": [prompts[index] for index in positions]}, return_tensors="pt")
            with torch.inference_mode():
                output = self._model.generate(
                    **batch,
                    do_sample=False,
                    max_new_tokens=sampling.max_new_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                    eos_token_id=self._tokenizer.eos_token_id,
                )
            answers = self._tokenizer.batch_decode(output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
            yield from zip(positions, (answer.strip() for answer in answers), strict=True)

    def log_likelihoods(self, pairs: Sequence[tuple[Conversation, str]]) -> list[float]:
        import torch

        prompts = [self._prompt(conversation) for conversation, _ in pairs]
        answers = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for _, text in pairs]
        results = [0.0] * len(pairs)
        for positions in self._batches([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]):
            rows = [prompts[index] + answers[index] for index in positions]
            batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt")
            # Counted without the padding, as generate() does by itself: angles are float32 even in a float64 model.
            places = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            longest = max(len(answers[index]) for index in positions)
            with torch.inference_mode():
                logits = self._model(**batch, position_ids=places, logits_to_keep=longest + 1).logits[:, :-1]
                scores = logits.log_softmax(-1).gather(2, batch["input_ids"][:, -longest:, None])[..., 0]
            for row, index in enumerate(positions):
                results[index] = float(scores[row, -len(answers[index]) :].sum())
        return results

    def _prompt(self, conversation: Conversation) -> list[int]:
        text: Any = self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _batches(self, lengths: list[int]) -> Iterable[list[int]]:
        from tqdm import tqdm

        order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
        with tqdm(total=len(order), desc=self._progress, unit="row", disable=self._progress is None) as bar:
            for start in range(0, len(order), self._batch_size):
                yield order[start : start + self._batch_size]
                bar.update(len(order[start : start + self._batch_size]))
