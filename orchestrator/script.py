"""What one video asks of its gang: commands, one after the other."""

import logging
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.artifacts import VideoFolder
from orchestrator.attempts import Attempts
from orchestrator.checkpoint_store import generations
from orchestrator.policy import CheckpointState, Policy
from orchestrator.pool import Command
from orchestrator.reports import Stage, StageReport
from orchestrator.request import Request
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress
from spectrum import Round

log = logging.getLogger("orchestrator")


class Ending(StrEnum):
    """How a script ended."""

    DONE = "done"  # the video is published
    DENOISED = "denoised"  # its latents are on the disk, for a decode worker
    UNREADABLE = "unreadable"  # the decode worker cannot read them
    PAUSED = "paused"  # what is done so far is on the disk
    CANCELLED = "cancelled"  # somebody has set the video aside meanwhile


@dataclass(frozen=True, kw_only=True, slots=True)
class Ask:
    """A command, and what to show meanwhile."""

    progress: GangProgress
    command: Command


Script = Generator[Ask, StageReport, Ending]


@dataclass(kw_only=True, slots=True)
class Task:
    """What a gang is doing."""

    video_id: str
    script: Script
    shape: Hashable
    before: Attempts
    """Of the video, when this one began."""
    command: Command
    progress: GangProgress
    began: float


def render_script(
    video_id: str,
    request: Request,
    folder: VideoFolder,
    provenance: Provenance,
    policy: Policy,
    *,
    now: Callable[[], float],
    is_stopping: Callable[[], bool],
    agree: Callable[[bool], bool],
    is_denoised: bool = False,
    ends_denoised: bool = False,
) -> Script:
    """Yields what to ask the gang next; takes the report of each; returns how it ended.

    Args:
        video_id: name of the video.
        request: what to render.
        folder: where to.
        provenance: for the sidecar.
        policy: when to write checkpoints.
        now: seconds, of any clock.
        is_stopping: whether to write a checkpoint and end at the next opportunity.
        agree: see `Pool.agree`.
        is_denoised: whether an attempt had come to decoding. Its latents may be there before this machine sees them.
        ends_denoised: whether another worker decodes.
    """
    # With an error budget the rounds are decided on the way; the paper's plan then stands in for what to expect.
    plan = request.forecast.plan(request.num_steps)
    progress = GangProgress(video_id=video_id, prompt=request.prompt, stage=Stage.ENCODE, num_steps=len(plan))
    has_latents = False
    if agree(is_denoised or folder.latents.is_file()):
        at_decode = replace(progress, stage=Stage.DECODE, step=len(plan), fraction_done=1.0)
        report = yield Ask(progress=at_decode, command=Command("take_latents", (video_id, request, folder.root)))
        has_latents = bool(report.result)
    if not has_latents:
        step = yield from _resume_or_encode(video_id, request, folder, progress, agree)
        is_complete, saved_at = step == len(plan), now()
        while not is_complete:
            progress = replace(
                progress,
                stage=Stage.DENOISE,
                step=step,
                segment_end=plan.segment_end(step),
                round=Round.FULL,
                fraction_done=sum(one < step for one in plan.full_steps) / plan.num_full,
            )
            report = yield Ask(progress=progress, command=Command("denoise"))
            step, is_complete = step + len(report.rounds), report.is_complete
            if is_complete:
                break
            if agree(folder.failure.is_file()):
                return Ending.CANCELLED
            stopping = is_stopping()
            is_due = agree(now() - saved_at >= policy.checkpoint_every)
            if (is_due or stopping) and policy.checkpoint_state is not CheckpointState.NONE:
                yield Ask(progress=replace(progress, step=step), command=_checkpoint(folder, policy))
                saved_at = now()
            if stopping:
                return Ending.PAUSED
        progress = replace(progress, stage=Stage.DECODE, step=step, round=None, fraction_done=1.0)
        yield Ask(progress=progress, command=Command("keep_latents", (folder.root,)))
    else:
        progress = at_decode
    if ends_denoised:
        return Ending.DENOISED
    if is_stopping():
        return Ending.PAUSED
    yield Ask(progress=progress, command=Command("decode"))
    yield Ask(
        progress=replace(progress, stage=Stage.PUBLISH),
        command=Command("publish", (folder.root, provenance)),
    )
    return Ending.DONE


def _resume_or_encode(
    video_id: str, request: Request, folder: VideoFolder, progress: GangProgress, agree: Callable[[bool], bool]
) -> Generator[Ask, StageReport, int]:
    """Begin at a checkpoint, where one can be read, or at noise; the step."""
    if agree(bool(generations(folder.checkpoints))):
        report = yield Ask(progress=progress, command=Command("resume", (video_id, request, folder.checkpoints)))
        if report.result is not None:
            return int(report.result)
        log.warning("%s: no checkpoint of it can be read; it begins again from noise", video_id)
    yield Ask(progress=progress, command=Command("encode", (video_id, request)))
    return 0


def decode_script(video_id: str, request: Request, folder: VideoFolder, provenance: Provenance) -> Script:
    """What a denoised video asks of a decode worker."""
    steps = request.num_steps
    progress = GangProgress(
        video_id=video_id,
        prompt=request.prompt,
        stage=Stage.DECODE,
        num_steps=steps,
        step=steps,
        fraction_done=1.0,
    )
    report = yield Ask(progress=progress, command=Command("take_latents", (video_id, request, folder.root)))
    if not report.result:
        if report.result is not None:
            folder.latents.unlink(missing_ok=True)
        return Ending.UNREADABLE
    yield Ask(progress=progress, command=Command("decode"))
    yield Ask(progress=replace(progress, stage=Stage.PUBLISH), command=Command("publish", (folder.root, provenance)))
    return Ending.DONE


def encode_ahead(texts: Sequence[str], video_id: str, request: Request, script: Script) -> Script:
    """A script that has texts encoded first."""
    progress = GangProgress(video_id=video_id, prompt=request.prompt, stage=Stage.ENCODE, num_steps=request.num_steps)
    yield Ask(progress=progress, command=Command("prepare", (tuple(texts),)))
    return (yield from script)


def _checkpoint(folder: VideoFolder, policy: Policy) -> Command:
    is_full = policy.checkpoint_state is CheckpointState.FULL
    return Command("save_checkpoint", (folder.checkpoints,), (("is_full", is_full),))
