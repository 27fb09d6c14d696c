"""What GPUs and their networks achieve, for `parallel.render_time`: each number with its source, or called assumed.

"Achieved" is what good kernels reach on large shapes, not what the datasheet says. What an implementation reaches
of that is `Assumptions.efficiency`.
"""

from dataclasses import dataclass, fields
from math import inf

from parallel.wan_shapes import SIZE_720P


def _check_positive(instance: "Chip | Network") -> None:
    for field in fields(instance):
        value = getattr(instance, field.name)
        if not isinstance(value, str) and not value > 0:
            raise ValueError(f"{field.name}={value} of {instance.name} must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chip:
    """One GPU.

    Raises:
        ValueError: a rate is not above 0, or an achieved rate is above the peak.
    """

    name: str
    peak_flops: float
    """Dense bf16 FLOP/s of the datasheet: nothing is faster."""
    matmul_flops: float
    """Achieved bf16 FLOP/s of large matrix products."""
    attention_flops: float
    """Achieved bf16 FLOP/s of attention with heads 128 wide and tens of thousands of tokens."""
    memory_bytes: float
    """Achieved bytes/s of the GPU's memory."""
    decode_pixels: float
    """Pixels/s that the autoencoder's decoder puts out on one GPU."""
    capacity_bytes: float = inf
    """Bytes of the GPU's memory; infinite where nothing is said of them."""

    def __post_init__(self) -> None:
        _check_positive(self)
        for field in ("matmul_flops", "attention_flops"):
            if getattr(self, field) > self.peak_flops:
                raise ValueError(f"{field}={getattr(self, field)} must be at most peak_flops={self.peak_flops}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """What connects the GPUs: fast within a node, slower across nodes.

    Raises:
        ValueError: a field is not above 0.
    """

    name: str
    node_bytes: float
    """Achieved bytes/s that one GPU sends, and at once receives, within its node."""
    across_bytes: float
    """The same between nodes, with a network card for each GPU."""
    latency_seconds: float
    """Of one collective, however small."""
    gpus_per_node: int = 8

    def __post_init__(self) -> None:
        _check_positive(self)

    def seconds(self, num_bytes: float, *, collectives: float, span: int) -> float:
        """Time of collectives that bring `num_bytes` to each rank together.

        Args:
            num_bytes: received by one rank from others, over all the collectives.
            collectives: how many there are.
            span: consecutive ranks that a group reaches over; more than a node has go at the pace across nodes.
        """
        bandwidth = self.node_bytes if span <= self.gpus_per_node else self.across_bytes
        return num_bytes / bandwidth + collectives * self.latency_seconds


H100 = Chip(
    name="H100",
    peak_flops=989e12,
    matmul_flops=780e12,
    attention_flops=620e12,
    memory_bytes=3.0e12,
    decode_pixels=SIZE_720P.num_pixels / 10,
    capacity_bytes=80e9,
)
"""SXM. Peak: datasheet. Matmul: 780 TFLOP/s, a published torch script (gist Chillee/2ec89696). Attention: 620
TFLOP/s, FlashAttention-3 at 16,384 tokens (pytorch/benchmark#2391). Memory: assumed 0.9 of the datasheet's 3.35 TB/s.
Decode: 9.0 to 11.0 s for 81 frames at 720p (sglang#15163, #18540, GPU not named there), assumed to be this chip's."""

H200 = Chip(
    name="H200",
    peak_flops=989e12,
    matmul_flops=780e12,
    attention_flops=620e12,
    memory_bytes=4.3e12,
    decode_pixels=SIZE_720P.num_pixels / 10,
    capacity_bytes=141e9,
)
"""The H100's compute (assumed equal). Memory: assumed 0.9 of the datasheet's 4.8 TB/s."""

A800 = Chip(
    name="A800",
    peak_flops=312e12,
    matmul_flops=265e12,
    attention_flops=220e12,
    memory_bytes=1.8e12,
    decode_pixels=SIZE_720P.num_pixels / 16,
    capacity_bytes=80e9,
)
"""Computes as the A100 SXM. Peak: datasheet. Matmul: assumed 0.85 of it. Attention: 0.7 of it, about what
FlashAttention-2's paper says. Memory: assumed 0.9 of 2.04 TB/s. Decode: assumed bound by memory, so the H100's time
× 3.0 / 1.8."""

H20 = Chip(
    name="H20",
    peak_flops=148e12,
    matmul_flops=133e12,
    attention_flops=118e12,
    memory_bytes=3.6e12,
    decode_pixels=SIZE_720P.num_pixels / 20,
    capacity_bytes=96e9,
)
"""Peak: datasheet. Matmul and attention: assumed 0.9 and 0.8 of it (little compute, much power and memory). Memory:
assumed 0.9 of 4.0 TB/s. Decode: assumed twice the H100's time, bound by compute."""

HOPPER_NODES = Network(name="NVLink 4 + NDR", node_bytes=370e9, across_bytes=48e9, latency_seconds=20e-6)
"""H100, H200 and H20: NVLink at 450 GB/s a direction, of which NCCL reaches 370 (nccl-tests#212). Across: a card of
400 Gb/s for each GPU, 48 to 49 GB/s (nccl-tests#267). Latency: assumed."""

A800_NODES = Network(name="NVLink of A800 + HDR", node_bytes=165e9, across_bytes=24e9, latency_seconds=20e-6)
"""NVLink cut to 200 GB/s a direction, assumed to be used as well as Hopper's (0.82). Across: a card of 200 Gb/s for
each GPU, assumed. Latency: assumed."""

NETWORKS = {H100: HOPPER_NODES, H200: HOPPER_NODES, H20: HOPPER_NODES, A800: A800_NODES}
"""What usually connects each of the chips."""


def chip_called(name: str | None) -> Chip | None:
    """The chip that a cluster or a driver means; None where there are no figures for it.

    Args:
        name: such as h100, nvidia_h100_80gb_hbm3 or NVIDIA H200.
    """
    words = (name or "").upper().replace("-", "_").replace(" ", "_").split("_")
    return next((chip for chip in NETWORKS if chip.name in words), None)


def cpu_chip(num_threads: int) -> Chip:
    """A rank on the CPU, in float32: as small models find it on a server's cores. All assumed."""
    return Chip(
        name=f"{num_threads} CPU core{'s' if num_threads > 1 else ''}",
        peak_flops=100e9 * num_threads,
        matmul_flops=25e9 * num_threads,
        attention_flops=12e9 * num_threads,
        memory_bytes=5e9,
        decode_pixels=3e5 * num_threads,
    )


CPU_NODES = Network(
    name="loopback + Ethernet", node_bytes=1e9, across_bytes=0.3e9, latency_seconds=200e-6, gpus_per_node=8
)
"""gloo between processes of one machine and of several. All assumed."""
