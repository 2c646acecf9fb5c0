"""The pages for people name what is there: links, files, make targets, parameters, and the plan's figures."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError
from repository import ROOT
from test_pipeline import LAYERS
from twelve import TWELVE

from refuseu.core.sections import Section
from refuseu.engines.registry import ENGINES, engine_class
from refuseu.experiment import LANGUAGES, Language
from refuseu.parameters import Parameters, WholeMachine, load_all
from refuseu.plan import models
from refuseu.plan.arithmetic import H100, Line, Run, paid, work_of
from refuseu.plan.models import Size, run_models, short, size_of

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *(ROOT / f"data/{name}/README.md" for name in ("paper", "published", "seeds", "sets")),
    *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "staleness.md"),
]
TEXTS = r"data/(?:fluency|phrasebook|prompts|refusals)"
FOLDERS = rf"(?:src|stages|tests|tests_models|profiles|machines|recipes|docs|benchmarks|{TEXTS})"
EXAMPLES = {"profiles/mine.yaml", *(f"data/{folder}/nl.yaml" for folder in ("fluency", "phrasebook", "refusals"))}
"""Files that a page tells its reader to write."""

MOST_PAGES = 16
"""In ``docs/``: whoever adds one merges two others."""

CONFIGURED = [
    *(ROOT / name for name in ("params.yaml", "dvc.yaml")),
    *(path for folder in ("profiles", "machines") for path in sorted((ROOT / folder).rglob("*.yaml"))),
]

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(text: str) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path, text: str) -> list[str]:
    """Relative links of a page's text to a file or a heading that is not there."""
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", target)]
    return [target for target in targets if not _leads_somewhere(page, text, target)]


def _leads_somewhere(page: Path, text: str, target: str) -> bool:
    name, _, heading = target.partition("#")
    path = page.parent / name if name else page
    return path.exists() and (not heading or heading in anchors(path.read_text() if name else text))


def unknown_names(text: str) -> list[str]:
    """Files and make targets that a page's text names in code, and that are not there."""
    paths = re.findall(rf"(?<![\w/.<-]){FOLDERS}/[\w./-]*\w", text)
    targets = re.findall(r"(?:`|^|\s)make ([a-z][a-z-]+)(?=[`\s])", "\n".join(_code(text)), re.MULTILINE)
    known = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    lost = [path for path in paths if path not in EXAMPLES and not (ROOT / path).exists()]
    return [*lost, *(f"make {target}" for target in targets if target not in known)]


def _code(text: str) -> Iterator[str]:
    yield from re.findall(r"^ *```[a-z]*\n(.*?)^ *```$", text, re.S | re.M)
    yield from re.findall(r"`[^`\n]+`", text)


def snippets(text: str) -> list[str]:
    """The YAML blocks of a page's text."""
    return re.findall(r"^ *```yaml\n(.*?)^ *```$", text, re.S | re.M)


def faults(snippet: str) -> list[str]:
    """What a YAML block names that no section of the profile, of ``params.yaml`` or of a machine takes."""
    try:
        content = yaml.safe_load(snippet)
    except yaml.YAMLError as error:
        return [f"no YAML: {error}"]
    sections = {name: Annotated[engine_class(name).section, name] for name in ENGINES if engine_class(name).section}
    known = fields_of(Parameters) | fields_of(WholeMachine) | sections
    return [fault for name, part in content.items() for fault in _faults(name, part, known)]


def fields_of(section: type[Section]) -> dict[str, Any]:
    """The names of a section's parameters as they stand in a file, and the types of their values."""
    return {
        field.alias or name: Annotated[field.annotation, *field.metadata, field]
        for name, field in section.model_fields.items()
    }


def _faults(name: str, part: Any, known: dict[str, Any]) -> Iterator[str]:
    """A part of a section may stand alone; a part that has a kind, or is a value, is checked as a whole."""
    if name not in known:
        yield f"{name}: unknown"
        return
    section = get_args(known[name])[0]
    if isinstance(section, type) and get_origin(section) is None and issubclass(section, Section):
        for key, value in part.items():
            yield from (f"{name}.{fault}" for fault in _faults(key, value, fields_of(section)))
        return
    try:
        TypeAdapter(known[name]).validate_python(part)
    except ValidationError as error:
        yield f"{name}: {error}"


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page, page.read_text()) == []


@pytest.mark.parametrize("file", [*PAGES, *CONFIGURED], ids=lambda file: str(file.relative_to(ROOT)))
def test_files_and_targets_that_are_named_are_there(file: Path) -> None:
    assert unknown_names(file.read_text()) == []


@pytest.mark.parametrize(
    ("page", "snippet"),
    [
        pytest.param(page, snippet, id=f"{page.stem}-{number}")
        for page in PAGES
        for number, snippet in enumerate(snippets(page.read_text()), 1)
    ],
)
def test_parameters_that_a_page_shows_can_be_written_so(
    page: Path, snippet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(LANGUAGES, "nl", Language("nl", "Dutch", "nld_Latn", 1.6))  # docs/languages.md adds it
    assert faults(snippet) == []


@pytest.mark.parametrize("file", ["data/phrasebook/en.yaml", "data/refusals/en.yaml", "data/fluency/en.yaml"])
def test_who_adds_a_language_is_told_every_file_and_entry(file: str) -> None:
    text = (ROOT / "docs/languages.md").read_text()
    entries = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    assert [each for each in (file.replace("en.yaml", "nl.yaml"), *entries) if f"`{each}`" not in text] == []


def test_the_architecture_lists_the_rooms_by_layer() -> None:
    table = (ROOT / "docs/architecture.md").read_text().split("| rooms | what they hold |")[1].split("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines() if "`" in row]
    assert [re.findall(r"`(\w+)(?:\.py)?`", row) for row in rows] == [layer.split() for layer in LAYERS]


def test_the_pages_are_few() -> None:
    assert len(list((ROOT / "docs").glob("*.md"))) <= MOST_PAGES


def test_every_page_is_linked_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"](docs/{path.name})" not in text] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](docs/machines.md) [b](#here)\n## Here", []),
        ("[a](docs/gone.md)", ["docs/gone.md"]),
        ("[a](docs/judges.md#nowhere)", ["docs/judges.md#nowhere"]),
        ("[a](https://example.org/x.md)", []),
    ],
)
def test_a_broken_link_is_found(text: str, expected: list[str]) -> None:
    assert broken_links(ROOT / "README.md", text) == expected


def test_a_name_of_nothing_is_found() -> None:
    text = "Read `src/refuseu/gone.py`, `profiles/smoke.yaml`; `make plan`, `make gone`"
    assert unknown_names(text) == ["src/refuseu/gone.py", "make gone"]


@pytest.mark.parametrize(
    ("snippet", "fault"),
    [
        ("eval:\n  fluency: {kind: none}", ""),
        ("eval:\n  fluency: {kind: gone}", "eval.fluency: "),
        ("eval:\n  gone: 1", "eval.gone: unknown"),
        ("dpo:\n  beta: high", "dpo.beta: "),
        ("training:\n  processes: 0", "training.processes: "),
        ("models:\n  base: {engine: gone}", "models: "),
        ("gone: 1", "gone: unknown"),
        ("a: b: c", "no YAML: "),
    ],
)
def test_a_wrong_parameter_is_found(snippet: str, fault: str) -> None:
    assert [each[: len(fault)] for each in faults(snippet)] == ([fault] if fault else [])


LLAMA_8B, LLAMA_70B = Size(8_030_261_248, 16.06), Size(70_553_706_496, 141.11)
ON_THE_HUB = {
    "mlabonne/Meta-Llama-3.1-8B-Instruct-abliterated": LLAMA_8B,
    "mlabonne/Llama-3.1-70B-Instruct-lorablated": LLAMA_70B,
    "meta-llama/Llama-3.1-70B-Instruct": LLAMA_70B,
    "meta-llama/Llama-Guard-3-8B": LLAMA_8B,
    "mistralai/Mistral-Small-24B-Instruct-2501": Size(23_572_403_200, 47.14),
    "openai/gpt-oss-120b": Size(116_829_156_672, 65.25),
    "ToxicityPrompts/PolyGuard-Qwen": Size(7_615_616_512, 30.46),
}


def planned(profile: str) -> tuple[str, ...]:
    """What ``docs/machines.md`` says of a run, in its order: from the pairs that are judged to the GPU hours."""
    parameters = load_all(ROOT, profile)
    # The page tells of the paper's languages; whoever adds one has more.
    twelve = [lang for lang in parameters.languages if lang in TWELVE]
    run = Run(parameters.model_copy(update={"languages": twelve}))
    work = work_of(run)
    total, calls = Line.sum(work.values()), Line.sum(paid(run, work).values())
    fetched = [size for model in run_models(parameters).models.values() if (size := size_of(model))]
    numbers = map(short, (run.pairs, total.rows - work["dpo", "base"].rows, total.written, calls.rows))
    return *numbers, f"{sum(size.stored_gb or 0.0 for size in fetched):.0f} GB", f"{total.hours(H100):.0f}"


@pytest.mark.parametrize("profile", ["paper-8b", "paper-70b", "published-8b"])
def test_figures_of_a_run_are_the_plans(profile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_size", lambda repo, revision: ON_THE_HUB[repo])
    row = re.search(rf"^\| {profile} \| (.*) \|$", (ROOT / "docs/machines.md").read_text(), re.MULTILINE)
    assert row and tuple(row[1].split(" | ")) == planned(profile)
