"""Encoder-decoder translation models of the hub: NLLB (Costa-jussà et al. 2022) and MADLAD-400 (Kudugunta et al. 2023)."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from refuseu.core.errors import UserError
from refuseu.experiment import LANGUAGES
from refuseu.llm.faults import enough_memory
from refuseu.store.rows import Store, row_key
from refuseu.weights.encoding import key_of_cuts, spelled_apart
from refuseu.weights.loading import load_model, load_tokenizer, weight_not_finite
from refuseu.weights.reference import ModelReference

NLLB, MADLAD = "m2m_100", "t5"
"""The ``model_type`` that each family has in its configuration."""
VERSION = 2
"""Version of what this module computes. It is part of every row's key, so raise it when the translations change."""


class Seq2SeqModel:
    """A loaded model, which decodes greedily.

    Texts are translated in batches of similar length, the longest first, so that a batch holds little padding.
    """

    def __init__(
        self, reference: ModelReference, max_tokens: int, batch_size: int, dtype: str = "float32", device: str = "cpu"
    ) -> None:
        """Load the model, which is fetched first if it is a repository's.

        Args:
            max_tokens: most tokens that a text may have, before and after the translation.
            batch_size: texts that are translated at once.

        Raises:
            UserError: for a model that cannot be read, lacks weights, or belongs to neither family.
        """
        import torch
        from transformers import AutoModelForSeq2SeqLM, GenerationConfig

        torch.set_num_threads(1)
        self._name, self._max_tokens, self._batch_size = reference.label, max_tokens, batch_size
        with enough_memory(self._name, "load the model; take a machine with more, or a smaller model"):
            self._tokenizer: Any = load_tokenizer(reference)
            model = load_model(AutoModelForSeq2SeqLM, reference, dtype=getattr(torch, dtype))
        wrong = weight_not_finite(model)
        if wrong:
            raise UserError(f"{self._name}: the {wrong} is not finite; {reference.way_out}")
        self._model: Any = model.to(device).eval()
        # The model's own preferences, such as beams or a penalty, stay out, and so does a forced end, which would hide that a
        # translation was cut. Where it begins and ends is a part of the model.
        own = model.generation_config
        self._model.generation_config = GenerationConfig(
            decoder_start_token_id=own.decoder_start_token_id,
            eos_token_id=own.eos_token_id,
            pad_token_id=own.pad_token_id,
        )
        self._family = model.config.model_type
        if self._family not in (NLLB, MADLAD):
            raise UserError(
                f"{self._name}: a model of type {self._family} is neither NLLB ({NLLB}) nor MADLAD ({MADLAD}); take one of those"
            )

    def translate(self, texts: Sequence[str], source: str, target: str) -> Iterator[tuple[int, str | None]]:
        """Yield (position, translation) in the order in which the translations are done.

        The translation is ``None`` for a text that is empty or has too many tokens, and where the output was cut or is empty.

        Raises:
            UserError: when the model does not know a language.
        """
        first = self._begin(source, target)
        rows = [self._tokens(text, target) for text in texts]
        fitting = [place for place, row in enumerate(rows) if texts[place].strip() and len(row) <= self._max_tokens]
        yield from ((place, None) for place in sorted(set(range(len(rows))) - set(fitting)))
        fitting.sort(key=lambda place: -len(rows[place]))
        for start in range(0, len(fitting), self._batch_size):
            batch = fitting[start : start + self._batch_size]
            yield from zip(batch, self._generate([rows[place] for place in batch], first), strict=True)

    def _begin(self, source: str, target: str) -> dict[str, int]:
        """Set the languages in the tokenizer; returns the arguments of ``generate`` that depend on them."""
        if self._family == MADLAD:
            self._token(f"<2{target}>")
            return {}
        from_language, into = self._flores(source), self._flores(target)
        self._token(from_language)
        self._tokenizer.src_lang = from_language
        return {"forced_bos_token_id": self._token(into)}

    def _flores(self, lang: str) -> str:
        name = LANGUAGES[lang].flores if lang in LANGUAGES else None
        if name is None:
            raise UserError(
                f"{self._name}: NLLB's name of the language {lang!r} is not known here; add it to LANGUAGES in "
                "src/refuseu/experiment.py"
            )
        return name

    def _tokens(self, text: str, target: str) -> list[int]:
        text = spelled_apart(self._tokenizer, text, " ")
        ids: list[int] = self._tokenizer(f"<2{target}> {text}" if self._family == MADLAD else text)["input_ids"]
        return ids

    def _generate(self, rows: list[list[int]], first: dict[str, int]) -> Iterator[str | None]:
        import torch

        batch = self._tokenizer.pad({"input_ids": rows}, return_tensors="pt").to(self._model.device)
        task = f"translate {len(rows)} texts at once; lower the batch size of the machine"
        with enough_memory(self._name, task), torch.inference_mode():
            output = self._model.generate(
                **batch, **first, do_sample=False, num_beams=1, max_new_tokens=self._max_tokens
            )
        for row in output.tolist():
            text = self._tokenizer.decode(row, skip_special_tokens=True).strip()
            # The first token starts the decoder; in some models it is the end token too, so it is left out of the search.
            yield text if text and self._tokenizer.eos_token_id in row[1:] else None

    def _token(self, word: str) -> int:
        """Return the id of a language's token.

        Raises:
            UserError: when the model has no such token.
        """
        token: int = self._tokenizer.convert_tokens_to_ids(word)
        if token == self._tokenizer.unk_token_id:
            raise UserError(f"{self._name}: has no language token {word}; take a model that knows the language")
        return token


class Seq2SeqTranslator:
    """Keeps translations in the row store, and loads the model when the first translation is missing there."""

    def __init__(self, identity: str, max_tokens: int, load: Callable[[], Seq2SeqModel], store: Store) -> None:
        """``identity`` names everything that decides the model's output: its commit or hash, the engine and the dtype."""
        self._decides = {"version": VERSION, "model": identity, "max_tokens": max_tokens}
        self._identity = identity
        self._load = load
        self._store = store

    @cached_property
    def _model(self) -> Seq2SeqModel:
        return self._load()

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str | None]:
        """Return each text in ``target``, in order; ``None`` where the model gave no translation.

        Where ``source`` is ``target``, each text is its own translation.
        """
        if source == target:
            return list(texts)
        keys = [
            row_key(**self._decides, text=text, source=source, target=target, **key_of_cuts([text])) for text in texts
        ]

        def work(missing: list[int]) -> Iterable[tuple[int, str]]:
            for place, text in self._model.translate([texts[position] for position in missing], source, target):
                yield missing[place], json.dumps(text, ensure_ascii=False)

        return list(map(json.loads, self._store.complete(keys, work, self._identity)))
