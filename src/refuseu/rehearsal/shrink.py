"""The sizes of a rehearsal. What a profile and a machine say of models, roles, numbers and training stays as it is."""

from collections.abc import Mapping
from typing import Any

from refuseu.experiment import LANGUAGES, PIVOT, RESTRICTED
from refuseu.parameters import Parameters
from refuseu.rainbow_teaming.settings import Generator
from refuseu.real_model import Values

CATEGORIES = STYLES = 2
PER_MODEL = 2
"""Questions that each model of a generator writes for a slot and language."""
SEARCH = {"iterations": 3, "mutations": 16, "elites_per_cell": 4, "reserved_per_cell": 2}
SPLIT = {"test_per_cell": 2, "dev_per_category": 1, "held_out_test_behaviors": 0, "held_out_dev_behaviors": 0}
STEPS = 4
"""Optimizer steps of the training; all but the first one are timed."""
PROMPTS = 4
"""Prompts in each language whose answers are rated."""
QUESTIONS = 2
"""Of each task of a test of knowledge."""


def sizes(parameters: Parameters, profile: Mapping[str, Any]) -> Values:
    """What a rehearsal sets in ``params.yaml`` and in the profile, whose content is ``profile``.

    The languages are English and the one with the most tokens a word, whose rows are the longest. Of the configs the one of
    ``eval.reference`` is trained, with the first seed. External models and test sets are left out.
    """
    p, languages = parameters, longest(parameters.languages)
    config = p.train.configs[p.eval.reference].model_dump(exclude_unset=True) if p.train.configs else {}
    for key in ("languages", "without"):
        if isinstance(config.get(key), list):
            config[key] = [code for code in config[key] if code in languages]
    section = profile["rainbow-teaming"]
    mutator = p.rainbow_teaming.mutator
    if isinstance(mutator, Generator):
        section = {**section, "mutator": {**section["mutator"], "questions_per_slot": PER_MODEL * len(mutator.models)}}
    evaluation = dict(profile["eval"])
    if "prompts_per_language" in evaluation.get("rating", {}):
        evaluation["rating"] = {**evaluation["rating"], "prompts_per_language": PROMPTS}
    if "tests" in evaluation["knowledge"]:
        tests = [{**test, "limit": QUESTIONS} for test in evaluation["knowledge"]["tests"]]
        evaluation["knowledge"] = {**evaluation["knowledge"], "tests": tests}
    training = {key: value for key, value in profile["dpo"].items() if key not in ("epochs", "steps")}
    return {
        "params.yaml": {
            "profile": p.profile,
            "languages": languages,
            "categories": first(CATEGORIES, {key: p.categories[key] for key in p.categories if key not in RESTRICTED}),
            "styles": first(STYLES, p.styles),
            "train.seeds": p.train.seeds[:1],
            "train.languages": languages,
            "train.configs": {p.eval.reference: config},
            "train.single": [],
            "eval.models": {},
            "eval.sets": {},
            "eval.board": [],
            "report.benign_pairs": None,
        },
        f"profiles/{p.profile}.yaml": {
            "rainbow-teaming": {**section, **SEARCH},
            "split": {**profile["split"], **SPLIT},
            "dpo": {**training, "steps": STEPS, "eval_every": None},
            "eval": evaluation,
        },
    }


def longest(languages: list[str]) -> list[str]:
    """English, and of the others the one with the most tokens a word."""
    others = [code for code in languages if code != PIVOT]
    return [PIVOT, *([max(others, key=lambda code: LANGUAGES[code].tokens_per_word)] if others else [])]


def first(count: int, named: Mapping[str, str]) -> dict[str, str]:
    return dict(list(named.items())[:count])
