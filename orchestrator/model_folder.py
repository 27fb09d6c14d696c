"""A model's folder on disk: where it is, and what identifies it. Reads no weights."""

import json
import re
from pathlib import Path
from typing import Any

from orchestrator.artifacts import sha256_of
from orchestrator.errors import BadInput
from orchestrator.project import find_file
from orchestrator.request import content_hash

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
FILES = (
    "transformer/config.json",
    "transformer/*.safetensors",
    "vae/config.json",
    "vae/*.safetensors",
    "text_encoder/config.json",
    "text_encoder/*.safetensors",
    "tokenizer/tokenizer.json",
    "scheduler/scheduler_config.json",
)
"""What a model needs at least."""

_READ_UP_TO_BYTES = 64 * 2**20
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(path: str) -> Path:
    """The folder of the model called `path`: a local folder, or a hub name that has been downloaded or can be.

    A relative folder is looked for from the working directory, then from the project's own folder.

    Raises:
        BadInput: there is no such folder and it is no hub name, a part of the model is missing, or the hub
            cannot be reached.
    """
    local = find_file(path)
    if _is_folder(local):
        return _check_parts(local.resolve())
    if _HUB_NAME.fullmatch(path):
        return _check_parts(_download(path))
    raise BadInput(f"model.path={path} is not a folder: give the folder of a Wan2.1 model in diffusers format")


def model_fingerprint(folder: Path) -> str:
    """Identifies the model from its configuration and the names and sizes of its weight files.

    28 GB are not read for it: of files above 64 MB only the size counts, and one that is replaced by another of the
    same size and name goes unnoticed.
    """
    described: dict[str, object] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_dir() or name.startswith(".") or name.split("/")[0] not in PARTS:
            continue
        size = file.stat().st_size
        described[name] = size if size > _READ_UP_TO_BYTES else sha256_of(file)
    return content_hash(described)


def transformer_heads(folder: Path) -> int:
    """Attention heads of the transformer, from its configuration.

    Raises:
        BadInput: the configuration cannot be read, or does not say.
    """
    file = folder / "transformer" / "config.json"
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["num_attention_heads"])
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise BadInput(
            f"model.path={folder}: {file.relative_to(folder)} does not give num_attention_heads as a number; the "
            "model is damaged or no Wan2.1 transformer"
        ) from error


def solver_name(folder: Path) -> str:
    """Class of the solver, such as UniPCMultistepScheduler."""
    config: dict[str, Any] = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    return str(config.get("_class_name"))


def autoencoder_config(folder: Path) -> dict[str, Any]:
    """Configuration of the autoencoder."""
    config: dict[str, Any] = json.loads((folder / "vae" / "config.json").read_text())
    return config


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that no system can have
        return False


def _check_parts(folder: Path) -> Path:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise BadInput(
            f"model.path={folder} lacks {', '.join(missing)}: a Wan2.1 model in diffusers format has the folders "
            f"{', '.join(PARTS)}"
        )
    lacking = [pattern for pattern in FILES if not any(folder.glob(pattern))]
    lacking += [name for index in folder.glob("*/*.safetensors.index.json") for name in _files_missing_of(index)]
    if lacking:
        raise BadInput(f"model.path={folder} lacks {', '.join(lacking)}: the model is incomplete, copy it again")
    return folder


def _files_missing_of(index: Path) -> list[str]:
    """The weight files that an index names and that are not beside it."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        raise BadInput(f"model.path: {index} is no index of weight files; copy the model again") from error
    return [f"{index.parent.name}/{name}" for name in names if not (index.parent / name).is_file()]


def _download(name: str) -> Path:
    # Imported late: a local folder needs no hub, and errors in the input should come at once.
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    try:
        return Path(snapshot_download(name, allow_patterns=[f"{part}/*" for part in PARTS] + ["*.json"]))
    except Exception as error:  # the hub's client raises some twenty kinds, none of which the user could tell apart
        raise BadInput(
            f"model.path={name} is no local folder and could not be had from the hub ({type(error).__name__}): "
            "download it where there is a network and give its folder"
        ) from error
