"""What a profile takes from files that are gone, or that no stage could read."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from refuseu.base.gguf import assert_file
from refuseu.base.settings import GgufBase
from refuseu.commands.parameters import Parameters
from refuseu.commands.plan.published import local_set, takes_published
from refuseu.core.errors import UserError
from refuseu.rainbow_teaming.settings import LlmMutator
from refuseu.sources.external import assert_readable

DATA = Path("data")


def unreadable(parameters: Parameters, data: Path = DATA) -> Iterator[str]:
    """A sentence for each seed set, test set, published set and file of weights that cannot be read; the hub is not asked."""
    for read in _readings(parameters, data):
        try:
            read()
        except UserError as error:
            yield error.message


def _readings(parameters: Parameters, data: Path) -> Iterator[Callable[[], object]]:
    base, mutator = parameters.base, parameters.rainbow_teaming.mutator
    if isinstance(base, GgufBase) and base.file:
        yield partial(assert_file, Path(base.file))
    if isinstance(mutator, LlmMutator) and mutator.seeds:
        yield partial(assert_readable, mutator.seeds, data / "seeds")
    if takes_published(parameters) and (here := local_set(parameters, data / "published")):
        yield lambda: here.pairs
    for asked in parameters.eval.sets.values():
        yield partial(assert_readable, asked, data / "sets")
