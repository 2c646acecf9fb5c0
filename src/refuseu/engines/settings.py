"""The section ``models`` of a profile: the models that play parts, by the names that the parts call them."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from refuseu.core.sections import Positive, Section
from refuseu.weights.reference import check_revision, is_folder

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
"""How an environment variable is named, and a key is not."""


class _Weights(Section):
    """A model in the format of the Hugging Face hub that runs where the work runs."""

    repo: str | None = None
    """A repository of the hub (``org/name``), or a folder that begins with ``/`` or ``.``; nothing for a base made here."""
    revision: str | None = None
    """A commit of the repository, 40 hexadecimal digits; left open, the newest is looked up."""
    license: str | None = None
    """Of the weights, for model cards."""

    @model_validator(mode="after")
    def _may_have_a_revision(self) -> Self:
        check_revision(self.revision, self.repo)
        return self

    @property
    def in_folder(self) -> bool:
        """Whether the weights are a folder's of this machine, and no repository's."""
        return self.repo is not None and is_folder(self.repo)


class TransformersModel(_Weights):
    """A model that transformers runs."""

    engine: Literal["transformers"]
    dtype: Literal["float64", "float32", "bfloat16", "float16"]
    """The numbers that it computes in; they decide its answers."""


class VllmModel(_Weights):
    """A model that vLLM runs."""

    engine: Literal["vllm"]
    dtype: Literal["float32", "bfloat16", "float16"]
    """The numbers that it computes in; they decide its answers."""
    max_model_len: Positive | None = None
    """Tokens that a conversation and its answer may have together; nothing for as many as the model can attend to."""


class ServedModel(Section):
    """A model behind an OpenAI-compatible endpoint; where that is, the machine says."""

    engine: Literal["openai"]
    model: str
    """What the endpoint calls it."""
    key: str | None = None
    """Name of the environment variable that holds the key; the key itself stands in no file."""

    @field_validator("key", mode="before")
    @classmethod
    def _names_a_variable(cls, key: Any) -> Any:
        """Before anything else, whose words could show a key that stands here."""
        if key is None or (isinstance(key, str) and VARIABLE.fullmatch(key)):
            return key
        raise ValueError(
            "must be the name of an environment variable (capital letters, digits and _) such as OPENAI_API_KEY; export the "
            "key in that variable, and write it into no file"
        )


LocalModel = TransformersModel | VllmModel
Model = Annotated[TransformersModel | VllmModel | ServedModel, Field(discriminator="engine")]
Models = dict[str, Model]
BASE = "base"
"""The model of this name is the un-aligned base; its engine and its numbers are those of all aligned models too."""


class ModelRole(Section):
    """A part that a model plays: which one, and how its words are drawn."""

    model: str
    """One of the profile's ``models``."""
    max_new_tokens: Positive
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """0 takes the likeliest token each time."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
