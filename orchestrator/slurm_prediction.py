"""The least time that a video takes on the GPUs of a SLURM cluster, where there are figures for them."""

from parallel.hardware import NETWORKS, chip_called
from parallel.layout import Layout, LayoutError
from parallel.render_case import Render, Rounds
from parallel.render_time import predict
from parallel.wan_shapes import WAN_1_3B, WAN_14B, VideoSize

_MODELS = {"wan2.1_t2v_14b": WAN_14B, "wan2.1_t2v_1.3b": WAN_1_3B}


def least_video_seconds(
    *, gpu_type: str | None, model: str, layout: Layout, num_frames: int, height: int, width: int, rounds: Rounds
) -> float | None:
    """Seconds of one video at the chip's own pace, which no implementation beats; None where there are no figures.

    Args:
        gpu_type: as the cluster calls it: h100, nvidia_h100_80gb_hbm3.
        model: the configuration's name of it.
        layout: of the gang.
        num_frames: of the video.
        height: pixels.
        width: pixels.
        rounds: how many are full.
    """
    shape, chip = _MODELS.get(model), chip_called(gpu_type)
    if shape is None or chip is None:
        return None
    size = VideoSize(num_frames=num_frames, height=height, width=width)
    try:
        render = Render(model=shape, size=size, chip=chip, network=NETWORKS[chip], layout=layout, rounds=rounds)
    except LayoutError:  # slices of unequal length, for which nothing is modelled
        return None
    return predict(render).total
