"""The judges by their kinds. A new judge is a file with its class ``Settings``, and one line here."""

from pkgutil import resolve_name
from typing import Annotated, Any

from pydantic import BeforeValidator, SerializeAsAny

from refuseu.core.sections import by_registry
from refuseu.judges.settings import GuardSettings, JudgeSettings

KINDS = {
    "lexicon": "refuseu.judges.lexicon:Settings",
    "ngrams": "refuseu.judges.ngrams:Settings",
    "nearest": "refuseu.judges.nearest:Settings",
    "phrases": "refuseu.judges.phrases:Settings",
    "llama-guard-3": "refuseu.judges.llama_guard:Settings",
    "polyguard": "refuseu.judges.polyguard:Settings",
    "granite-guardian": "refuseu.judges.granite_guardian:Settings",
    "wildguard": "refuseu.judges.wildguard:Settings",
    "qwen3guard": "refuseu.judges.qwen3guard:Settings",
    "chat": "refuseu.judges.chat:Settings",
}
"""The class of each kind's settings. It is loaded when the kind is named."""


def settings_class(kind: str) -> type[JudgeSettings]:
    """The class of the settings of a kind that is in ``KINDS``."""
    found: type[JudgeSettings] = resolve_name(KINDS[kind])
    return found


def judge_settings(entry: Any) -> Any:
    """Validate a judge as a profile writes it, by the class of its kind, as ``by_registry`` does."""
    return by_registry(entry, "kind", KINDS)


def guard_settings(entry: Any) -> Any:
    """Validate a judge that can score the search.

    Raises:
        ValueError: as ``judge_settings`` does, and for a judge that gives no probability of harm.
    """
    settings = judge_settings(entry)
    if isinstance(settings, JudgeSettings) and not isinstance(settings, GuardSettings):
        guards = [kind for kind in KINDS if issubclass(settings_class(kind), GuardSettings)]
        raise ValueError(f"kind {settings.kind!r} gives no probability of harm; guards that do are {', '.join(guards)}")
    return settings


AnyJudge = Annotated[SerializeAsAny[JudgeSettings], BeforeValidator(judge_settings)]
AnyGuard = Annotated[SerializeAsAny[GuardSettings], BeforeValidator(guard_settings)]
