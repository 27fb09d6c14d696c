"""One rank: a process that holds its part of a model and does the stages of a video, one at a time.

A plain class. It runs as it is in this process and under torchrun, and as a Ray actor.
"""

import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch.distributed.distributed_c10d import Store
from transformers.utils.logging import disable_progress_bar

from orchestrator.artifacts import VideoFolder, publish
from orchestrator.decode import decode_latents
from orchestrator.engine import Branch, Engine, RenderState
from orchestrator.filmstrip import write_filmstrip
from orchestrator.launch_plan import Device
from orchestrator.loading import load_scheduler, load_text_encoder, load_transformer, load_vae, vae_scales
from orchestrator.rank import RankSpec
from orchestrator.reports import Stage, StageReport
from orchestrator.request import Request
from orchestrator.sidecar import Provenance, Result, publish_sidecar
from orchestrator.text import TextEncoder
from orchestrator.video_file import write_video
from parallel.apply import apply_sequence_parallel
from parallel.network import use_interface_of
from parallel.process_group import Rendezvous, join_from_environment, join_group, open_store, reach_store
from parallel.token_group import TokenGroup


@dataclass(kw_only=True, slots=True)
class _Video:
    """The video under way. Stages fill it from top to bottom."""

    video_id: str
    request: Request
    embeds: dict[Branch, torch.Tensor]
    state: RenderState | None = None
    frames: NDArray[np.uint8] | None = None
    seconds: dict[Stage, float] = field(default_factory=dict)


class Worker:
    """One rank of a gang. Its methods are called on all ranks of the gang alike, in the same order."""

    def __init__(self, spec: RankSpec) -> None:
        """Takes its device; loads nothing yet."""
        logging.getLogger("diffusers").setLevel(logging.ERROR)
        disable_progress_bar()  # of transformers, one for each model that is loaded
        torch.set_num_threads(spec.num_threads)
        self._spec = spec
        self._device = torch.device("cuda", spec.device_index) if spec.device is Device.CUDA else torch.device("cpu")
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        self._store: Store | None = None
        self._engine: Engine | None = None
        self._group: TokenGroup | None = None
        self._text: TextEncoder | None = None
        self._vae: AutoencoderKLWan | None = None
        self._video: _Video | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone encodes text, decodes and publishes."""
        return self._spec.rank == 0

    def open_store(self, host: str) -> Rendezvous:
        """Rank 0: let the others find this process at `host`."""
        self._store, rendezvous = open_store(host)
        return rendezvous

    def join(self, rendezvous: Rendezvous, address: str) -> None:
        """Join the gang's process group; `address` is this node's own."""
        use_interface_of(address)
        store = self._store or reach_store(rendezvous)
        join_group(store, rank=self._spec.rank, world_size=self._spec.layout.world_size, device=self._device)

    def join_torchrun(self) -> None:
        """Join the process group that torchrun describes."""
        join_from_environment(self._device)

    def load(self) -> None:
        """Load this rank's part of the model. The process group must have been joined, if there are other ranks."""
        spec, folder = self._spec, self._spec.model.folder
        dtype = getattr(torch, spec.model.dtype.value)
        transformer = load_transformer(folder, device=self._device, dtype=dtype)
        self._group = apply_sequence_parallel(transformer, spec.layout, rank=spec.rank)
        spatial_scale, temporal_scale = vae_scales(folder)
        self._engine = Engine(
            transformer=transformer,
            scheduler=load_scheduler(folder),
            token_group=self._group,
            spatial_scale=spatial_scale,
            temporal_scale=temporal_scale,
        )
        if self.is_first:
            self._text = load_text_encoder(
                folder, device=self._device, dtype=dtype, max_sequence_length=spec.model.max_sequence_length
            )
            self._vae = load_vae(folder, device=self._device)

    def encode(self, video_id: str, request: Request) -> StageReport:
        """Begin a video: its prompt's embeddings on every rank."""
        assert self._engine is not None and self._group is not None
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._video = _Video(video_id=video_id, request=request, embeds={})
        return self._timed(Stage.ENCODE, self._encode)

    def denoise(self) -> StageReport:
        """Run the next segment."""
        assert self._engine is not None and self._video is not None and self._video.state is not None
        video, state = self._video, self._video.state
        begin = perf_counter()
        rounds = self._engine.run_segment(state)
        seconds = perf_counter() - begin
        video.seconds[Stage.DENOISE] = video.seconds.get(Stage.DENOISE, 0.0) + seconds
        return StageReport(stage=Stage.DENOISE, seconds=seconds, rounds=rounds, is_complete=state.is_denoised)

    def decode(self) -> StageReport:
        """Gather the latents; rank 0 decodes them."""
        return self._timed(Stage.DECODE, self._decode)

    def publish(self, folder: Path, provenance: Provenance) -> StageReport:
        """Rank 0 writes the mp4, the filmstrip and, last, the sidecar. The video is done and forgotten."""
        assert self._group is not None and self._video is not None
        peak_memory = self._group.largest(_peak_memory_bytes(self._device), self._device)
        report = self._timed(Stage.PUBLISH, lambda: self._write_files(VideoFolder(folder)))
        if self.is_first:
            state = self._video.state
            assert state is not None
            result = Result(
                video_id=self._video.video_id,
                request=self._video.request,
                stage_seconds=self._video.seconds,
                rounds=tuple(state.rounds),
                peak_memory_bytes=peak_memory,
                layout=self._spec.layout,
                model=self._spec.model,
                device=_device_name(self._device),
            )
            publish_sidecar(VideoFolder(folder), result, provenance)
        self._video = None
        return report

    def _timed(self, stage: Stage, work: Callable[[], None]) -> StageReport:
        assert self._video is not None
        begin = perf_counter()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = self._video.seconds[stage] = perf_counter() - begin
        return StageReport(stage=stage, seconds=seconds)

    def _encode(self) -> None:
        assert self._engine is not None and self._group is not None and self._video is not None
        request = self._video.request
        branches = (Branch.COND, Branch.UNCOND) if request.is_guided else (Branch.COND,)
        encoded = self._text.encode(request) if self._text is not None else {}
        self._video.embeds = {branch: self._group.broadcast(encoded.get(branch), self._device) for branch in branches}
        self._video.state = self._engine.start(request, self._video.embeds)

    def _decode(self) -> None:
        assert self._engine is not None and self._video is not None and self._video.state is not None
        latents = self._engine.finish(self._video.state)
        if self._vae is not None:
            self._video.frames = decode_latents(self._vae, latents)

    def _write_files(self, folder: VideoFolder) -> None:
        assert self._video is not None
        if not self.is_first:
            return
        assert self._video.frames is not None
        with publish(folder.video) as path:
            write_video(path, self._video.frames, fps=self._video.request.fps)
        with publish(folder.preview) as path:
            write_filmstrip(path, self._video.frames, prompt=self._video.request.prompt)


def _peak_memory_bytes(device: torch.device) -> int:
    """Largest memory so far: of the GPU for this video, of the process where there is none."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
