"""The files of a finished video that are looked at."""

import numpy as np
from numpy.typing import NDArray

from orchestrator.artifacts import VideoFolder, publish
from orchestrator.filmstrip import write_filmstrip
from orchestrator.request import Request
from orchestrator.video_file import write_video


def write_files(folder: VideoFolder, frames: NDArray[np.uint8], request: Request) -> None:
    """Publish the mp4 and the filmstrip.

    Args:
        folder: of the video.
        frames: (frames, height, width, 3).
        request: for the frame rate and the prompt.
    """
    with publish(folder.video) as path:
        write_video(path, frames, fps=request.fps)
    with publish(folder.preview) as path:
        write_filmstrip(path, frames, prompt=request.prompt)
