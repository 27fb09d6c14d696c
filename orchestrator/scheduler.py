"""Hand the requests of a batch to gangs, segment by segment, until all are rendered."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.artifacts import RunFolder, VideoFolder
from orchestrator.pool import Command, Pool
from orchestrator.progress import GangProgress, View
from orchestrator.reports import Stage, StageReport
from orchestrator.request import Request
from orchestrator.sidecar import Provenance
from spectrum import Round

Script = Generator[tuple[GangProgress, Command], StageReport, None]


@dataclass(kw_only=True, slots=True)
class _Busy:
    video_id: str
    script: Script


def run_batch(
    pool: Pool, requests: Mapping[str, Request], run_folder: RunFolder, provenance: Provenance, view: View
) -> None:
    """Render every request that is not done yet.

    Args:
        pool: gangs with the model loaded.
        requests: by video id; they are begun in this order.
        run_folder: where finished videos are published. A video whose sidecar is there is done, and not touched.
        provenance: written to every sidecar.
        view: told of all that happens.

    Raises:
        GangFailed: a rank died or raised. Videos that are finished by then stay finished.
    """
    waiting = deque(video_id for video_id in requests if not run_folder.video(video_id).is_done)
    busy: dict[str, _Busy] = {}

    def begin(gang: str) -> None:
        """Give an idle gang the next request, if one is waiting."""
        if not waiting:
            view.gang_idle(gang)
            return
        video_id = waiting.popleft()
        script = render_script(video_id, requests[video_id], run_folder.video(video_id), provenance)
        busy[gang] = _Busy(video_id=video_id, script=script)
        progress, command = next(script)
        view.gang_at(gang, progress)
        pool.submit(gang, command)

    _prepare_texts(pool, [requests[video_id] for video_id in waiting], view)
    view.batch_begins(total=len(requests), done=len(requests) - len(waiting))
    for gang in pool.gangs:
        begin(gang)
    while busy:
        reply = pool.next_reply()
        task = busy[reply.gang]
        try:
            progress, command = task.script.send(reply.report)
        except StopIteration:
            del busy[reply.gang]
            view.video_done(reply.gang, task.video_id, run_folder.video(task.video_id))
            begin(reply.gang)
            continue
        view.gang_at(reply.gang, progress)
        pool.submit(reply.gang, command)


def render_script(video_id: str, request: Request, folder: VideoFolder, provenance: Provenance) -> Script:
    """What one video asks of its gang: commands, each with what to show meanwhile; takes the report of each."""
    # With an error budget the rounds are decided on the way; the paper's plan then stands in for what to expect.
    plan = request.forecast.plan(request.num_steps)
    progress = GangProgress(video_id=video_id, prompt=request.prompt, stage=Stage.ENCODE, num_steps=len(plan))
    if folder.latents.is_file():
        progress = replace(progress, stage=Stage.DECODE, step=len(plan), fraction_done=1.0)
        yield progress, Command("take_latents", (video_id, request, folder.root))
    else:
        yield progress, Command("encode", (video_id, request))
        step, is_complete = 0, False
        while not is_complete:
            progress = replace(
                progress,
                stage=Stage.DENOISE,
                step=step,
                segment_end=plan.segment_end(step),
                round=Round.FULL,
                fraction_done=sum(one < step for one in plan.full_steps) / plan.num_full,
            )
            report = yield progress, Command("denoise")
            step, is_complete = step + len(report.rounds), report.is_complete
        progress = replace(progress, stage=Stage.DECODE, step=step, round=None, fraction_done=1.0)
        yield progress, Command("keep_latents", (folder.root,))
    yield progress, Command("decode")
    yield replace(progress, stage=Stage.PUBLISH), Command("publish", (folder.root, provenance))


def _prepare_texts(pool: Pool, requests: Sequence[Request], view: View) -> None:
    """Encode all prompts before the first video, each on one gang, so that no encoder stands in memory later."""
    texts = list(dict.fromkeys(text for one in requests for text in (one.prompt, one.negative_prompt)))
    if not texts:
        return
    view.starting(f"encoding {len(texts)} prompt{'s' if len(texts) > 1 else ''}")
    for index, gang in enumerate(pool.gangs):
        pool.submit(gang, Command("prepare", (texts[index :: len(pool.gangs)],)))
    for _ in pool.gangs:
        pool.next_reply()
