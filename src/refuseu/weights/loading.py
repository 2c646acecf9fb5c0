"""Loads models and adapters by transformers, and says what is wrong with their files.

transformers itself only warns of a weight that the files lack, and draws it at random. A model of which a part was drawn is
nobody's model, so every fault that its loading report names is an error here. What transformers knows to be harmless (tied
weights, buffers that are computed) is not in the report.
"""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from refuseu.core.errors import UserError
from refuseu.weights.hub import fetched
from refuseu.weights.reference import ModelReference, readable
from refuseu.weights.template import NONE, Variables, set_variables

if TYPE_CHECKING:
    from torch import Tensor, nn

Attention = Literal["eager", "sdpa", "flash_attention_2"]
"""How transformers computes attention; the ways differ in the last bits."""
SHOWN = 3
"""A sentence names at most this many weights of a kind."""


def load_model(auto: Any, reference: ModelReference, **options: Any) -> Any:
    """The model by the class ``auto`` of transformers (``AutoModelForCausalLM``), with all of its weights.

    ``options`` are those of ``from_pretrained``. A repository is fetched first.

    Raises:
        UserError: when the model cannot be fetched or read, when its weights are quantized in a way that cannot be loaded here or
            do not fit its configuration, and for attention without its package.
    """
    source = fetched(reference).source
    for sentence in missing_attention(reference.label, options.get("attn_implementation")):
        raise UserError(sentence)
    assert_quantization(reference.label, _config(reference))
    with readable(reference), _quiet():
        model, report = auto.from_pretrained(
            source,
            **options,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            # They are in the report, which names all of them.
            ignore_mismatched_sizes=True,
        )
    assert_fitting(reference, "config.json", report)
    return model


def missing_attention(user: str, attention: Attention | None) -> list[str]:
    """The sentence on the package that computes ``attention`` for ``user`` and is not installed."""
    if attention != "flash_attention_2" or find_spec("flash_attn"):
        return []
    return [
        f"{user}: attn_implementation flash_attention_2 takes the package flash-attn, which is not installed; install it beside "
        "the locked torch, or take sdpa"
    ]


def assert_quantization(name: str, config: Mapping[str, Any]) -> None:
    """
    Raises:
        UserError: where the model, whose ``config.json`` is ``config``, has quantized weights that transformers cannot load here,
            for want of a package or a GPU; ``name`` is how the sentence calls it.
    """
    quantized = config.get("quantization_config")
    if not quantized:
        return
    from transformers.quantizers import AutoHfQuantizer

    try:
        with _quiet():
            quantizer = AutoHfQuantizer.from_config(dict(quantized), pre_quantized=True)
            quantizer.validate_environment(device_map=None, weights_only=True)
    except (ImportError, RuntimeError, TypeError, ValueError, KeyError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(" .")
        raise UserError(
            f"{name}: its weights are quantized ({quantized.get('quant_method')}), and transformers cannot load them here: "
            f"{reason}; name a repository that is not quantized, or ask it with the engine vllm"
        ) from None


def load_shape(auto: Any, reference: ModelReference, **options: Any) -> Any:
    """The model as ``load_model`` gives it, but without its weights, of which the shapes and types alone are known.

    They are on PyTorch's device ``meta`` and take no memory. Buffers have their values, because the model computes them.

    Raises:
        UserError: when the model cannot be fetched, and when its configuration cannot be read.
    """
    from accelerate import init_empty_weights
    from transformers import AutoConfig

    source = fetched(reference).source
    with readable(reference), _quiet(), init_empty_weights(include_buffers=False):
        config = AutoConfig.from_pretrained(source, trust_remote_code=False)
        model = auto.from_config(config, trust_remote_code=False, **options)
    # A weight that two layers share was made anew for each of them.
    model.tie_weights()
    return model


def load_adapter(model: Any, reference: ModelReference, name: str) -> None:
    """Put the adapter that ``reference`` is onto ``model``, under a name that no adapter on it has.

    Raises:
        UserError: when the adapter cannot be read, and when its weights do not fit the model.
    """
    with readable(reference), _quiet():
        report = model.load_adapter(str(reference.source), adapter_name=name, ignore_mismatched_sizes=True).to_dict()
    # transformers counts the adapters that were put on earlier as missing.
    own = {key for key in report["missing_keys"] if f".{name}." in key}
    assert_fitting(reference, "the base", {**report, "missing_keys": own})


def load_tokenizer(reference: ModelReference, variables: Variables = NONE, **options: Any) -> Any:
    """The tokenizer, whose chat template has the ``variables`` that parameters give it.

    Raises:
        UserError: when the tokenizer cannot be fetched or read.
    """
    from transformers import AutoTokenizer

    source = fetched(reference).source
    with readable(reference), _quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, **options, trust_remote_code=False)
    set_variables(tokenizer, variables)
    return tokenizer


def skeleton(reference: ModelReference) -> Any:
    """The model without its weights, to which the headers of its files were compared, or ``None`` where that tells nothing.

    That is so where the weights are quantized, whose names are the quantizer's, and where transformers would build another class
    than the one that saved the model. The load itself decides then.

    Raises:
        UserError: when the model, or the adapter, cannot be fetched or read or does not fit.
    """
    whole = reference.base or reference
    auto = _class_of(whole)
    if auto is None:
        return None
    model = load_model(auto, whole, device_map={"": "meta"})
    if reference.base:
        load_adapter(model, reference, "adapter")
    return model


def _class_of(reference: ModelReference) -> Any:
    """The class of transformers that loads the model by its ``config.json``, where it is the one that saved it."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
    from transformers.models.auto import modeling_auto as known

    config = _config(reference)
    with readable(reference):
        kind = config["model_type"]
    for auto, names in (
        (AutoModelForCausalLM, known.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES),
        (AutoModelForSeq2SeqLM, known.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES),
    ):
        if names.get(kind) in (config.get("architectures") or [names.get(kind)]) and kind in names:
            return None if "quantization_config" in config else auto
    return None


def _config(reference: ModelReference) -> dict[str, Any]:
    """The ``config.json`` of a model."""
    with readable(reference):
        found: dict[str, Any] = json.loads(
            (Path(fetched(reference).source) / "config.json").read_text(encoding="utf-8")
        )
        return found


def assert_fitting(reference: ModelReference, what: str, report: dict[str, Any]) -> None:
    """Fail for every fault that the loading ``report`` of transformers names; ``what`` is what the weights were put into.

    Raises:
        UserError: that names how many weights are missing, too many or of another shape, and the first of them.
    """
    faults = [
        _listed(report["missing_keys"], "missing"),
        _listed(report["unexpected_keys"], "not in the model"),
        _listed(
            (
                f"{key}: {list(stored)} in the file, {list(built)} in the model"
                for key, stored, built in report["mismatched_keys"]
            ),
            "of another shape",
        ),
    ]
    said = "; ".join(filter(None, faults))
    if said:
        raise UserError(f"{reference.label}: its weights do not fit {what}: {said}; {reference.way_out}")


def _listed(names: Iterable[str], fault: str) -> str | None:
    """How many weights have a fault, and the first of them."""
    found = sorted(names)
    more = ", …" if found[SHOWN:] else ""
    return f"{len(found)} {fault} ({', '.join(found[:SHOWN])}{more})" if found else None


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back the tables and bars that transformers prints while it loads."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def assert_finite(reference: ModelReference) -> None:
    """Read the files of weights in a folder, a tensor at a time.

    Raises:
        UserError: for a file that is damaged, and for a weight that is NaN or infinite.
    """
    from safetensors import SafetensorError, safe_open

    for path in sorted(Path(reference.source).glob("*.safetensors")):
        try:
            with safe_open(path, framework="pt") as file:
                wrong = first_not_finite((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{reference.label}: {path.name} is damaged or cut off ({error}); {reference.way_out}"
            ) from None
        if wrong:
            raise UserError(f"{reference.label}: the weight {wrong} is not finite; {reference.way_out}")


def weight_not_finite(model: "nn.Module", trained: bool = False) -> str | None:
    """The first tensor of ``model`` that holds NaN or infinity, or ``None``. With ``trained``, frozen tensors are skipped."""
    weights = ((name, each) for name, each in model.named_parameters() if each.requires_grad or not trained)
    wrong = first_not_finite(weights)
    return f"weight {wrong}" if wrong else None


def first_not_finite(tensors: "Iterable[tuple[str, Tensor]]") -> str | None:
    """The first name whose tensor holds NaN or infinity, or ``None``.

    The extremes of a tensor are enough to know, and cost a tenth of a mask. Where a tensor is spread over processes, each
    process looks at its own part.
    """
    for name, tensor in tensors:
        own = getattr(tensor, "to_local", lambda whole=tensor: whole)().detach()
        if not own.is_floating_point() or not own.numel() or own.is_meta:
            continue
        # Numbers of one byte (float8) have no extremes in PyTorch.
        if not all(map(math.isfinite, (own.float() if own.itemsize == 1 else own).aminmax())):
            return name
    return None
