"""A model of the seconds that one video takes, for more ranks than there are GPUs at hand.

    seconds = full rounds × (matmul + attention + wire) + forecast rounds × (memory + head + wire)
              + text + decode + other

What is assumed beyond the numbers of `Chip`, `Network` and `Assumptions`:

- Matrix products and attention split evenly over the ranks, and their pace does not fall as the slices get smaller.
  What is bound by memory inside a block (norms, rotary embeddings, modulation) is part of the efficiency.
- Both guidance branches are run, where there is guidance: after one another with cfg=1, at once on two halves of
  the gang with cfg=2.
- The transformer's weights are whole on every rank: nothing is gathered for them (FSDP would).
- Ranks lie in the order cfg, ring, Ulysses, the last consecutive. A group that fits in a node talks at the node's
  pace, any other wholly at the pace across nodes.
- A forecast reads the history once in bf16 and writes its result once, as the kernel of `History.forecast` does.
- Loading of weights, waiting for ranks and a first video's compilation are left out.

`benchmarks.predict` prints how far it is from published figures. Standard library only.
"""

from dataclasses import dataclass, fields, replace

from parallel.render_case import NUM_BRANCHES, Render, Rounds
from parallel.wan_shapes import PATCH_VALUES, pass_flops

BF16_BYTES = 2
LATENT_BYTES = 4
"""The engine keeps latents in fp32."""
SOLVER_BYTES = 10 * LATENT_BYTES
"""Bytes that a solver moves for each value of the latents in a step: about ten passes over them, assumed."""
ULYSSES_COLLECTIVES = 4
"""All-to-alls of one block: query, key, value and output."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Breakdown:
    """Seconds of one video by what they are spent on."""

    matmul: float
    """Matrix products of the full rounds."""
    attention: float
    """Attention of the full rounds."""
    wire: float
    """Collectives, of full and forecast rounds, that do not hide behind arithmetic."""
    forecast: float
    """Weighted sum, head and solver of the forecast rounds."""
    text: float
    decode: float
    other: float
    """The host's time at each step and for each video."""

    @property
    def compute(self) -> float:
        """Arithmetic of the full rounds."""
        return self.matmul + self.attention

    @property
    def total(self) -> float:
        """All of it."""
        return float(sum(getattr(self, field.name) for field in fields(self)))

    @property
    def dominant(self) -> str:
        """The name of the largest part."""
        return max((field.name for field in fields(self)), key=lambda name: float(getattr(self, name)))


def ulysses_bytes(render: Render) -> float:
    """Bytes that one rank receives in one block of one pass: all-to-alls of its slice of q, k, v and the output."""
    degree = render.layout.ulysses
    return ULYSSES_COLLECTIVES * render.own_tokens * render.model.width * BF16_BYTES * (degree - 1) / degree


def ring_bytes(render: Render) -> float:
    """Bytes that one rank receives in one block of one pass: diffusers' ring all-gathers all other ranks' K and V."""
    return 2 * (render.layout.ring - 1) * render.own_tokens * render.model.width * BF16_BYTES


def gather_bytes(render: Render) -> float:
    """Bytes that one rank receives around a full round: all tokens as latents, then as each branch's output."""
    token = PATCH_VALUES * (LATENT_BYTES + render.own_branches * BF16_BYTES)
    return (render.layout.sequence_degree - 1) * render.own_tokens * token


def guidance_bytes(render: Render) -> float:
    """Bytes that one rank receives in a step to have both branches' output for its slice."""
    return (render.layout.cfg - 1) * render.own_tokens * PATCH_VALUES * BF16_BYTES


def predict(render: Render) -> Breakdown:
    """Seconds of one video, by what they are spent on."""
    rounds, assumed, chip = render.rounds, render.assumptions, render.chip
    flops = pass_flops(render.model, render.size.num_tokens, shards=render.layout.sequence_degree)
    passes = rounds.num_full * render.own_branches * _slowdown(render)
    guided_steps = rounds.num_full if render.forecasts_velocity else rounds.num_steps
    wire = rounds.num_full * _full_wire_seconds(render) + guided_steps * _guidance_seconds(render)
    return Breakdown(
        matmul=passes * flops.matmul / chip.matmul_flops,
        attention=passes * flops.attention / chip.attention_flops,
        wire=wire * (1 - assumed.overlap),
        forecast=rounds.num_forecast * _forecast_seconds(render),
        text=assumed.text_seconds,
        decode=render.size.num_pixels / chip.decode_pixels / assumed.decode_ranks,
        other=rounds.num_steps * assumed.step_seconds + assumed.video_seconds,
    )


def fitted_efficiency(render: Render, total_seconds: float) -> float:
    """The efficiency with which `predict` gives `total_seconds`, all other assumptions as they are.

    Raises:
        ValueError: the video cannot take so little, however efficient.
    """
    fastest = predict(
        replace(render, assumptions=replace(render.assumptions, efficiency=1.0, measured_full_round_seconds=None))
    )
    if total_seconds < fastest.total:
        raise ValueError(f"total_seconds={total_seconds} must be at least {fastest.total:.4g}, the chip's pace")
    return fastest.compute / (total_seconds - (fastest.total - fastest.compute))


def speedup(render: Render) -> float:
    """How many times faster the video is than with all rounds full on the same gang."""
    all_full = replace(render, rounds=Rounds(num_steps=render.rounds.num_steps, num_full=render.rounds.num_steps))
    return predict(all_full).total / predict(render).total


def share_of_ideal(render: Render) -> float:
    """Part of `Rounds.ideal_speedup` that is left once everything else is paid."""
    return speedup(render) / render.rounds.ideal_speedup


def _slowdown(render: Render) -> float:
    """Seconds of arithmetic for each second at the chip's achieved pace."""
    measured = render.assumptions.measured_full_round_seconds
    if measured is None:
        return 1 / render.assumptions.efficiency
    flops = pass_flops(render.model, render.size.num_tokens)
    ideal = flops.matmul / render.chip.matmul_flops + flops.attention / render.chip.attention_flops
    return measured / (NUM_BRANCHES * ideal)


def _full_wire_seconds(render: Render) -> float:
    """Seconds on the wire of one full round, guidance apart."""
    layout, network = render.layout, render.network
    blocks = render.own_branches * render.model.num_blocks
    seconds = 0.0
    if layout.ulysses > 1:
        collectives = blocks * ULYSSES_COLLECTIVES
        seconds += network.seconds(blocks * ulysses_bytes(render), collectives=collectives, span=layout.ulysses)
    if layout.ring > 1:
        seconds += network.seconds(blocks * ring_bytes(render), collectives=blocks, span=layout.sequence_degree)
    if layout.sequence_degree > 1:
        seconds += network.seconds(
            gather_bytes(render), collectives=1 + render.own_branches, span=layout.sequence_degree
        )
    return seconds


def _guidance_seconds(render: Render) -> float:
    """Seconds on the wire of one step to bring the branches together; a forecast of what they come to needs none."""
    if render.layout.cfg == 1:
        return 0.0
    return render.network.seconds(guidance_bytes(render), collectives=1, span=render.layout.world_size)


def _forecast_seconds(render: Render) -> float:
    """Seconds of one forecast round on one rank, the wire apart."""
    solver = render.own_tokens * PATCH_VALUES * SOLVER_BYTES
    if render.forecasts_velocity:  # of both branches at once, and behind the head
        velocity = render.own_tokens * PATCH_VALUES * BF16_BYTES
        return ((render.rounds.history + 1) * velocity + solver) / render.chip.memory_bytes
    features = render.own_tokens * render.model.width * BF16_BYTES
    moved = (render.rounds.history + 2) * features  # the history read, the forecast written and read by the head
    head = pass_flops(render.model, render.size.num_tokens, shards=render.layout.sequence_degree).head
    branches = render.own_branches * (moved / render.chip.memory_bytes + head / render.chip.matmul_flops)
    return branches + solver / render.chip.memory_bytes
