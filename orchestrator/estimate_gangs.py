"""The gangs of a batch that is estimated, and what is known of their ranks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from orchestrator.choices import ClusterKind, Device, choose, choose_or_auto
from orchestrator.cost_model import CostModel, VideoLoad, cost_model_of
from orchestrator.errors import BadInput
from orchestrator.estimate_config import EstimateConfig
from orchestrator.estimate_memory import rank_case, what_does_not_fit
from orchestrator.estimate_room import Place, node_memory_bytes
from orchestrator.gang_choice import Objective, choose_gangs
from orchestrator.gang_layout import Kinds, decodes_in_parallel, is_float32_on_gpu, layout_of
from orchestrator.model_facts import ModelFacts
from orchestrator.room import most_gangs
from parallel.layout import AttentionEngine, Layout, choose_layout, possible_layouts, splits_evenly
from parallel.render_memory import MemoryCase


@dataclass(frozen=True, kw_only=True, slots=True)
class Gangs:
    """Gangs, and what they cost."""

    number: int
    layout: Layout
    shard_blocks: bool
    basis: str
    """Why so many of this layout."""
    costs: CostModel
    """Of the model on their ranks."""
    on_cpu: bool

    def memory_case(self, load: VideoLoad) -> MemoryCase:
        """What decides the memory of the fullest rank."""
        return rank_case(self.costs, load, self.layout, shard_blocks=self.shard_blocks, on_cpu=self.on_cpu)


def gangs_for(
    config: EstimateConfig,
    kinds: Kinds,
    loads: Sequence[VideoLoad],
    model: ModelFacts,
    place: Place,
    *,
    num_left: int,
) -> Gangs:
    """The gangs that a launch would have.

    Args:
        config: of the estimate.
        kinds: of the videos in the batch.
        loads: the videos by what they cost.
        model: that renders them.
        place: where.
        num_left: videos that are not done.

    Raises:
        BadInput: there is no room for them, no layout fits, or a rank's memory does not hold some video.
    """
    costs = _costs(config, model, place)
    gangs = _choose(config, kinds, loads, costs, place, num_left)
    costs = replace(costs, decode_parallel=_decodes_together(config, kinds, gangs.layout, model))
    if gangs.on_cpu:
        ranks = min(gangs.number * gangs.layout.world_size, place.room.ranks_per_node)
        costs = replace(costs, chip=replace(costs.chip, capacity_bytes=node_memory_bytes() / ranks))
    gangs = replace(gangs, costs=costs)
    for load in loads:
        reason = what_does_not_fit(
            gangs.memory_case(load),
            costs.usable_bytes,
            layouts=_larger(costs, load, gangs.layout, place),
            gpu=costs.chip.name,
        )
        if reason is not None:
            raise BadInput(reason)
    return gangs


def gpu_decoders(config: EstimateConfig) -> int:
    """GPUs that decode workers take from the gangs.

    Raises:
        BadInput: decode.device is no device.
    """
    return config.decode.workers if choose(Device, config.decode.device, "decode.device") is Device.CUDA else 0


def _costs(config: EstimateConfig, model: ModelFacts, place: Place) -> CostModel:
    costs = cost_model_of(
        model.shape, device=place.device, room=place.room, cpus_per_rank=config.cluster.cpus_per_rank
    )
    text_device = choose_or_auto(Device, config.model.text_device, "model.text_device") or place.device
    return replace(
        costs,
        engine=choose(AttentionEngine, config.parallel.engine, "parallel.engine"),
        is_float32_on_gpu=is_float32_on_gpu(config, place.device),
        weight_bytes=model.value_bytes,
        vae_parameters=model.vae_parameters,
        text_encoder_bytes=float(model.text_parameters * model.value_bytes) if text_device is place.device else 0.0,
        decode_parallel=config.decode.parallel,
        has_decoders=config.decode.workers > 0,
    )


def _choose(  # noqa: PLR0917 - what a launch knows
    config: EstimateConfig, kinds: Kinds, loads: Sequence[VideoLoad], costs: CostModel, place: Place, num_left: int
) -> Gangs:
    on_cpu = place.device is Device.CPU
    asked, objective = config.cluster.num_gangs, config.job.objective
    parallel, room = config.parallel, place.room.without(gpu_decoders(config))
    if objective is not None:
        choice = choose_gangs(
            room,
            loads,
            costs,
            objective=choose(Objective, objective, "job.objective"),
            num_gangs=asked,
            num_videos=num_left,
            shard_blocks=parallel.shard_blocks,
        )
        return Gangs(
            number=choice.num_gangs,
            layout=choice.layout,
            shard_blocks=choice.shard_blocks,
            basis=choice.because,
            costs=costs,
            on_cpu=on_cpu,
        )
    if all(degree is None for degree in (parallel.ranks, parallel.cfg, parallel.ring, parallel.ulysses)):
        parallel.ranks = 1 if on_cpu else max(min(room.num_ranks // (asked or 1), room.ranks_per_node), 1)
    layout = layout_of(config, kinds, ClusterKind.RAY, place.device, torchrun_world_size=1)
    fitting = room.gangs_that_fit(layout.world_size)
    num_gangs = asked or max(most_gangs(room, layout.world_size, num_videos=num_left), 1)
    if not on_cpu and num_gangs > fitting:
        raise BadInput(
            f"cluster.num_gangs={num_gangs} gangs of {layout.world_size} ranks ({layout}) do not fit "
            f"{room.num_ranks} GPUs on {len(room.nodes)} nodes; nearest: "
            + (f"cluster.num_gangs={fitting}" if fitting else f"parallel.ranks={room.ranks_per_node}")
        )
    basis = "cluster.num_gangs" if asked else f"as many as there are videos and room for ({fitting})"
    return Gangs(
        number=num_gangs,
        layout=layout,
        shard_blocks=parallel.shard_blocks and layout.world_size > 1,
        basis=basis,
        costs=costs,
        on_cpu=on_cpu,
    )


def _decodes_together(config: EstimateConfig, kinds: Kinds, layout: Layout, model: ModelFacts) -> bool:
    if model.folder is None:  # Wan2.1's own autoencoder, which every gang of one node can decode together
        return config.decode.parallel and layout.world_size > 1
    return decodes_in_parallel(config, kinds, layout, model.folder)


def _larger(costs: CostModel, load: VideoLoad, layout: Layout, place: Place) -> list[Layout]:
    """Layouts of more ranks that the nodes allow."""
    problem = costs.problem(load)
    numbers = range(layout.world_size + 1, place.room.num_ranks + 1)
    possible = [number for number in numbers if any(possible_layouts(number, problem))]
    layouts = [choose_layout(number, problem) for number in possible]
    return [layout for layout in layouts if splits_evenly(layout, problem)]
