"""Tries every model out before the first row of any is asked: a fault in the last one would show after all others were asked."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial

from refuseu.core.errors import UserError
from refuseu.engines.machine import Machine
from refuseu.engines.registry import EngineFactory, Models, Weights, described
from refuseu.eval.models import EvaluatedModel, Served
from refuseu.llm.preflight import assert_sound
from refuseu.llm.protocol import user
from refuseu.llm.tokens import NOT_FINITE
from refuseu.llm.worker_process import WorkerProcess
from refuseu.mixes import Seeded
from refuseu.store.rows import Store, row_key

SAMPLE = (user("?"), "?")
"""A question and an answer, of which a model that can compute gives the likelihood."""
VERSION = 1
"""Version of what is looked at, raised when there is more of it. The row store remembers the models that passed."""


def try_out(models: Mapping[Seeded, EvaluatedModel], profile: Models, machine: Machine, store: Store) -> None:
    """Look at the files of each model, and have those that others made compute the likelihood of a sample answer.

    Our own were asked or checked by the stage that made them. A model that passed is not looked at again while it stays the same.

    Raises:
        UserError: for the first model that cannot be asked.
    """
    local = {name: each for name, each in models.items() if not isinstance(each, Served)}
    keys = [row_key(sound=described(*weights), version=VERSION) for weights in local.values()]

    def work(missing: list[int]) -> Iterator[tuple[int, str]]:
        new = {name: weights for place, (name, weights) in enumerate(local.items()) if place in missing}
        for reference, model in new.values():
            assert_sound(reference, model.chat_template_kwargs)
        others = {name: weights for name, weights in new.items() if weights[0].called}
        if others:
            # In a process of its own: whatever it takes of a GPU is free again when the models are asked.
            WorkerProcess(partial(_answer_sample, others, profile, machine), "eval.models").close()
        yield from ((place, "sound") for place in missing)

    store.complete(keys, work)


def _answer_sample(models: Mapping[Seeded, Weights], profile: Models, machine: Machine) -> None:
    factory = EngineFactory(profile, machine, Store())
    with closing(factory):
        for name, engine in factory.sharing(models).items():
            reference, model = models[name]
            try:
                list(engine.log_likelihoods([SAMPLE]))
            except UserError as error:
                if NOT_FINITE not in error.message:
                    raise
                raise UserError(
                    f"{reference.label}: {NOT_FINITE} in {model.dtype}, though its weights are; give it another dtype, as float32"
                ) from None
