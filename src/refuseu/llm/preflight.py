"""Tells of a model before it is asked what would make its answers worthless: its files are looked at, and nothing is computed."""

from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.llm.tokens import assert_template
from refuseu.weights.loading import assert_finite, load_tokenizer, skeleton
from refuseu.weights.reference import ModelReference
from refuseu.weights.template import NONE, Variables


def assert_sound(reference: ModelReference, variables: Variables = NONE, conversations: bool = True) -> None:
    """Compare weights, configuration, tokenizer and, for a model that is asked in conversations, the chat template.

    ``variables`` are what the template is given.

    The weights of a folder are read once, to see that all are finite; of a repository only the headers are. An adapter has the
    tokenizer and the template of its base.

    Raises:
        UserError: for the first fault.
    """
    if isinstance(reference.source, Path):
        assert_finite(reference)
    model = skeleton(reference)
    if reference.base is None:
        tokenizer = load_tokenizer(reference, variables)
        if model is not None:
            _assert_vocabulary(reference, tokenizer, model.get_input_embeddings().num_embeddings)
        if conversations:
            assert_template(tokenizer, reference)


def _assert_vocabulary(reference: ModelReference, tokenizer: Any, rows: int) -> None:
    token, number = max(tokenizer.get_vocab().items(), key=lambda item: item[1])
    if number >= rows:
        raise UserError(
            f"{reference.label}: the tokenizer has a token {token!r} with the number {number}, and the model knows only those "
            f"below {rows}; {reference.way_out}"
        )
