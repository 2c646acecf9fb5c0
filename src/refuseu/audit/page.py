"""The page on which a person judges pairs or answers: one file, offline, no word of the data ever read as HTML."""

import base64
import hashlib
import json
import re
from importlib.resources import files
from typing import Any, Literal


def page(items: list[dict[str, Any]], sample: str, what: Literal["pairs", "answers"] = "pairs") -> str:
    """``page.html`` with what is judged in it, and a policy that lets nothing run but the page's own script."""
    template = files("refuseu.audit").joinpath("page.html").read_text(encoding="utf-8")
    # "<" alone could end the script element; as an escape it is the same string to JSON and nothing to HTML.
    data = json.dumps({"sample": sample, "what": what, "pairs": items}, ensure_ascii=False).replace("<", "\\u003c")
    policy = "; ".join(
        ["default-src 'none'", f"script-src {_hash(template, 'script')}", f"style-src {_hash(template, 'style')}"]
    )
    return template.replace("{{policy}}", policy).replace("{{data}}", data)


def _hash(template: str, element: str) -> str:
    found = re.search(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
    assert found is not None
    digest = hashlib.sha256(found.group(1).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
