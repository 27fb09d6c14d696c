"""What `parallel.render_time` and `parallel.render_memory` say of the videos of a launch, on what it runs on."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.choices import Device
from orchestrator.request import Request
from orchestrator.room import Room
from parallel.hardware import CPU_NODES, H100, NETWORKS, Chip, Network, chip_called, cpu_chip
from parallel.layout import AttentionEngine, Layout, Problem
from parallel.published import published_pace
from parallel.render_case import Assumptions, Render, Rounds
from parallel.render_memory import WAN_VAE_PARAMETERS, Footprint, MemoryCase, block_parameters, footprint
from parallel.render_time import predict
from parallel.wan_shapes import VideoSize, WanShape
from spectrum import Features

GPU_EFFICIENCY = round(published_pace(H100).efficiency, 2)
"""Of diffusers' transformer on Hopper's large chips."""
USABLE_SHARE = 0.95
"""Of a GPU's memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoLoad:
    """Videos that cost the same."""

    size: VideoSize
    rounds: Rounds
    is_guided: bool = True
    is_velocity: bool = False
    """Whether the head's result is forecast, and not the hidden state."""
    is_tiled: bool = False
    """Whether it is decoded tile by tile."""
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CostModel:
    """A model, and the ranks that it runs on."""

    model: WanShape
    chip: Chip
    network: Network
    """Its `gpus_per_node` is the number of ranks that share fast links."""
    assumptions: Assumptions = field(default_factory=Assumptions)
    is_assumed: bool = False
    """Whether nobody said what the chip is."""
    engine: AttentionEngine = AttentionEngine.DIFFUSERS
    is_float32_on_gpu: bool = False
    """Whether it computes in float32 on GPUs."""
    weight_bytes: int = 2
    text_encoder_bytes: float = 0.0
    """On the GPU."""
    vae_parameters: int = WAN_VAE_PARAMETERS
    """Of the autoencoder."""
    decode_parallel: bool = False
    """Whether all ranks of a gang decode together."""
    has_decoders: bool = False
    """Whether workers of their own decode, beside the gangs."""

    def seconds(self, load: VideoLoad, layout: Layout, *, shard_blocks: bool = False) -> float:
        """Seconds for which one such video keeps a gang busy.

        Raises:
            LayoutError: the layout does not fit the video, or not with slices of equal length.
        """
        render = self.render(load, layout)
        parts = predict(render)
        sharding = self._sharding_seconds(render) if shard_blocks else 0.0
        return parts.total + sharding - (parts.decode if self.has_decoders else 0.0)

    def mean_seconds(self, loads: Iterable[VideoLoad], layout: Layout, *, shard_blocks: bool = False) -> float:
        """The mean of `seconds` over all videos.

        Raises:
            LayoutError: as `seconds`.
        """
        all_loads = list(loads)
        total = sum(one.count * self.seconds(one, layout, shard_blocks=shard_blocks) for one in all_loads)
        return total / sum(one.count for one in all_loads)

    def fits(self, load: VideoLoad, layout: Layout, *, shard_blocks: bool = False) -> bool:
        """Whether a rank's memory holds its part of such a video.

        Raises:
            LayoutError: as `seconds`.
        """
        return self.footprint(load, layout, shard_blocks=shard_blocks).peak <= self.usable_bytes

    @property
    def usable_bytes(self) -> float:
        """Of a rank's memory."""
        return USABLE_SHARE * self.chip.capacity_bytes

    def footprint(self, load: VideoLoad, layout: Layout, *, shard_blocks: bool = False) -> Footprint:
        """Bytes of the rank that needs most."""
        return footprint(self.memory_case(load, layout, shard_blocks=shard_blocks))

    def memory_case(self, load: VideoLoad, layout: Layout, *, shard_blocks: bool = False) -> MemoryCase:
        """What decides a rank's memory."""
        return MemoryCase(
            model=self.model,
            size=load.size,
            layout=layout,
            is_guided=load.is_guided,
            value_bytes=self.weight_bytes,
            shards_blocks=shard_blocks,
            num_snapshots=load.rounds.history if load.rounds.num_forecast else 0,
            forecasts_velocity=load.is_velocity,
            text_bytes=self.text_encoder_bytes,
            vae_parameters=0 if self.has_decoders else self.vae_parameters,
            decodes_together=self.decode_parallel,
            tiling=load.is_tiled,
        )

    def render(self, load: VideoLoad, layout: Layout) -> Render:
        """The video on the gang.

        Raises:
            LayoutError: as `seconds`.
        """
        decode_ranks = layout.world_size if self.decode_parallel else 1
        return Render(
            model=self.model,
            size=load.size,
            chip=self.chip,
            network=self.network,
            layout=layout,
            rounds=load.rounds,
            assumptions=replace(self.assumptions, decode_ranks=decode_ranks),
            is_guided=load.is_guided,
            forecasts_velocity=load.is_velocity,
        )

    def problem(self, load: VideoLoad) -> Problem:
        """What a layout has to fit."""
        return Problem(
            num_heads=self.model.num_heads,
            num_tokens=load.size.num_tokens,
            is_guided=load.is_guided,
            engine=self.engine,
            ranks_per_node=self.network.gpus_per_node,
            is_float32_on_gpu=self.is_float32_on_gpu,
        )

    def _sharding_seconds(self, render: Render) -> float:
        """To gather every block in every pass, as if nothing of it hid behind arithmetic."""
        ranks = render.layout.world_size
        gathered = block_parameters(self.model) * self.weight_bytes * (ranks - 1) / ranks
        blocks = render.rounds.num_full * render.own_branches * self.model.num_blocks
        return self.network.seconds(blocks * gathered, collectives=blocks, span=ranks)


def loads_of(requests: Iterable[Request]) -> list[VideoLoad]:
    """The videos by what they cost. With an error budget the plan that it replaces stands for it."""
    counts: Counter[tuple[object, ...]] = Counter()
    examples: dict[tuple[object, ...], Request] = {}
    for one in requests:
        # Requests share their settings: to tell those apart by what they hold would take seconds for 100,000.
        shape = (one.height, one.width, one.num_frames, one.num_steps)
        key: tuple[object, ...] = (*shape, one.is_guided, one.decode_tiling, id(one.forecast))
        counts[key] += 1
        examples.setdefault(key, one)
    loads: Counter[VideoLoad] = Counter()
    for key, example in examples.items():
        loads[_load_of(example)] += counts[key]
    return [replace(load, count=count) for load, count in loads.items()]


def cost_model(
    *, model_folder: Path, num_text_tokens: int, device: Device, room: Room, cpus_per_rank: int = 1
) -> CostModel:
    """What is known of a model's shape and of the ranks of a cluster.

    Args:
        model_folder: in diffusers format.
        num_text_tokens: that a prompt is padded or cut to.
        device: of the ranks.
        room: of the cluster; where nobody says what its GPUs are, an H100's figures stand for them.
        cpus_per_rank: CPU cores of a rank.
    """
    return cost_model_of(
        model_shape(model_folder, num_text_tokens), device=device, room=room, cpus_per_rank=cpus_per_rank
    )


def cost_model_of(model: WanShape, *, device: Device, room: Room, cpus_per_rank: int = 1) -> CostModel:
    """As `cost_model`, of a model whose shape is known."""
    if device is Device.CPU:
        return CostModel(
            model=model,
            chip=cpu_chip(cpus_per_rank),
            network=replace(CPU_NODES, gpus_per_node=room.ranks_per_node),
            assumptions=Assumptions(text_seconds=0.1, video_seconds=0.5),
            weight_bytes=4,
        )
    chip = chip_called(room.gpu_type)
    return CostModel(
        model=model,
        chip=chip or H100,
        network=replace(NETWORKS[chip or H100], gpus_per_node=room.ranks_per_node),
        assumptions=Assumptions(efficiency=round(published_pace(chip or H100).efficiency, 2)),
        is_assumed=chip is None,
    )


def model_shape(folder: Path, num_text_tokens: int) -> WanShape:
    """The transformer's shape, from its configuration; what it does not say is as in Wan2.1-14B."""
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    return WanShape(
        name=folder.name,
        num_blocks=config.get("num_layers", 40),
        num_heads=config["num_attention_heads"],
        feed_forward=config.get("ffn_dim", 13_824),
        head_width=config.get("attention_head_dim", 128),
        num_text_tokens=num_text_tokens,
        text_width=config.get("text_dim", 4096),
        time_width=config.get("freq_dim", 256),
    )


def _load_of(request: Request) -> VideoLoad:
    plan, forecast = request.forecast.plan(request.num_steps), request.forecast
    return VideoLoad(
        size=VideoSize(num_frames=request.num_frames, height=request.height, width=request.width),
        rounds=Rounds(num_steps=len(plan), num_full=plan.num_full, num_snapshots=forecast.capacity(plan)),
        is_guided=request.is_guided,
        is_velocity=forecast.features is Features.VELOCITY,
        is_tiled=request.decode_tiling,
    )
