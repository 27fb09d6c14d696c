"""A model's folder on disk: where it is, and what identifies it. Reads no weights."""

import json
import re
from pathlib import Path

from orchestrator.errors import BadInput
from orchestrator.project import find_file
from orchestrator.request import content_hash

PARTS = ("transformer", "vae", "text_encoder", "tokenizer", "scheduler")
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def find_model(path: str) -> Path:
    """The folder of the model called `path`: a local folder, or a hub name that has been downloaded or can be.

    A relative folder is looked for from the working directory, then from the project's own folder.

    Raises:
        BadInput: there is no such folder and it is no hub name, a part of the model is missing, or the hub
            cannot be reached.
    """
    local = find_file(path)
    if local.is_dir():
        return _check_parts(local.resolve())
    if _HUB_NAME.fullmatch(path):
        return _check_parts(_download(path))
    raise BadInput(f"model.path={path} is not a folder: give the folder of a Wan2.1 model in diffusers format")


def model_fingerprint(folder: Path) -> str:
    """Identifies the model from its configuration and the names and sizes of its weight files.

    28 GB are not read for it. A file that is replaced by another of the same size and name goes unnoticed.
    """
    described: dict[str, object] = {}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_dir() or name.startswith(".") or name.split("/")[0] not in PARTS:
            continue
        is_weights = file.suffix in (".safetensors", ".bin", ".model")
        described[name] = file.stat().st_size if is_weights else content_hash(file.read_text(encoding="utf-8"))
    return content_hash(described)


def transformer_heads(folder: Path) -> int:
    """Attention heads of the transformer, from its configuration."""
    config = json.loads((folder / "transformer" / "config.json").read_text())
    return int(config["num_attention_heads"])


def _check_parts(folder: Path) -> Path:
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise BadInput(
            f"model.path={folder} lacks {', '.join(missing)}: a Wan2.1 model in diffusers format has the folders "
            f"{', '.join(PARTS)}"
        )
    return folder


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
