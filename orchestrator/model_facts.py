"""What is known of a model without its weights: from its folder's configuration, or from its name."""

import json
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

from orchestrator.choices import DType, choose
from orchestrator.config import ModelConfig
from orchestrator.cost_model import model_shape
from orchestrator.errors import BadInput
from orchestrator.model_folder import find_model, model_fingerprint, transformer_heads
from orchestrator.project import find_file
from orchestrator.request import content_hash
from parallel.render_memory import WAN_TEXT_PARAMETERS, WAN_VAE_PARAMETERS, transformer_parameters
from parallel.wan_shapes import WAN_1_3B, WAN_14B, WanShape

VALUE_BYTES = {DType.FLOAT32: 4, DType.BFLOAT16: 2, DType.FLOAT16: 2}
_KNOWN = {"wan2.1_t2v_14b": WAN_14B, "wan2.1_t2v_1.3b": WAN_1_3B}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFacts:
    """A model's shape and sizes."""

    name: str
    shape: WanShape
    text_parameters: int
    vae_parameters: int
    dtype: DType
    folder: Path | None
    """None where the model is not on this machine."""
    fingerprint: str | None
    """As records of renders name the model; None where it is not on this machine."""

    @property
    def value_bytes(self) -> int:
        """Of a number of the transformer and the text encoder."""
        return VALUE_BYTES[self.dtype]

    @property
    def shape_parameters(self) -> int:
        """Of the transformer."""
        return transformer_parameters(self.shape)

    @property
    def basis(self) -> str:
        """Where this is known from."""
        return f"the files of {self.folder}" if self.folder else f"Wan2.1's published shape; {self.name} is not here"


def model_facts(config: ModelConfig) -> ModelFacts:
    """What is known of the model. Nothing is downloaded, and of weights only the names and shapes are read.

    Raises:
        BadInput: the model is neither on this machine nor known by name, or its folder holds another one.
    """
    dtype = choose(DType, config.dtype, "model.dtype")
    folder = _folder(config.path)
    if folder is None:
        if config.name not in _KNOWN:
            raise BadInput(
                f"model.path={config.path} is not on this machine, and model={config.name} is not known by name: "
                f"give its folder, or take one of {', '.join(_KNOWN)}"
            )
        return ModelFacts(
            name=config.name,
            shape=replace(_KNOWN[config.name], num_text_tokens=config.max_sequence_length),
            text_parameters=WAN_TEXT_PARAMETERS,
            vae_parameters=WAN_VAE_PARAMETERS,
            dtype=dtype,
            folder=None,
            fingerprint=None,
        )
    heads = transformer_heads(folder)
    if heads != config.num_attention_heads:
        raise BadInput(
            f"model.path={config.path} has {heads} attention heads but model={config.name} has "
            f"{config.num_attention_heads}: the folder holds another model"
        )
    return ModelFacts(
        name=config.name,
        shape=model_shape(folder, config.max_sequence_length),
        text_parameters=_num_parameters(folder / "text_encoder"),
        vae_parameters=_num_parameters(folder / "vae"),
        dtype=dtype,
        folder=folder,
        fingerprint=content_hash([model_fingerprint(folder), config.max_sequence_length]),
    )


def _folder(path: str) -> Path | None:
    """The model's folder, if it is on this machine: as given, or among what the hub's client has downloaded."""
    if find_file(path).is_dir():
        return find_model(path)
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - a local folder needs no hub

    try:
        return find_model(snapshot_download(path, local_files_only=True))
    except (BadInput, OSError, ValueError):  # what the client raises where it has nothing, or half of it
        return None


def _num_parameters(folder: Path) -> int:
    """Numbers in a folder's weight files, from their headers."""
    return sum(_numbers_in(file) for file in folder.glob("*.safetensors"))


def _numbers_in(file: Path) -> int:
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = json.loads(opened.read(length))
    return sum(prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
