"""Hand the videos of a batch to gangs, segment by segment, until all are rendered or set aside."""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from time import monotonic

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import CANCELLED, Attempts, forget_failures, read_attempts
from orchestrator.errors import RankFailed
from orchestrator.hang_limits import HangLimits
from orchestrator.policy import Outcome, Policy, Stop
from orchestrator.pool import Event, GangLost, GangReady, Pool, Reply
from orchestrator.queue import VideoQueue, Waiting, shape_of
from orchestrator.readiness import Readiness
from orchestrator.request import Request
from orchestrator.retries import Retries
from orchestrator.script import Ending, Script, Task, decode_script, encode_ahead, render_script
from orchestrator.sidecar import Provenance
from orchestrator.standing import SET_ASIDE_BEFORE, Standing, standings
from orchestrator.texts_ahead import TextsAhead, texts_of
from orchestrator.view import View

log = logging.getLogger("orchestrator")

TICK_SECONDS = 0.5
"""How long an event is waited for before stops and retries are looked at again."""
SEEN_SECONDS = 90.0
"""How long a video that is said to be published may stay out of sight: network file systems keep what they saw."""
AFTER_DENOISING = ("decode", "publish")
"""Commands that are given once a video's latents are on the disk."""


class Scheduler:
    """One batch on one pool. Knows no clock but the one it is given, and touches no tensor."""

    def __init__(
        self,
        pool: Pool,
        requests: Mapping[str, Request],
        run_folder: RunFolder,
        provenance: Provenance,
        view: View,
        *,
        policy: Policy,
        stop: Stop,
        priorities: Mapping[str, int] | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """See `run_batch`."""
        self._pool = pool
        self._requests = requests
        self._run_folder = run_folder
        self._provenance = provenance
        self._view = view
        self._policy = policy
        self._stop = stop
        self._priorities = priorities or {}
        self._clock = clock
        self._outcome = Outcome()
        self._queue = VideoQueue()
        self._retries = Retries(run_folder, self._policy, clock=clock)
        self._idle: dict[str, Hashable | None] = {}
        self._busy: dict[str, Task] = {}
        self._decoders = frozenset(pool.decoders)
        self._idle_decoders: set[str] = set()
        self._to_decode: deque[str] = deque()
        self._denoised: set[str] = set()
        """Videos that had come to decoding when their gang was lost."""
        self._published: dict[str, tuple[str, float]] = {}
        """Videos that are said to be published, by which gang, and until when they are looked for."""
        self._hang_limits = HangLimits()
        self._texts = TextsAhead(())
        self._stopping_since: float | None = None
        self._readiness = Readiness("gang", len(pool.gangs), clock=clock)
        self._decoders_readiness = Readiness("decode worker", len(self._decoders), clock=clock)

    def run(self) -> Outcome:
        """Render until nothing is left to do, or to stop for.

        Raises:
            GangFailed: no gang could be had, or no decode worker.
            DiskFull: a video failed since nothing can be written any more.
        """
        self._fill()
        while self._is_going_on():
            self._pool.expect(len(self._queue) + len(self._retries) + len(self._busy.keys() - self._decoders))
            self._begin_what_can()
            wait = TICK_SECONDS if self._busy or not self._retries else self._retries.seconds_left()
            event = self._pool.next_event(min(wait, TICK_SECONDS))
            self._take(event)
            while isinstance(event, GangLost):  # of several that a node took with it none may be given a video
                self._check_readiness()
                event = self._pool.next_event(0)
                self._take(event)
            self._see_published()
            self._check_readiness()
        return self._outcome

    def _fill(self) -> None:
        """Queue what is neither done nor set aside: first what an earlier launch has begun."""
        if self._policy.retry_failed:
            for video_id in self._requests:
                forget_failures(self._run_folder.video(video_id))
        found = self._pool.share(standings(self._run_folder, self._requests))
        by_standing = {one: [video_id for video_id in found if found[video_id] is one] for one in Standing}
        for video_id in by_standing[Standing.DONE]:
            # Of a worker or a launch that died between the video's record and its tidying.
            self._run_folder.video(video_id).tidy()
        for video_id in by_standing[Standing.SET_ASIDE]:
            self._outcome.failed[video_id] = SET_ASIDE_BEFORE
        waiting = by_standing[Standing.BEGUN] + by_standing[Standing.UNTOUCHED]
        for video_id in waiting:
            self._enqueue(video_id)
        self._texts = TextsAhead(text for video_id in waiting for text in texts_of(self._requests[video_id]))
        self._view.batch_begins(total=len(self._requests), done=len(by_standing[Standing.DONE]))

    def _is_stopping(self) -> bool:
        """Whether the launch was asked to stop: the same on all ranks of torchrun, each of which schedules."""
        if self._pool.agree(self._stop.is_requested):
            self._stop.reason = self._stop.reason or "another rank"
        return self._stop.is_requested

    def _is_going_on(self) -> bool:
        if self._is_stopping():
            self._stopping_since = self._stopping_since or self._clock()
            self._outcome.is_stopped = True
            overdue = self._pool.agree(self._clock() - self._stopping_since > self._policy.grace_seconds)
            if overdue and self._busy:
                log.warning("gangs that did not come to a checkpoint in time: %s", ", ".join(self._busy))
            return bool(self._busy) and not overdue
        return bool(self._busy or self._queue or self._retries or self._to_decode or self._published)

    def _begin_what_can(self) -> None:
        """Give every idle gang the next video."""
        for video_id, gang in self._retries.due():
            if self._run_folder.video(video_id).is_done:  # by a rank that was given up, and had not died yet
                self._published[video_id] = gang, self._clock()
            else:
                self._enqueue(video_id, first=True)
        if self._is_stopping():
            return
        while self._idle_decoders and self._to_decode:
            self._begin_decode(self._idle_decoders.pop(), self._to_decode.popleft())
        for gang in list(self._idle):
            if not self._queue or self._has_to_wait():
                self._view.gang_idle(gang)
                return
            last_shape = self._idle.pop(gang)
            if self._pool.enlarge(gang):
                self._readiness.note_rebuilt(is_any_left=self._has_any_like(gang))
                continue
            if (found := self._next_video(last_shape)) is None:
                self._rest(gang, last_shape)
                return
            self._begin(gang, *found)

    def _next_video(self, last_shape: Hashable | None) -> tuple[str, Hashable] | None:
        """The next that nobody has cancelled, and its shape."""
        while self._queue:
            video_id, shape = self._queue.take(last_shape)
            if not self._pool.agree(self._run_folder.video(video_id).failure.is_file()):
                return video_id, shape
            self._set_aside(video_id, CANCELLED)
        return None

    def _has_to_wait(self) -> bool:
        """Whether as many denoised videos wait for a decode worker as may, with those that are being denoised."""
        if not self._decoders:
            return False
        denoising = len(self._busy.keys() - self._decoders)
        return denoising + len(self._to_decode) >= len(self._pool.gangs) + self._policy.max_waiting

    def _rest(self, gang: str, shape: Hashable | None) -> None:
        """Note that a gang or decode worker has nothing to do."""
        if gang in self._decoders:
            self._idle_decoders.add(gang)
        else:
            self._idle[gang] = shape

    def _begin_decode(self, decoder: str, video_id: str) -> None:
        request, folder = self._requests[video_id], self._run_folder.video(video_id)
        self._start(decoder, video_id, shape_of(request), decode_script(video_id, request, folder, self._provenance))

    def _begin(self, gang: str, video_id: str, shape: Hashable) -> None:
        script = render_script(
            video_id,
            self._requests[video_id],
            self._run_folder.video(video_id),
            self._provenance,
            self._policy,
            now=self._clock,
            is_stopping=self._is_stopping,
            agree=self._pool.agree,
            is_denoised=video_id in self._denoised,
            ends_denoised=bool(self._decoders),
        )
        texts = self._texts.take(texts_of(self._requests[video_id]), num_gangs=len(self._pool.gangs))
        if texts:
            script = encode_ahead(texts, video_id, self._requests[video_id], script)
        self._start(gang, video_id, shape, script)

    def _start(self, gang: str, video_id: str, shape: Hashable, script: Script) -> None:
        ask = next(script)
        self._busy[gang] = Task(
            video_id=video_id,
            script=script,
            shape=shape,
            before=read_attempts(self._run_folder.video(video_id)),
            command=ask.command,
            progress=ask.progress,
            began=self._clock(),
        )
        self._submit(gang)

    def _submit(self, gang: str) -> None:
        task = self._busy[gang]
        self._view.gang_at(gang, task.progress)
        task.began = self._clock()
        limit = self._hang_limits.of(task.shape, task.command.method)
        try:
            self._pool.submit(gang, task.command, limit_seconds=limit)
        except RankFailed as error:
            self._fail(gang, task.video_id, task.before, error.cause, error.details)
            raise

    def _take(self, event: Event | None) -> None:
        match event:
            case Reply():
                self._take_reply(event)
            case GangReady():
                self._readiness_of(event.gang).note_ready(event.gang)
                self._rest(event.gang, None)
                self._view.gang_ready(event.gang, event.nodes)
            case GangLost():
                self._take_loss(event)

    def _take_reply(self, reply: Reply) -> None:
        task = self._busy[reply.gang]
        self._hang_limits.note(task.shape, task.command.method, self._clock() - task.began)
        if task.command.method == "prepare":
            self._texts.note_encoded(task.command.arguments[0], self._pool.share(reply.report.result))
        try:
            ask = task.script.send(reply.report)
        except StopIteration as end:
            del self._busy[reply.gang]
            self._rest(reply.gang, task.shape)
            self._view.gang_idle(reply.gang)
            self._end(reply.gang, task, end.value)
            return
        task.command, task.progress = ask.command, ask.progress
        self._submit(reply.gang)

    def _end(self, gang: str, task: Task, ending: Ending) -> None:
        """A script has come to its end."""
        match ending:
            case Ending.DONE:
                self._published[task.video_id] = gang, self._clock() + SEEN_SECONDS
            case Ending.DENOISED:
                self._to_decode.append(task.video_id)
            case Ending.UNREADABLE:
                self._denoised.discard(task.video_id)
                cause = f"{gang} cannot read its latents: damaged, or its node does not share the output folder"
                self._fail(gang, task.video_id, task.before, cause)
            case Ending.CANCELLED:
                self._set_aside(task.video_id, CANCELLED)
            case Ending.PAUSED:
                pass

    def _see_published(self) -> None:
        """Count as done what is there; what a rank has written elsewhere never comes into sight."""
        for video_id, (gang, until) in list(self._published.items()):
            folder = self._run_folder.video(video_id)
            # The first process's word: torchrun's other ranks come here while rank 0 still writes.
            is_done, is_overdue = self._pool.share((folder.is_done, self._clock() > until))
            if is_done:
                del self._published[video_id]
                forget_failures(folder)
                self._view.video_done(gang, video_id, folder)
            elif is_overdue:
                del self._published[video_id]
                cause = f"{gang} has published it, but it is not in {folder.root}: does its node share that folder?"
                self._fail(gang, video_id, read_attempts(folder), cause)

    def _take_loss(self, loss: GangLost) -> None:
        """The gang is rebuilt by the pool; its video is tried again later, or set aside."""
        was_idle = self._idle.pop(loss.gang, self) is not self or loss.gang in self._idle_decoders
        self._idle_decoders.discard(loss.gang)
        task = self._busy.pop(loss.gang, None)
        self._readiness_of(loss.gang).note_lost(
            loss.gang,
            f"{loss.cause}\n{loss.details}",
            was_building=task is None and not was_idle,
            is_any_left=self._has_any_like(loss.gang),
        )
        doing = "idle" if task is None else f"at {task.command.method}, {task.progress.describe()}"
        self._view.gang_lost(loss.gang, f"{loss.cause} ({doing})")
        if task is None:
            return
        task.script.close()
        own = texts_of(self._requests[task.video_id])
        if task.command.method == "prepare" and self._texts.note_lost(task.command.arguments[0], own):
            self._enqueue(task.video_id, first=True)
            return
        folder = self._run_folder.video(task.video_id)
        if folder.is_done:  # lost between its record and the reply
            folder.clear()
            self._end(loss.gang, task, Ending.DONE)
            return
        if task.command.method in AFTER_DENOISING:
            self._denoised.add(task.video_id)
        self._fail(loss.gang, task.video_id, task.before, loss.cause, loss.details)

    def _fail(self, gang: str, video_id: str, before: Attempts, cause: str, details: str = "") -> None:
        """A video is tried again later, or set aside."""
        num_steps = self._requests[video_id].num_steps
        if not self._retries.note(video_id, gang, before, num_steps=num_steps, cause=cause, details=details):
            self._set_aside(video_id, cause)

    def _set_aside(self, video_id: str, cause: str) -> None:
        self._outcome.failed[video_id] = cause
        self._view.video_failed(video_id, cause)

    def _readiness_of(self, gang: str) -> Readiness:
        return self._decoders_readiness if gang in self._decoders else self._readiness

    def _has_any_like(self, gang: str) -> bool:
        """Whether another gang is ready or at work, or, for a decode worker, another decode worker."""
        if gang in self._decoders:
            return bool(self._idle_decoders or self._busy.keys() & self._decoders)
        return bool(self._idle or self._busy.keys() - self._decoders)

    def _check_readiness(self) -> None:
        """Raises GangFailed where what is left to do waits for what never comes."""
        if self._queue or self._retries:
            self._readiness.check(is_loading=self._pool.is_loading(self._pool.gangs))
        if self._to_decode:
            self._decoders_readiness.check(is_loading=self._pool.is_loading(self._pool.decoders))

    def _enqueue(self, video_id: str, *, first: bool = False) -> None:
        """`first` is for what was begun and lost: little of it is left to do, and it holds room on the disk."""
        is_denoised = video_id in self._denoised or self._run_folder.video(video_id).latents.is_file()
        if self._decoders and is_denoised:
            self._to_decode.append(video_id)
            return
        waiting = Waiting(
            video_id=video_id,
            priority=self._priorities.get(video_id, 0),
            shape=shape_of(self._requests[video_id]),
        )
        if first:
            self._queue.add_first(waiting)
        else:
            self._queue.add(waiting)


def run_batch(
    pool: Pool,
    requests: Mapping[str, Request],
    run_folder: RunFolder,
    provenance: Provenance,
    view: View,
    *,
    policy: Policy | None = None,
    stop: Stop | None = None,
    priorities: Mapping[str, int] | None = None,
) -> Outcome:
    """Render every request that is neither done nor set aside.

    Args:
        pool: gangs; their model need not be loaded yet.
        requests: by video id; begun by priority, then in this order, but first what an earlier launch has begun.
        run_folder: where finished videos are published. A video whose sidecar is there is done, and not touched.
        provenance: written to every sidecar.
        view: told of all that happens.
        policy: how failures are met, and when checkpoints are written.
        stop: asks to end at the next checkpoints.
        priorities: by video id; 0 where none is given. Larger ones come first.

    Raises:
        GangFailed: no gang could be had, or no decode worker.
        DiskFull: a video failed since nothing can be written any more.
    """
    scheduler = Scheduler(
        pool,
        requests,
        run_folder,
        provenance,
        view,
        policy=policy or Policy(),
        stop=stop or Stop(),
        priorities=priorities,
    )
    return scheduler.run()
