"""A model of the Hugging Face hub's format on this machine's CPU, by transformers."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from refuseu.engines.base import Conversation, Sampling, user
from refuseu.engines.folder import weights_hash, whole
from refuseu.errors import UserError
from refuseu.progress import Progress, quiet_libraries

NEEDED = {"chat_template": "chat template (chat_template.jinja)", "pad_token": "padding token (tokenizer_config.json)"}
"""What a tokenizer may lack though it can be loaded, by transformers' name."""
WAY_OUT = "'dvc checkout' brings the last good one back"


class TransformersEngine:
    """Greedy batched generation, longest conversations first, so that a batch pads little.

    Computes in float64: a padded batch of another shape then rounds far below any gap between two logits, so an answer
    does not depend on which other rows were in its batch (a full, a partial or no row store give the same bytes).
    """

    def __init__(self, folder: Path, batch_size: int, progress: str | None = None) -> None:
        """``progress`` is the stage whose rows are shown as they get done; without it nothing is shown.

        Raises:
            UserError: for a folder that is no readable model, or whose tokenizer cannot be asked a question.
        """
        quiet_libraries()
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        torch.set_num_threads(1)
        self._folder = folder
        self._progress = progress
        self._batch_size = batch_size
        with whole(folder), enough_memory(folder, "load the model; take a machine with more, or a smaller model"):
            self.identity = weights_hash(folder)
            self._tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
            self._model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self._check_tokenizer()

    def chat(self, conversations: Sequence[Conversation], sampling: Sampling) -> Iterable[tuple[int, str]]:
        prompts = [self._prompt(conversation) for conversation in conversations]
        for positions in self._batches([len(prompt) for prompt in prompts]):
            batch = self._tokenizer.pad({"input_ids": [prompts[index] for index in positions]}, return_tensors="pt")
            with self._inference(len(positions)):
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
        prompts = [self._prompt(conversation) for conversation, _ in pairs]
        answers = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for _, text in pairs]
        results = [0.0] * len(pairs)
        for positions in self._batches([len(p) + len(a) for p, a in zip(prompts, answers, strict=True)]):
            rows = [prompts[index] + answers[index] for index in positions]
            batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt")
            # Counted without the padding, as generate() does by itself: angles are float32 even in a float64 model.
            places = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            longest = max(len(answers[index]) for index in positions)
            with self._inference(len(positions)):
                logits = self._model(**batch, position_ids=places, logits_to_keep=longest + 1).logits[:, :-1]
                scores = logits.log_softmax(-1).gather(2, batch["input_ids"][:, -longest:, None])[..., 0]
            for row, index in enumerate(positions):
                results[index] = float(scores[row, -len(answers[index]) :].sum())
        return results

    def _check_tokenizer(self) -> None:
        """Before anything is asked: can it write a question, and bring questions to one length."""
        from jinja2 import TemplateError

        for name, words in NEEDED.items():
            if getattr(self._tokenizer, name) is None:
                raise UserError(f"{self._folder}: the tokenizer has no {words}; add it, or {WAY_OUT}")
        try:
            self._prompt(user("?"))
        except TemplateError as error:
            raise UserError(
                f"{self._folder}: the chat template cannot be used ({error}); mend it, or {WAY_OUT}"
            ) from None

    def _prompt(self, conversation: Conversation) -> list[int]:
        text: Any = self._tokenizer.apply_chat_template(conversation, add_generation_prompt=True, tokenize=False)
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _batches(self, lengths: list[int]) -> Iterable[list[int]]:
        order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
        batches = [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]
        return batches if self._progress is None else counted(batches, self._progress)

    @contextmanager
    def _inference(self, rows: int) -> Iterator[None]:
        import torch

        task = f"compute {rows} rows at once; lower the stage's batch_size in profiles/"
        with enough_memory(self._folder, task), torch.inference_mode():
            yield


def counted(batches: list[list[int]], stage: str) -> Iterator[list[int]]:
    """``batches``, with their rows counted as they get done."""
    with Progress(stage, sum(map(len, batches)), "row") as progress:
        for batch in batches:
            yield batch
            progress.advance(len(batch))


@contextmanager
def enough_memory(folder: Path, task: str) -> Iterator[None]:
    """Turns what PyTorch raises where memory runs out into a sentence; ``task`` is what there is not enough for."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU it is a plain RuntimeError, told from others by its text alone.
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        raise UserError(f"{folder}: not enough memory to {task}") from None
