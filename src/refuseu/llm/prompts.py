"""What LLMs are told: a Markdown file a part, ``data/prompts/<part>.md``.

The sections ``## system`` and ``## user`` are the two turns. What stands above them is a note to people: no model sees it, and
changing it computes nothing anew. A placeholder is a name in braces, ``{question}``; other braces stand for themselves.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from refuseu.core.errors import UserError

ROLES = ("system", "user")
"""The sections of a file, and the roles of the turns that they become."""
HEADING = re.compile(r"^## *(.*?) *$", re.MULTILINE)
PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class PromptTemplate:
    """The two turns, with their placeholders."""

    system: str
    user: str

    @classmethod
    def read(cls, path: Path, placeholders: Collection[str]) -> Self:
        """The prompt of a file that has each of ``placeholders`` and no others.

        Raises:
            UserError: for a file that cannot be read, or whose sections or placeholders are not what they must be.
        """
        sections = _sections(path)
        found = {name for text in sections.values() for name in PLACEHOLDER.findall(text)}
        known = ", ".join(f"{{{name}}}" for name in placeholders)
        for name in sorted(found - set(placeholders)):
            raise UserError(f"{path}: unknown placeholder {{{name}}}; this prompt has {known}")
        for name in placeholders:
            if name not in found:
                raise UserError(f"{path}: placeholder {{{name}}} is missing; this prompt needs {known}")
        return cls(**sections)

    def conversation(self, **values: str) -> list[dict[str, str]]:
        """The two turns with ``values`` in place; what looks like a placeholder in a value stays as it is."""
        return [
            {"role": role, "content": PLACEHOLDER.sub(lambda match: values[match[1]], text)}
            for role, text in zip(ROLES, (self.system, self.user), strict=True)
        ]


def _sections(path: Path) -> dict[str, str]:
    """The text of each section, by its role."""
    _, *parts = HEADING.split(read_prompt(path))
    names, texts = parts[::2], [text.strip() for text in parts[1::2]]
    for name in names:
        if name not in ROLES:
            raise UserError(f"{path}: unknown section '## {name}'; a prompt has '## system' and '## user'")
        if names.count(name) > 1:
            raise UserError(f"{path}: section '## {name}' stands twice; write it once")
    sections = dict(zip(names, texts, strict=True))
    for role in ROLES:
        if not sections.get(role):
            raise UserError(f"{path}: section '## {role}' is missing or empty; write below it what the model is told")
    return sections


def read_prompt(path: Path) -> str:
    """All that a prompt file holds.

    Raises:
        UserError: for a file that cannot be read.
    """
    way_out = f"'git restore {path}' brings the project's own back"
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: prompt file cannot be read ({error.strerror}); {way_out}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: prompt file is not UTF-8; save it as UTF-8, or {way_out}") from None
