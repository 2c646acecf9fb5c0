"""A model of the Hugging Face hub's format on this machine, by transformers."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from refuseu.core.errors import UserError
from refuseu.engines.prompting import (
    REFUSED,
    REFUSED_OR_LONG,
    WAY_OUT,
    assert_asked,
    first_tokens,
    prompts_tokens,
    text_tokens,
)
from refuseu.engines.protocol import Completion, Finish, Prompt, Sampling, row_seed
from refuseu.weights.reference import ModelReference, readable

if TYPE_CHECKING:
    import torch

NO_MEMORY = ("allocate", "out of memory")
"""How PyTorch says that memory ran out."""


class TransformersEngine:
    """Batched generation, longest prompts first, so that a batch pads little.

    In float64 a padded batch of another shape rounds far below any gap between two logits, so an answer does not depend on
    which other rows were in its batch (a full, a partial or no row store give the same bytes). A schema is not forced: who
    asks for one checks what comes.
    """

    def __init__(
        self,
        reference: ModelReference,
        identity: str,
        batch_size: int,
        dtype: str = "float64",
        device: str = "cpu",
    ) -> None:
        """``reference`` is a model on this machine.

        Raises:
            UserError: for a model that cannot be read, or whose tokenizer has no padding token.
        """
        import torch

        torch.set_num_threads(1)
        self.identity = identity
        self._name = reference.source
        self._adapter: Path | None = None
        self._adapters: dict[Path, str] = {}
        self._batch_size = batch_size
        with (
            readable(reference),
            enough_memory(self._name, "load the model; take a machine with more, or a smaller model"),
        ):
            self._tokenizer = _tokenizer(reference)
            self._model = _model(reference, getattr(torch, dtype), device)
        if self._tokenizer.pad_token is None:
            raise UserError(
                f"{self._name}: the tokenizer has no padding token (tokenizer_config.json); add it, or {WAY_OUT}"
            )

    def adapted(self, folder: Path, identity: str) -> Self:
        """
        Raises:
            UserError: for an adapter that cannot be read, or that fits another model.
        """
        if folder not in self._adapters:
            name = f"adapter-{len(self._adapters)}"
            with readable(ModelReference(folder)):
                self._model.load_adapter(str(folder), adapter_name=name)
            self._adapters[folder] = name
        view = copy(self)
        view.identity, view._name, view._adapter = identity, folder, folder
        return view

    def close(self) -> None:
        import torch

        del self._model
        # PyTorch keeps a GPU's memory for itself, and the next model may be another process's.
        torch.cuda.empty_cache()

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        firsts = first_tokens(self._tokenizer, sampling.first_tokens)
        ids, limit = prompts_tokens(self._tokenizer, self._name, prompts, sampling), self._limit
        fitting = {place: row for place, row in enumerate(ids) if row and len(row) < limit}
        for position, row in enumerate(ids):
            if row is not None and position not in fitting:
                yield position, Completion("", Finish.TOO_LONG)
        lengths = {position: len(row) for position, row in fitting.items()}
        for most, alike in _by_room(lengths, limit, sampling.max_new_tokens).items():
            for positions in self._batches(alike):
                seeds = [row_seed(prompts[position], sampling) for position in positions]
                rows = [fitting[position] for position in positions]
                done = self._generate(rows, seeds, replace(sampling, max_new_tokens=most), firsts)
                yield from zip(positions, done, strict=True)
        assert_asked(self._name, [place for place, row in enumerate(ids) if row is None], REFUSED)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float]]:
        import torch

        prompts = prompts_tokens(self._tokenizer, self._name, [prompt for prompt, _ in pairs])
        answers, limit = [text_tokens(self._tokenizer, text) for _, text in pairs], self._limit
        rows = {
            index: prompt + answer
            for index, (prompt, answer) in enumerate(zip(prompts, answers, strict=True))
            if prompt is not None and len(prompt) + len(answer) <= limit
        }
        for positions in self._batches({index: len(row) for index, row in rows.items()}):
            batch = self._padded([rows[index] for index in positions])
            # Counted without the padding, as generate() does by itself: angles are float32 even in a float64 model.
            places = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            longest = max(len(answers[index]) for index in positions)
            with self._inference(len(positions)):
                logits = self._model(**batch, position_ids=places, logits_to_keep=longest + 1).logits[:, :-1]
                # In bfloat16 many of them would be equal.
                wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
                scores = wide.log_softmax(-1).gather(2, batch["input_ids"][:, -longest:, None])[..., 0]
            for row, index in enumerate(positions):
                yield index, float(scores[row, longest - len(answers[index]) :].sum())
        assert_asked(self._name, [index for index in range(len(pairs)) if index not in rows], REFUSED_OR_LONG)

    def _generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: Sampling, firsts: list[int]
    ) -> Iterator[Completion]:
        batch = self._padded(prompts)
        with self._inference(len(prompts)):
            output = self._model.generate(
                **batch,
                do_sample=False,
                max_new_tokens=sampling.max_new_tokens,
                pad_token_id=self._tokenizer.pad_token_id,
                eos_token_id=self._ends(),
                logits_processor=[_drawing(seeds, sampling)] if sampling.temperature else [],
                output_logits=bool(firsts),
                return_dict_in_generate=True,
            )
        answers = output.sequences[:, batch["input_ids"].shape[1] :]
        texts = self._tokenizer.batch_decode(answers, skip_special_tokens=True)
        probabilities = output.logits[0].softmax(-1)[:, firsts].tolist() if firsts else [[]] * len(prompts)
        for row, (text, of_firsts) in enumerate(zip(texts, probabilities, strict=True)):
            ended = any(token in self._ends() for token in answers[row].tolist())
            yield Completion(text.strip(), Finish.STOP if ended else Finish.LENGTH, tuple(of_firsts))

    def _ends(self) -> list[int]:
        """The tokens that end an answer: the tokenizer's, and what the model's own settings name beside it."""
        named = self._model.generation_config.eos_token_id
        others = named if isinstance(named, list) else [named] if named is not None else []
        return list(dict.fromkeys([self._tokenizer.eos_token_id, *others]))

    def _padded(self, rows: list[list[int]]) -> Any:
        return self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._model.device)

    def _batches(self, lengths: dict[int, int]) -> Iterator[list[int]]:
        """Positions, by ``lengths`` in tokens at each."""
        order = sorted(lengths, key=lambda position: -lengths[position])
        return (order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size))

    @property
    def _limit(self) -> int:
        """Tokens that the model can attend to; one that sees images too has it in a section for text."""
        limit: int = self._model.config.get_text_config().max_position_embeddings
        return limit

    def _select_adapter(self) -> None:
        """Of those that lie beside the model's weights, the one that answers now; none for the model itself."""
        if self._adapter:
            self._model.enable_adapters()
            self._model.set_adapter(self._adapters[self._adapter])
        elif self._adapters:
            self._model.disable_adapters()

    @contextmanager
    def _inference(self, rows: int) -> Iterator[None]:
        import torch

        self._select_adapter()
        task = f"compute {rows} rows at once; lower transformers.batch_size in machines/"
        with enough_memory(self._name, task), torch.inference_mode():
            yield


def _by_room(lengths: dict[int, int], limit: int, wanted: int) -> dict[int, dict[int, int]]:
    """The ``lengths`` of prompts by the tokens that may be written after them: ``wanted``, or as many as there is room for.

    Those with less room share no batch with others, for a batch goes on as long as one of its rows does, and no row may then
    stand beyond what the model can attend to.
    """
    found: dict[int, dict[int, int]] = {}
    for position, length in lengths.items():
        found.setdefault(min(wanted, limit - length), {})[position] = length
    return found


def _tokenizer(reference: ModelReference) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(reference.source, padding_side="left")


def _model(reference: ModelReference, dtype: "torch.dtype", device: str) -> Any:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(reference.source, dtype=dtype, use_safetensors=True)
    return model.to(device).eval()


def _drawing(seeds: list[int], sampling: Sampling) -> Any:
    """Makes the likeliest token a drawn one, by adding Gumbel noise to the logits: each row's from a generator of its own.

    So a row draws the same whatever stands beside it in the batch.
    """
    import torch
    from transformers import LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    warp = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
    if sampling.top_p < 1:
        warp.append(TopPLogitsWarper(sampling.top_p))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def draw(ids: "torch.Tensor", logits: "torch.Tensor") -> "torch.Tensor":
        uniform = torch.stack([torch.rand(logits.shape[1], generator=each, dtype=torch.float64) for each in generators])
        noise = -(-uniform.clamp_min(torch.finfo(torch.float64).tiny).log()).log()
        return warp(ids, logits).double() + noise.to(logits.device)

    return draw


@contextmanager
def enough_memory(model: object, task: str) -> Iterator[None]:
    """Turns what PyTorch raises where memory runs out into a sentence; ``task`` is what there is not enough for."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU it is a plain RuntimeError, and so is what vLLM makes of that of a GPU: told from others by their text alone.
        if isinstance(error, RuntimeError) and not any(sign in str(error) for sign in NO_MEMORY):
            raise
        raise UserError(f"{model}: not enough memory to {task}") from None
