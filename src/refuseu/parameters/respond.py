"""The section ``respond``, and what its stage reads."""

from typing import Literal

from refuseu.parameters.experiment import Experiment
from refuseu.parameters.section import Positive, Section


class PhrasebookRefuser(Section):
    """A refusal of the phrasebook in the question's language."""

    kind: Literal["phrasebook"]


class Respond(Section):
    """Who refuses; the other answer is always the base's own."""

    refuser: PhrasebookRefuser
    max_new_tokens: Positive
    """Of the base's answer."""


class RespondParameters(Experiment):
    respond: Respond
