"""One rank: a process that holds its part of a model and does the stages of a video, one at a time.

A plain class. It runs as it is in this process and under torchrun, and as a Ray actor.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from numpy.typing import NDArray
from torch.distributed.distributed_c10d import Store
from transformers.utils.logging import disable_progress_bar

from orchestrator.artifacts import VideoFolder
from orchestrator.checkpoint import read_checkpoint, write_checkpoint
from orchestrator.checkpoint_store import (
    LATENTS,
    Generation,
    generations,
    new_generation,
    publish_manifest,
    rank_file,
    remove_all,
)
from orchestrator.choices import Device
from orchestrator.decode import decode_latents
from orchestrator.device_figures import device_name, is_usable, peak_memory_bytes
from orchestrator.engine import Engine
from orchestrator.freezing import freeze, freeze_latents, thaw, thaw_latents
from orchestrator.gram_recorder import GramRecorder
from orchestrator.latents_file import Denoised, try_latents, write_latents
from orchestrator.loading import (
    load_scheduler,
    load_sharded_transformer,
    load_transformer,
    load_vae,
    vae_scales,
)
from orchestrator.memory_advice import memory_explained
from orchestrator.prompt_embeddings import AHEAD_SECONDS, PromptEmbeddings, open_embeddings
from orchestrator.rank import RankSpec
from orchestrator.render_state import Branch, RenderState
from orchestrator.reports import Stage, StageReport
from orchestrator.request import Request
from orchestrator.sidecar import Provenance, Result, layout_record, publish_sidecar
from orchestrator.text import texts_of
from orchestrator.video_files import write_files
from parallel.apply import apply_sequence_parallel, leave_sequence_parallel
from parallel.network import use_interface_of
from parallel.process_group import Rendezvous, join_from_environment, join_group, leave_group, open_store, reach_store
from parallel.token_group import TokenGroup
from parallel.vae import apply_parallel_decode
from spectrum import Features, ForecastSettings, Method, Plan
from spectrum.weighted_sum import check_compiler

log = logging.getLogger("orchestrator")


@dataclass(kw_only=True, slots=True)
class _Video:
    """The video under way. Stages fill it from top to bottom."""

    video_id: str
    request: Request
    state: RenderState | None = None
    denoised: Denoised | None = None
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
        self._embeddings: PromptEmbeddings | None = None
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
        spec = self._spec
        join_group(store, rank=spec.rank, world_size=spec.layout.world_size, device=self._device, engine=spec.engine)

    def join_torchrun(self) -> None:
        """Join the process group that torchrun describes."""
        join_from_environment(self._device, engine=self._spec.engine)

    def load(self) -> None:
        """Load this rank's part of the model. The process group must have been joined, if there are other ranks."""
        spec, folder = self._spec, self._spec.model.folder
        if spec.decodes_only:
            self._group = TokenGroup(layout=spec.layout, rank=spec.rank)
            self._vae = load_vae(folder, device=self._device)
            return
        if spec.forecasts:
            check_compiler(self._device)
        dtype = getattr(torch, spec.model.dtype.value)
        if spec.shard_blocks:
            transformer = load_sharded_transformer(
                folder, device=self._device, dtype=dtype, world_size=spec.layout.world_size
            )
        else:
            transformer = load_transformer(folder, device=self._device, dtype=dtype)
        self._group = apply_sequence_parallel(
            transformer, spec.layout, rank=spec.rank, engine=spec.engine, uneven=spec.uneven
        )
        spatial_scale, temporal_scale = vae_scales(folder)
        self._engine = Engine(
            transformer=transformer,
            scheduler=load_scheduler(folder),
            token_group=self._group,
            spatial_scale=spatial_scale,
            temporal_scale=temporal_scale,
        )
        if self.is_first:
            self._embeddings = open_embeddings(self._spec, self._device, dtype)
        if spec.loads_decoder and (self.is_first or spec.decode_parallel):
            self._vae = load_vae(folder, device=self._device)
            if spec.decode_parallel:
                apply_parallel_decode(self._vae)

    def prepare(self, texts: Sequence[str]) -> StageReport:
        """Rank 0: encode texts ahead of the videos that need them, as many of the first ones as there is time for."""
        self._video = None  # one that was cancelled: the encoder may need its memory
        begin = perf_counter()
        number = self._embeddings.prepare(texts, seconds=AHEAD_SECONDS) if self._embeddings is not None else 0
        return StageReport(stage=Stage.ENCODE, seconds=perf_counter() - begin, result=number)

    def encode(self, video_id: str, request: Request) -> StageReport:
        """Begin a video: its prompt's embeddings on every rank."""
        self._begin(video_id, request)
        return self._timed(Stage.ENCODE, self._encode)

    def denoise(self) -> StageReport:
        """Run the next segment."""
        assert self._engine is not None and self._video is not None and self._video.state is not None
        video, state = self._video, self._video.state
        begin = perf_counter()
        with memory_explained(Stage.DENOISE, self._spec, video.request):
            rounds = self._engine.run_segment(state)
        seconds = perf_counter() - begin
        video.seconds[Stage.DENOISE] = video.seconds.get(Stage.DENOISE, 0.0) + seconds
        return StageReport(stage=Stage.DENOISE, seconds=seconds, rounds=rounds, is_complete=state.is_denoised)

    def keep_latents(self, folder: Path) -> StageReport:
        """End the denoising: gather the latents, and let rank 0 bring them to the disk before anything else."""
        assert self._engine is not None and self._group is not None
        assert self._video is not None and self._video.state is not None
        begin = perf_counter()
        video, state = self._video, self._video.state
        latents = self._engine.finish(state)
        seconds = perf_counter() - begin
        video.seconds[Stage.DENOISE] = video.seconds.get(Stage.DENOISE, 0.0) + seconds
        video.denoised = Denoised(
            latents=latents,
            rounds=tuple(state.rounds),
            resumed=tuple(state.resumed),
            stage_seconds=dict(video.seconds),
            layout=layout_record(self._spec),
            peak_memory_bytes=self._group.largest(peak_memory_bytes(self._device), self._device),
        )
        video.state = None  # its histories would take gigabytes from the decoder
        if self.is_first:
            write_latents(VideoFolder(folder).latents, video.denoised)
            remove_all(VideoFolder(folder).checkpoints)
        return StageReport(stage=Stage.DENOISE, seconds=seconds)

    def take_latents(self, video_id: str, request: Request, folder: Path) -> StageReport:
        """Begin a video whose latents an earlier launch has brought to the disk.

        The report's result is whether all ranks could read them; False where they are damaged, None where they are
        not there.
        """
        assert self._group is not None
        begin = perf_counter()
        denoised, could_read = try_latents(VideoFolder(folder).latents)
        answers = self._group.gather_objects(could_read)
        if not all(answers):
            result = False if False in answers else None
            return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin, result=result)
        assert denoised is not None
        video = self._begin(video_id, request)
        video.denoised = denoised
        video.seconds = dict(denoised.stage_seconds)
        return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin, result=True)

    def save_checkpoint(self, checkpoints: Path, *, is_full: bool) -> StageReport:
        """Write the video's state between two segments: each rank its own (`is_full`), rank 0 the whole latents."""
        assert self._engine is not None and self._group is not None
        assert self._video is not None and self._video.state is not None
        begin = perf_counter()
        folder = self.share(new_generation(checkpoints) if self.is_first else None)
        state, written = self._video.state, {}
        latents = freeze_latents(self._engine, state)
        if self.is_first:
            written[LATENTS] = write_checkpoint(folder / LATENTS, latents)
        if is_full:
            written[rank_file(self._spec.rank)] = write_checkpoint(folder / rank_file(self._spec.rank), freeze(state))
        files = {name: digest for of_rank in self._group.gather_objects(written) for name, digest in of_rank.items()}
        if self.is_first:
            publish_manifest(folder, step=state.step, layout=str(self._spec.layout), files=files)
        return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin)

    def resume(self, video_id: str, request: Request, checkpoints: Path) -> StageReport:
        """Begin a video from its newest checkpoint that every rank can read.

        The report's result is the step to go on from, or None where there is no such checkpoint: then nothing has
        begun. Whole states are for the layout that wrote them; any other goes on from the latents. Where a whole
        state is damaged they are left alone: the video would not end with the bytes that it was promised.
        """
        assert self._group is not None
        self._video = None  # so that two states are never held at once
        begin = perf_counter()
        for found in self._group.gather_objects(generations(checkpoints) if self.is_first else [])[0]:
            state = self._thaw(found, request)
            if all(self._group.gather_objects(state is not None)):
                assert state is not None
                video = self._begin(video_id, request)
                video.state = state
                video.seconds[Stage.DENOISE] = sum(one.seconds for one in state.rounds)
                return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin, result=state.step)
        return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin)

    def _thaw(self, found: Generation, request: Request) -> RenderState | None:
        """The state that a checkpoint holds for this rank; None if it is damaged, or cannot be read."""
        assert self._engine is not None and self._group is not None
        is_full = found.holds_states_of(str(self._spec.layout))
        name = rank_file(self._spec.rank) if is_full else LATENTS
        frozen = None
        try:
            frozen = read_checkpoint(found.path(name))
            if is_full:
                return thaw(self._engine, frozen, request)
        except (ValueError, OSError) as error:
            log.warning("%s: %s", found.folder, error)
        if is_full or not all(self._group.gather_objects(frozen is not None)):
            return None
        assert frozen is not None
        return thaw_latents(self._engine, frozen, request, self._embeds_of(request))

    def decode(self) -> StageReport:
        """Turn the latents into frames, on rank 0 or on all ranks together."""
        return self._timed(Stage.DECODE, self._decode)

    def publish(self, folder: Path, provenance: Provenance) -> StageReport:
        """Rank 0 writes the mp4, the filmstrip and, last, the sidecar. The video is done and forgotten."""
        assert self._group is not None and self._video is not None and self._video.denoised is not None
        video, denoised, files = self._video, self._video.denoised, VideoFolder(folder)
        peak_memory = self._group.largest(peak_memory_bytes(self._device), self._device)
        report = self._timed(Stage.PUBLISH, self._write_files_to(files))
        if self.is_first:
            result = Result(
                video_id=video.video_id,
                request=video.request,
                stage_seconds=video.seconds,
                rounds=denoised.rounds,
                resumed=denoised.resumed,
                layout=denoised.layout,
                peak_memory_bytes=max(peak_memory, denoised.peak_memory_bytes),
                rank=self._spec,
                device=device_name(self._device),
            )
            publish_sidecar(files, result, provenance)
            files.clear()
        self._video = None
        return report

    def record_grams(self, request: Request, features: Features, token_stride: int) -> StageReport:
        """Render with all rounds full; `GramRecorder.grams`, over all ranks' tokens."""
        assert self._engine is not None and self._group is not None
        begin = perf_counter()
        all_full = replace(request, forecast=ForecastSettings(method=Method.NONE, features=features))
        recorder = GramRecorder(features, token_stride=token_stride)
        self._engine.observer = recorder
        try:
            self._denoise_alone(all_full)
        finally:
            self._engine.observer = None
        grams = self._group.sum(recorder.grams(), self._device)
        return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin, result=grams.tolist())

    def compare_forecasts(self, request: Request, candidates: Sequence[ForecastSettings]) -> StageReport:
        """Of each candidate: its latents' error relative to those of all rounds full, and its full rounds."""
        begin = perf_counter()
        reference, _ = self._denoise_alone(replace(request, forecast=ForecastSettings(method=Method.NONE)))
        result = []
        for one in candidates:
            latents, plan = self._denoise_alone(replace(request, forecast=one))
            result.append((float((latents - reference).norm() / reference.norm()), plan.num_full))
        return StageReport(stage=Stage.DENOISE, seconds=perf_counter() - begin, result=result)

    def _denoise_alone(self, request: Request) -> tuple[torch.Tensor, Plan]:
        """Latents of a video that is not published, and the rounds that were run."""
        assert self._engine is not None
        state = self._engine.start(request, self._embeds_of(request))
        while not state.is_denoised:
            self._engine.run_segment(state)
        return self._engine.finish(state), state.plan

    def leave(self) -> None:
        """Drop the model and leave the process group. Nothing else may be called afterwards."""
        self._video = self._engine = self._embeddings = self._vae = self._group = None
        leave_sequence_parallel(self._spec.engine)
        leave_group()

    def agree(self, flag: bool) -> bool:
        """Whether any rank of the gang says so."""
        assert self._group is not None
        return any(self._group.gather_objects(flag))

    def share(self, value: Any) -> Any:
        """Rank 0's value."""
        assert self._group is not None
        return self._group.gather_objects(value if self.is_first else None)[0]

    def is_usable(self) -> bool:
        """Whether the rank's device still does what it is told."""
        return is_usable(self._device)

    def forget(self) -> None:
        """Drop the video under way, after an error."""
        self._video = None

    def _write_files_to(self, folder: VideoFolder) -> Callable[[], None]:
        assert self._video is not None
        if not self.is_first:
            return lambda: None
        assert self._video.frames is not None
        return partial(write_files, folder, self._video.frames, self._video.request)

    def _begin(self, video_id: str, request: Request) -> _Video:
        self._video = None  # before its successor's memory is measured
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._video = _Video(video_id=video_id, request=request)
        return self._video

    def _timed(self, stage: Stage, work: Callable[[], None]) -> StageReport:
        assert self._video is not None
        begin = perf_counter()
        work()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        seconds = self._video.seconds[stage] = perf_counter() - begin
        return StageReport(stage=stage, seconds=seconds)

    def _encode(self) -> None:
        assert self._engine is not None and self._video is not None
        self._video.state = self._engine.start(self._video.request, self._embeds_of(self._video.request))

    def _embeds_of(self, request: Request) -> dict[Branch, torch.Tensor]:
        """Rank 0's embeddings of a request's texts, on every rank."""
        assert self._group is not None
        embeds = {}
        for branch, text in texts_of(request).items():
            embedding = None if self._embeddings is None else self._embeddings.get(text)
            embeds[branch] = self._group.broadcast(embedding, self._device)
        return embeds

    def _decode(self) -> None:
        assert self._video is not None and self._video.denoised is not None
        if self._vae is None:
            return
        request, latents = self._video.request, self._video.denoised.latents
        with memory_explained(Stage.DECODE, self._spec, request):
            self._video.frames = decode_latents(self._vae, latents, tiling=request.decode_tiling)
