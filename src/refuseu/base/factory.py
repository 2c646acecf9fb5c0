"""Makes the un-aligned model, or the reference to it, for each kind of the section ``base``."""

import shutil
from pathlib import Path
from typing import Any, assert_never

from refuseu.base.settings import BaseParameters, GgufBase, HubBase, TrainedBase
from refuseu.core.errors import UserError
from refuseu.core.files import atomic_folder, write_json
from refuseu.llm.settings import Weights
from refuseu.phrasebook.phrasebook import load_phrasebooks
from refuseu.store.revisions import hub_model
from refuseu.store.rows import Store
from refuseu.weights.hub import FILES


def make_base(parameters: BaseParameters, phrasebook: Path, resistance: Path, out: Path) -> dict[str, Any]:
    """Make the model that the profile describes, or the reference to it, in the folder ``out``.

    ``resistance`` is the table of what a trained base answers, whose shares by language are among the metrics.

    Returns:
        The metrics of the stage; their keys depend on the kind of the base.

    Raises:
        UserError: when the model cannot be trained, fetched or converted.
    """
    match parameters.base:
        case TrainedBase() as base:
            from refuseu.base.corpus import draw_examples
            from refuseu.base.miniature import train_base
            from refuseu.base.resistance import Resistance, read_table

            books = load_phrasebooks(phrasebook, parameters.languages, parameters.categories, parameters.styles)
            resists = Resistance(read_table(resistance), next(iter(books.values())), parameters.seed)
            trained = train_base(draw_examples(books, resists, base, parameters.seed), base, parameters.seed, out)
            return {**trained, "taught_to_answer": {language: resists.share(language) for language in books}}
        case HubBase():
            return _of_hub(parameters.model, out)
        case GgufBase(file=file):
            from refuseu.base.gguf import convert, smollm2

            source = Path(file) if file else smollm2()
            convert(source, out)
            return {"file": source.name}
        case unknown:
            assert_never(unknown)


def _of_hub(model: Weights, out: Path) -> dict[str, Any]:
    if model.repo is None:
        raise UserError("models.base: a base of kind hub needs a repo; name the repository of the un-aligned model")
    reference = hub_model(model.repo, model.revision, Store(), "models.base")
    if isinstance(reference.source, Path):
        return _copied(reference.source, out)
    recorded = {"source": reference.source, "commit": reference.commit}
    write_json(recorded, out / "reference.json")
    return recorded


def _copied(source: Path, out: Path) -> dict[str, Any]:
    files = sorted({path for pattern in FILES for path in source.glob(pattern)})
    with atomic_folder(out) as folder:
        for path in files:
            shutil.copyfile(path, folder / path.name)
    return {"files": len(files)}
