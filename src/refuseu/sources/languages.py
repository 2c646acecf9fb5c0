"""Which language a table of others means: by its code, as a language tag of any spelling (BCP 47), or by its English name."""

import re

from refuseu.experiment import LANGUAGES
from refuseu.text.normal import plain

TAG = re.compile(r"([a-z]{2,3})(?:[-_][a-z0-9]{1,8})*")
"""A language tag in the form of ``plain``: the language, then script, region and others, which are not told apart here."""
NAME = re.compile(r"([^\W\d_]+)(?: \([\w ,.-]*\))?")
"""An English name, as ``Portuguese (Brazil)``."""
CODES = {
    spelling: code
    for code, language in LANGUAGES.items()
    for spelling in (code, plain(language.name), (language.flores or code).partition("_")[0])
}
"""ISO 639-1 and -3 and the English name of each known language to its code."""


def language_code(spelling: str) -> str | None:
    """Return the code of the language that ``en-US``, ``EN``, ``deu_Latn`` or ``German`` name; ``None`` for an unknown one."""
    found = TAG.fullmatch(plain(spelling)) or NAME.fullmatch(plain(spelling))
    return CODES.get(found[1]) if found else None
