"""The configuration's schema. Values stand in `conf/`; Hydra fills these classes, `plan_launch` reads them.

Choices are plain strings here and become enums in `plan_launch`, which can then say in one line what is allowed.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True, slots=True)
class JobConfig:
    """What is being done, for people and for file names."""

    name: str | None = None
    """Name of the job: the default output folder begins with it."""
    batch: str | None = None
    """The job's own manifest, for when neither prompt nor batch is given."""
    shard: str | None = None
    """The part of the batch that this launch renders, such as 3/16; null: all. Shards share one output folder."""
    objective: str | None = None
    """What gangs are sized for, by predicted seconds: latency (least of a video) or throughput (most videos an hour).

    null: as parallel says. It chooses the layout, so it goes with parallel=auto, and with Ray.
    """


@dataclass(kw_only=True, slots=True)
class ModelConfig:
    """A Wan2.1 model in diffusers format."""

    name: str = "???"
    """Name of the model, for people."""
    path: str = "???"
    """Local folder, or a hub name such as Wan-AI/Wan2.1-T2V-14B-Diffusers."""
    num_attention_heads: int = 40
    """Heads of the transformer; the sequence-parallel degree must divide them."""
    dtype: str = "bfloat16"
    """Dtype of the transformer and text encoder: float32, bfloat16 or float16. The autoencoder is always float32."""
    max_sequence_length: int = 512
    """Text tokens that a prompt is padded or cut to."""
    text_device: str = "auto"
    """Where prompts are encoded: cpu, cuda, or auto (rank 0's device). The encoder is let go before rendering."""
    needs_gpu: bool = True
    """Whether rendering on the CPU is refused, as it would take days."""
    max_pixels: int = 1280 * 720
    """Largest height × width that the model was made for."""
    max_frames: int = 81
    """Largest number of frames that the model was made for."""


@dataclass(kw_only=True, slots=True)
class VideoConfig:
    """Shape of the videos."""

    height: int = 480
    """Pixels; a multiple of 16."""
    width: int = 832
    """Pixels; a multiple of 16."""
    num_frames: int = 81
    """4k + 1."""
    fps: int = 16
    """Frames per second of the mp4."""


@dataclass(kw_only=True, slots=True)
class DenoiseConfig:
    """The denoising loop."""

    num_steps: int = 50
    """Denoising steps."""
    guidance_scale: float = 5.0
    """Classifier-free guidance; at 1 or below the unconditional branch is not run."""
    flow_shift: float = 3.0
    """Shift of the flow-matching sigmas; the model's authors say 3 for 480p and 5 for 720p."""


@dataclass(kw_only=True, slots=True)
class DecodeConfig:
    """How latents become frames."""

    parallel: bool = False
    """All ranks of the gang decode bands of rows together; else rank 0 alone. Frames differ by rounding (1e-6)."""
    workers: int = 0
    """Workers that decode and write the files while the gangs denoise the next videos (Ray only); 0: gangs do it."""
    device: str = "cpu"
    """Where these workers decode: cpu, or cuda (a GPU for each, beside those of the gangs)."""
    max_waiting: int = 2
    """Videos that may wait for them, beyond one for each gang; then gangs wait."""
    tiling: bool = False
    """Decode overlapping tiles one by one: little memory whatever the size, but other pixels near their edges."""


@dataclass(kw_only=True, slots=True)
class ForecastConfig:
    """The forecaster; see `spectrum.ForecastSettings`."""

    method: str = "spectrum"
    """spectrum, reuse, damped, taylor, adams, foca, svd, calibrated, or none (every round full)."""
    features: str = "hidden"
    """What is forecast: hidden (the last block's output) or velocity (the head's result, far less memory)."""
    plan_shape: str = "paper"
    """Which rounds are full: paper, uniform, nodes, list or calibrated."""
    warmup_steps: int = 5
    """Full rounds at the start (paper)."""
    window: float = 2.0
    """First gap between full rounds after the warm-up, in steps (paper)."""
    growth: float = 0.75
    """How much each later gap is wider (α): of 50 rounds 0.75 leaves 14 full, 3 leaves 10 (paper)."""
    num_full: int = 14
    """Full rounds (uniform, nodes)."""
    node_density: float = 0.6
    """0 is uniform, 1 the Chebyshev–Lobatto nodes (nodes)."""
    full_steps: list[int] = field(default_factory=list)
    """The steps whose rounds are full (list)."""
    error_budget: float | None = None
    """If set, gaps are chosen as the video goes, so that forecasts err by this share of the features' norm."""
    max_gap: int = 8
    """Widest gap between full rounds (error_budget)."""
    max_history: int | None = None
    """Snapshots that are kept for each branch; null: all, as the paper has it, and eight with error_budget."""
    degree: int = 4
    """Highest Chebyshev polynomial (spectrum)."""
    ridge: float = 0.1
    """Ridge penalty λ (spectrum)."""
    blend: float = 1.0
    """Share of the Chebyshev forecast; the rest is linear extrapolation (spectrum)."""
    penalise_constant: bool = True
    """Whether the ridge shrinks the constant term too, as in the paper (spectrum)."""
    half_life: float | None = None
    """Full rounds after which a snapshot counts half in the fit; null: never, as in the paper (spectrum)."""
    axis: str = "step"
    """What is taken for time: step, as in the paper, or how much noise is left: sigma, log_snr."""
    damping: float = 0.5
    """Share of the slope that is kept (damped)."""
    order: int = 1
    """Highest derivative (taylor, svd), or number of slopes (adams)."""
    rank: int = 32
    """Directions of the principal part (svd)."""
    calibration: Any = None
    """Plan and weights that orchestrator.calibrate has written (calibrated)."""
    for_model: str | None = None
    """Fingerprint of the model that an error budget was found for; null: for any."""
    anywhere: bool = False
    """Use a calibration for another model, solver, number of steps, shift or guidance than it was made for, and an
    error budget for another model."""


@dataclass(kw_only=True, slots=True)
class ParallelConfig:
    """How the ranks of a gang split one video.

    Degrees that are null are 1 where another degree is given, and are chosen where none is.
    """

    ranks: int | None = None
    """Ranks of a gang; null: the product of the degrees, or as many GPUs of a node as there are for each gang."""
    cfg: int | None = None
    """2 gives each guidance branch its own half of the ranks; 1 runs both on all."""
    ring: int | None = None
    """Ring degree: ranks that gather each other's keys and values in self-attention."""
    ulysses: int | None = None
    """Ulysses degree: ranks that trade tokens for heads in self-attention; must divide the heads."""
    engine: str = "diffusers"
    """Whose code computes self-attention: diffusers, or xfuser."""
    shard_blocks: bool = False
    """Keep 1/n of each block's weights on a rank and gather them when it runs: where a GPU cannot hold the model."""


@dataclass(kw_only=True, slots=True)
class ClusterConfig:
    """Where the ranks run."""

    kind: str = "local"
    """none (this process, or the ranks of torchrun), local (Ray on this machine), ray (join a Ray cluster)."""
    address: str | None = None
    """Address of the Ray cluster to join, host:port (kind ray)."""
    device: str = "auto"
    """cpu, cuda, or auto (cuda where there is a GPU)."""
    num_gangs: int | None = None
    """Gangs that render side by side, each one video at a time.

    null: as many as have room, but no more than there are videos; in a Ray cluster that was joined, gangs are added
    when nodes join while videos wait, and let go when nodes leave.
    """
    cpus_per_rank: int = 1
    """CPU cores that Ray reserves for a rank, and its number of threads."""
    metrics: bool = False
    """Give numbers of the batch to Prometheus through Ray's metrics: docs/metrics.md. Needs ray[default]."""
    object_store_mb: int = 100
    """Ray's shared memory on this machine (kind local). Frames and latents never go through it."""


@dataclass(kw_only=True, slots=True)
class CheckpointConfig:
    """What is kept of a video that is broken off."""

    state: str = "full"
    """full: goes on bit for bit on the same layout; latents: small, for any layout; none."""
    every: float = 60.0
    """Seconds between two checkpoints of a video: the work that a crash may cost a gang."""
    grace: float = 30.0
    """Seconds that gangs have to come to a checkpoint once the launch is asked to end."""


@dataclass(kw_only=True, slots=True)
class RetryConfig:
    """What becomes of a video whose gang fails."""

    max_attempts: int = 3
    """Attempts in a row that came no further, after which it is set aside; counted across launches."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubled for each further one."""
    failed: bool = False
    """Try again what earlier launches have set aside."""


@dataclass(kw_only=True, slots=True)
class QualityConfig:
    """What is rendered again with all rounds full, to see and measure what the forecasts have changed."""

    reference: int = 0
    """Videos of the batch, spread evenly over those that forecast; more than there are: all of these."""
    noise_floor: bool = True
    """Render each reference twice, once from noise rounded to bfloat16: how far rounding alone leads videos apart."""


@dataclass(kw_only=True, slots=True)
class LaunchConfig:
    """Everything that `python -m orchestrator.launch` takes."""

    job: JobConfig = field(default_factory=JobConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    video: VideoConfig = field(default_factory=VideoConfig)
    denoise: DenoiseConfig = field(default_factory=DenoiseConfig)
    forecast: ForecastConfig = field(default_factory=ForecastConfig)
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    parallel: ParallelConfig = field(default_factory=ParallelConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    retry: RetryConfig = field(default_factory=RetryConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    prompt: str | None = None
    """One prompt, taken literally whatever it holds."""
    negative_prompt: str = ""
    """What the videos should not show, taken literally."""
    batch: str | None = None
    """A manifest: .txt (a prompt a line), .csv, .jsonl or .yaml; what a row does not say is this configuration's."""
    seed: int = 0
    """Seed of a video's noise, where its row gives none."""
    output: str | None = None
    """Folder of the run; null: outputs/<job>-<hash of the batch>."""
    dry_run: bool = False
    """Check everything, print what would be done, and stop."""
