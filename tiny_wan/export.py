"""Write the model as a diffusers folder that `WanPipeline.from_pretrained` loads.

`python -m tiny_wan.export` writes what a training has reached so far, also while it runs.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import WanPipeline

from tiny_wan.architecture import build_scheduler, build_tokenizer
from tiny_wan.latents import load_latents, trained_autoencoder
from tiny_wan.state import state_folder
from tiny_wan.train_transformer import STATE_FILE, TransformerSettings, TransformerTask
from tiny_wan.training import load_average

WEIGHTS = Path(__file__).resolve().parent / "weights"
"""Where the trained weights of this project lie."""


def export_trained(state: Path, folder: Path = WEIGHTS) -> None:
    """Export the averaged weights that a state folder holds; what is not trained yet is exported as initialised."""
    vae, _ = trained_autoencoder(state)
    latents = load_latents(state)
    if latents is not None:
        vae.register_to_config(latents_mean=latents.mean.tolist(), latents_std=latents.std.tolist())
    task = TransformerTask(TransformerSettings(compile=False))
    load_average(task, state / STATE_FILE)
    export(autoencoder=vae, transformer=task.transformer, text_encoder=task.text_encoder, folder=folder)


def export(*, autoencoder: Any, transformer: Any, text_encoder: Any, folder: Path = WEIGHTS) -> None:
    """Write all parts in half precision into `folder`, replacing what was there file by file.

    Each file is written elsewhere and renamed into place, so that a reader never sees a partial one.
    """
    pipeline = WanPipeline(
        tokenizer=build_tokenizer(),
        text_encoder=_half(text_encoder),
        vae=_half(autoencoder),
        scheduler=build_scheduler(),
        transformer=_half(transformer),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(staging, ignore_errors=True)
    pipeline.save_pretrained(staging, safe_serialization=True)
    _portable_names(staging)
    for path in sorted(staging.rglob("*")):
        if path.is_file():
            target = folder / path.relative_to(staging)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)  # the writing libraries leave weights readable by their owner alone
            path.replace(target)
    shutil.rmtree(staging)


def _half(module: Any) -> Any:
    """A copy of a module in float16; the original stays as it is."""
    copy = (
        type(module)(module.config) if hasattr(module.config, "to_json_file") else type(module)(**_arguments(module))
    )
    copy.load_state_dict(module.state_dict())
    return copy.eval().to(torch.float16)


def _arguments(module: Any) -> dict[str, Any]:
    return {key: value for key, value in dict(module.config).items() if not key.startswith("_")}


def _portable_names(folder: Path) -> None:
    """Undo what only the writing library's version needs, so that older and newer versions load the folder.

    transformers 5 writes its own base class as the tokenizer's name, which other versions do not know; and
    a text encoder whose config says float32 is loaded in float32 on every version, like the other parts.
    """
    index = folder / "model_index.json"
    _edit(index, {"tokenizer": ["transformers", "PreTrainedTokenizerFast"]})
    _edit(folder / "tokenizer" / "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"})
    _edit(folder / "text_encoder" / "config.json", {"dtype": "float32"})


def _edit(path: Path, changes: dict[str, Any]) -> None:
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | changes, indent=2, ensure_ascii=False) + "\n")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tiny_wan.export", description=__doc__)
    parser.add_argument("--state", help="folder of the training state")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="folder to write (default: %(default)s)")
    options = parser.parse_args()
    export_trained(state_folder(options.state), options.weights)


if __name__ == "__main__":
    main()
