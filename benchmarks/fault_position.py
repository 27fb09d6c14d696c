"""What a rank is doing at this very moment, read out of its process: nothing in the product helps with it."""

import json
import subprocess
import sys
from pathlib import Path

PY_SPY = Path(sys.executable).with_name("py-spy")
STAGES = ("encode", "full round", "forecast round", "checkpoint", "keep latents", "decode", "publish")
"""Of a video, in this order."""
_STAGE_OF = {
    "_forecast_round": "forecast round",
    "_full_round": "full round",
    "save_checkpoint": "checkpoint",
    "keep_latents": "keep latents",
    "publish": "publish",
    "decode": "decode",
    "encode": "encode",
    "prepare": "encode",
    "resume": "resume",
    "take_latents": "read latents",
    "run_segment": "between rounds",
    "denoise": "between rounds",
}
"""By method of `Worker` or `Engine`; where several are under way the first counts."""
_OF_STARTING = ("__init__", "load", "join", "open_store", "<module>")


def look(pid: int) -> str:
    """The stage that the process stands in. It should be stopped, or it may move meanwhile.

    Returns:
        One of `STAGES`; or resume, read latents, between rounds, starting, idle; or unknown where it cannot be seen.
    """
    command = [str(PY_SPY), "dump", "--pid", str(pid), "--nonblocking", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return "unknown"
    frames = [frame for thread in json.loads(done.stdout) for frame in thread["frames"]]
    names = {frame["name"].rpartition(".")[2] for frame in frames if "/orchestrator/" in frame["filename"]}
    stage = next((stage for method, stage in _STAGE_OF.items() if method in names), None)
    return stage or ("starting" if names & {*_OF_STARTING} else "idle")


def can_look() -> bool:
    """Whether py-spy is there and this system lets one process look into another."""
    if not PY_SPY.is_file():
        return False
    with subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], stdin=-1, stdout=-1) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = look(process.pid)
        process.kill()
    return found != "unknown"
