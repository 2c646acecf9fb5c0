"""A model of the Hugging Face hub's format on this machine, by transformers."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

from pydantic import model_validator

from refuseu.core.errors import UserError
from refuseu.core.sections import Positive
from refuseu.engines.machine import EngineMachine, Machine, needed
from refuseu.engines.model import InProcess, LocalModel
from refuseu.llm.decoding import write
from refuseu.llm.faults import enough_memory
from refuseu.llm.protocol import Completion, Failed, Finish, Prompt, Sampling, row_seed
from refuseu.llm.size import Size
from refuseu.llm.tokens import NOT_FINITE, decoded, first_tokens, log_likelihood, rows_to_ask, rows_to_score
from refuseu.weights.loading import (
    Attention,
    assert_finite,
    load_adapter,
    load_model,
    load_tokenizer,
    missing_attention,
    weight_not_finite,
)
from refuseu.weights.reference import ModelReference
from refuseu.weights.template import NONE, Variables

if TYPE_CHECKING:
    import torch


class TransformersMachine(EngineMachine):
    """How the engine ``transformers`` runs."""

    batch_size: Positive
    """Rows a forward pass."""
    device: Literal["cpu", "cuda"]


@final
class TransformersModel(LocalModel):
    """A model that transformers runs."""

    section: ClassVar = TransformersMachine
    package: ClassVar = "transformers"
    computed_by: ClassVar = ("transformers", "torch")
    install: ClassVar = "-r requirements.lock"

    engine: Literal["transformers"]
    dtype: Literal["float64", "float32", "bfloat16", "float16"]
    attn_implementation: Attention | None = None
    """How transformers computes attention; nothing leaves it to the model."""

    @model_validator(mode="after")
    def _computable(self) -> Self:
        if self.attn_implementation == "flash_attention_2" and self.dtype in ("float64", "float32"):
            raise ValueError(
                f"attn_implementation flash_attention_2 does not compute in {self.dtype}; set dtype: bfloat16, or take sdpa"
            )
        return self

    @property
    def numbers(self) -> str:
        return super().numbers + (f" {self.attn_implementation}" if self.attn_implementation else "")

    def missing(self, name: str, machine: Machine) -> list[str]:
        return [*super().missing(name, machine), *missing_attention(name, self.attn_implementation)]

    def load(
        self, reference: ModelReference, identity: str, machine: Machine, adapters: tuple[Path, ...]
    ) -> "TransformersEngine":
        own = self.in_process(machine)
        given = self.chat_template_kwargs, self.attn_implementation
        return TransformersEngine(reference, identity, own.batch_size, own.dtype, own.device, *given)

    def gpus_of_a_copy(self, machine: Machine, size: Size | None) -> int:
        return int(self.in_process(machine).device == "cuda")

    def is_alone(self, machine: Machine) -> bool:
        return super().is_alone(machine) or self.in_process(machine).device != "cpu"

    def in_process(self, machine: Machine) -> InProcess:
        own = needed(machine, TransformersMachine, "transformers", self.engine)
        return InProcess(self.dtype, own.device, own.batch_size)


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
        variables: Variables = NONE,
        attention: Attention | None = None,
    ) -> None:
        """``variables`` are what the chat template is given, and ``attention`` is how attention is computed.

        A tokenizer without a padding token pads with its end token, which is masked.

        Raises:
            UserError: for a model that cannot be fetched or read, that lacks weights or has one that is not finite, or whose
                tokenizer has neither of the two tokens.
        """
        import torch

        torch.set_num_threads(1)
        self.identity = identity
        self._reference = reference
        self._adapter: Path | None = None
        self._adapters: dict[Path, str] = {}
        self._batch_size = batch_size
        self._tokenizer = load_tokenizer(reference, variables, padding_side="left")
        with enough_memory(reference.label, "load the model; take a machine with more, or a smaller model"):
            self._model = _model(reference, getattr(torch, dtype), device, attention)
        if self._tokenizer.eos_token is None:
            raise UserError(
                f"{reference.label}: the tokenizer has no end token, eos_token (tokenizer_config.json); {reference.way_out}"
            )
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def adapted(self, folder: Path, identity: str) -> Self:
        """
        Raises:
            UserError: for an adapter that cannot be read, or that fits another model.
        """
        if folder not in self._adapters:
            name = f"adapter-{len(self._adapters)}"
            adapter = ModelReference(folder)
            assert_finite(adapter)
            load_adapter(self._model, adapter, name)
            self._adapters[folder] = name
        view = copy(self)
        view.identity, view._reference, view._adapter = identity, ModelReference(folder), folder
        return view

    def close(self) -> None:
        import torch

        del self._model
        # PyTorch keeps a GPU's memory for itself, and the next model may be another process's.
        torch.cuda.empty_cache()

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling) -> Iterable[tuple[int, Completion]]:
        firsts = first_tokens(self._tokenizer, sampling.first_tokens)
        limit = self._limit
        rows, others = rows_to_ask(self._tokenizer, self._reference, prompts, sampling, limit)
        yield from others.items()
        lengths = {position: len(row) for position, row in rows.items()}
        for most, alike in _by_room(lengths, limit, sampling.max_new_tokens).items():
            for positions in self._batches(alike):
                seeds = [row_seed(prompts[position], sampling) for position in positions]
                batch = [rows[position] for position in positions]
                done = self._generate(batch, seeds, replace(sampling, max_new_tokens=most), firsts)
                yield from zip(positions, done, strict=True)

    def log_likelihoods(self, pairs: Sequence[tuple[Prompt, str]]) -> Iterable[tuple[int, float | Failed]]:
        import torch

        scored, done = rows_to_score(self._tokenizer, self._reference, pairs, self._limit)
        yield from done.items()
        for places in self._batches({place: len(each.row) for place, each in enumerate(scored)}):
            batch = self._padded([scored[place].row for place in places])
            # Counted without the padding, as generate() does by itself: angles are float32 even in a float64 model.
            angles = (batch["attention_mask"].cumsum(-1) - 1).clamp(min=0)
            longest = max(len(scored[place].row) - len(scored[place].prompt) for place in places)
            with self._inference(len(places)):
                logits = self._model(**batch, position_ids=angles, logits_to_keep=longest + 1).logits[:, :-1]
                # In bfloat16 many of them would be equal.
                wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
            for row, place in enumerate(places):
                for index, answer in scored[place].answers.items():
                    steps = wide[row, range(longest - len(answer), longest), answer]
                    yield index, log_likelihood(steps.tolist())

    def _generate(
        self, prompts: list[list[int]], seeds: list[int], sampling: Sampling, firsts: list[int]
    ) -> Iterator[Completion]:
        with self._inference(len(prompts)):
            batch, padding = self._padded(prompts), self._tokenizer.pad_token_id
            rows = write(self._model, batch, seeds, sampling, firsts, self._ends(), padding)
        for prompt, row in zip(prompts, rows, strict=True):
            if not row.finite:
                yield Completion("", Finish.FAILED, reason=NOT_FINITE)
                continue
            text = decoded(self._tokenizer, prompt, row.tokens)
            yield Completion(text, Finish.STOP if row.ended else Finish.LENGTH, tuple(row.probabilities))

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
        with enough_memory(self._reference.label, task), torch.inference_mode():
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


def _model(reference: ModelReference, dtype: "torch.dtype", device: str, attention: Attention | None) -> Any:
    from transformers import AutoModelForCausalLM, GenerationConfig

    model = load_model(AutoModelForCausalLM, reference, dtype=dtype, attn_implementation=attention)
    # The model's own preferences, such as a repetition penalty, stay out; its end tokens do not.
    model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id)
    model = model.to(device).eval()
    wrong = weight_not_finite(model)
    if wrong:
        raise UserError(f"{reference.label}: the {wrong} is not finite; {reference.way_out}")
    return model
