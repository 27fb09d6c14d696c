"""Two ranks that hold half of the tokens each and render one request after another: for the noise floor."""

import tempfile
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing
from torch.distributed import FileStore  # type: ignore[attr-defined]

from benchmarks.demo_model import FOLDER, MAX_SEQUENCE_LENGTH, Rendered
from benchmarks.quiet import silence_libraries
from benchmarks.rank_engine import build
from orchestrator.decode import decode_latents
from orchestrator.request import Request
from parallel.layout import Layout
from parallel.process_group import join_group

RANKS = 2


class RingPair:
    """Two processes on a ring, started at once and ended with this object's `close`, or with this process."""

    def __init__(self, dtype: torch.dtype) -> None:
        self._folder = tempfile.TemporaryDirectory()
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Any] = []
        self._processes: list[Any] = []
        for rank in range(RANKS):
            own, theirs = context.Pipe()
            process = context.Process(
                target=_serve,
                args=(rank, theirs, Path(self._folder.name), dtype),
                name=f"ring rank {rank}",
                daemon=True,
            )
            process.start()
            theirs.close()  # so that a rank's death is seen at once, and this process's by the ranks
            self._pipes.append(own)
            self._processes.append(process)

    def render(self, request: Request) -> Rendered:
        """One video.

        Raises:
            EOFError: a rank has died.
        """
        for pipe in self._pipes:
            pipe.send(request)
        frames = self._pipes[0].recv()
        return Rendered(frames=frames, seconds=float("nan"), num_full_rounds=request.num_steps)

    def close(self) -> None:
        """End both ranks."""
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(timeout=10)
            process.kill()
        self._folder.cleanup()


def _serve(rank: int, pipe: Connection, folder: Path, dtype: torch.dtype) -> None:
    silence_libraries()
    torch.set_num_threads(1)
    device = torch.device("cpu")
    join_group(FileStore(str(folder / "store"), RANKS), rank=rank, world_size=RANKS, device=device)
    model = build(
        FOLDER,
        layout=Layout(ring=RANKS),
        rank=rank,
        device=device,
        dtype=dtype,
        max_sequence_length=MAX_SEQUENCE_LENGTH,
    )
    with suppress(EOFError, BrokenPipeError):  # the other end is closed: done
        while True:
            request = pipe.recv()
            latents = model.denoise(model.start(request))
            if rank == 0:
                pipe.send(decode_latents(model.vae, latents))
    dist.destroy_process_group()
