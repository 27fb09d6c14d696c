"""Hand the videos of a batch to gangs, segment by segment, until all are rendered or set aside."""

import logging
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from time import monotonic

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import forget_failures, note_failure, set_aside
from orchestrator.checkpoint_store import generations
from orchestrator.disk import check_room
from orchestrator.errors import GangFailed
from orchestrator.policy import Policy, Stop
from orchestrator.pool import Command, GangLost, GangReady, Pool, Reply
from orchestrator.queue import VideoQueue, Waiting
from orchestrator.request import Request
from orchestrator.script import Ending, Script, decode_script, encode_ahead, render_script
from orchestrator.sidecar import Provenance
from orchestrator.view import GangProgress, View

log = logging.getLogger("orchestrator")

TICK_SECONDS = 0.5
"""How long an event is waited for before stops and retries are looked at again."""
TEXTS_AHEAD = 512
"""Texts that a gang encodes at once."""
READY_SECONDS = 300.0
"""How long no gang at all may be ready before the launch gives up."""
MOST_FAILED_BUILDS = 3
"""Failures in a row for each gang and decode worker, none of which can be built, after which the launch gives up."""
HANG_FACTOR = 10.0
HANG_SECONDS = 60.0
"""A segment hangs if it takes ten times as long as the slowest of its shape, and longer than a minute."""


@dataclass(kw_only=True, slots=True)
class Outcome:
    """What became of the batch."""

    failed: dict[str, str] = field(default_factory=dict)
    """Why, by id of the videos that were set aside."""
    is_stopped: bool = False
    """Whether the launch was asked to stop before all was done."""


@dataclass(kw_only=True, slots=True)
class _Task:
    video_id: str
    script: Script
    shape: Hashable
    command: Command
    progress: GangProgress
    began: float


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
        self._later: list[tuple[float, str]] = []
        self._idle: dict[str, Hashable | None] = {}
        self._busy: dict[str, _Task] = {}
        self._decoders = frozenset(pool.decoders)
        self._idle_decoders: set[str] = set()
        self._to_decode: deque[str] = deque()
        self._slowest: dict[Hashable, float] = {}
        self._texts: deque[str] = deque()
        self._encoded: set[str] = set()
        self._without_gang_since: float | None = clock()
        self._stopping_since: float | None = None
        self._failed_builds = 0

    def run(self) -> Outcome:
        """Render until nothing is left to do, or to stop for.

        Raises:
            GangFailed: no gang could be had for minutes.
            DiskFull: a video failed since nothing can be written any more.
        """
        self._fill()
        while self._is_going_on():
            self._begin_what_can()
            self._pool.expect(len(self._queue) + len(self._later) + len(self._busy.keys() - self._decoders))
            event = self._pool.next_event(TICK_SECONDS if self._busy or not self._later else self._pause())
            match event:
                case Reply():
                    self._take_reply(event)
                case GangReady():
                    self._failed_builds = 0
                    self._without_gang_since = None
                    self._rest(event.gang, None)
                    self._view.gang_ready(event.gang, event.nodes)
                case GangLost():
                    self._take_loss(event)
                case None:
                    self._check_gangs()
        return self._outcome

    def _fill(self) -> None:
        """Queue what is neither done nor set aside: first what an earlier launch has begun."""
        done = 0
        untouched = []
        for video_id in self._requests:
            folder = self._run_folder.video(video_id)
            if folder.is_done:
                done += 1
                folder.latents.unlink(missing_ok=True)  # of a worker that died between its record and its tidying
                continue
            if self._policy.retry_failed:
                forget_failures(folder)
            if folder.failure.is_file():
                self._outcome.failed[video_id] = "set aside by an earlier launch; retry.failed=true tries it again"
                continue
            if folder.is_begun:
                self._enqueue(video_id)
            else:
                untouched.append(video_id)
        for video_id in untouched:
            self._enqueue(video_id)
        self._texts = deque(
            dict.fromkeys(
                text
                for video_id, one in self._requests.items()
                if not self._run_folder.video(video_id).is_done
                for text in (one.prompt, one.negative_prompt)
            )
        )
        self._view.batch_begins(total=len(self._requests), done=done)

    def _is_stopping(self) -> bool:
        """Whether the launch was asked to stop: the same on all ranks of torchrun, each of which schedules."""
        if self._pool.agree(self._stop.is_requested):
            self._stop.reason = self._stop.reason or "another rank"
        return self._stop.is_requested

    def _is_going_on(self) -> bool:
        if self._is_stopping():
            self._stopping_since = self._stopping_since or self._clock()
            self._outcome.is_stopped = True
            overdue = self._clock() - self._stopping_since > self._policy.grace_seconds
            if overdue and self._busy:
                log.warning("gangs that did not come to a checkpoint in time: %s", ", ".join(self._busy))
            return bool(self._busy) and not overdue
        return bool(self._busy or self._queue or self._later or self._to_decode)

    def _begin_what_can(self) -> None:
        """Give every idle gang the next video."""
        while self._later and self._later[0][0] <= self._clock():
            self._enqueue(heappop(self._later)[1], first=True)
        if self._is_stopping():
            return
        while self._idle_decoders and self._to_decode:
            self._begin_decode(self._idle_decoders.pop(), self._to_decode.popleft())
        for gang in list(self._idle):
            if not self._queue or self._has_to_wait():
                self._view.gang_idle(gang)
                return
            video_id, shape = self._queue.take(self._idle.pop(gang))
            self._begin(gang, video_id, shape)

    def _has_to_wait(self) -> bool:
        """Whether as many denoised videos wait for a decode worker as may, with those that are being denoised."""
        if not self._decoders:
            return False
        return len(self._busy) + len(self._to_decode) >= len(self._pool.gangs) + self._policy.max_waiting

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
            ends_denoised=bool(self._decoders),
        )
        texts = self._texts_ahead(self._requests[video_id])
        if texts:
            script = encode_ahead(texts, video_id, self._requests[video_id], script)
        self._start(gang, video_id, shape, script)

    def _start(self, gang: str, video_id: str, shape: Hashable, script: Script) -> None:
        ask = next(script)
        self._busy[gang] = _Task(
            video_id=video_id,
            script=script,
            shape=shape,
            command=ask.command,
            progress=ask.progress,
            began=self._clock(),
        )
        self._view.gang_at(gang, ask.progress)
        self._submit(gang)

    def _texts_ahead(self, request: Request) -> list[str]:
        """Texts to encode before a video: its own and those that come next, so that the encoder is loaded rarely."""
        own = [text for text in dict.fromkeys((request.prompt, request.negative_prompt)) if text not in self._encoded]
        if not own:
            return []
        # Every n-th of those that come next, as the n gangs take turns.
        num_gangs = len(self._pool.gangs)
        coming = [self._texts.popleft() for _ in range(min(TEXTS_AHEAD * num_gangs, len(self._texts)))]
        left = [text for index, text in enumerate(coming) if index % num_gangs and text not in own]
        self._texts.extendleft(reversed(left))
        return own + [text for text in coming[::num_gangs] if text not in own]

    def _submit(self, gang: str) -> None:
        task = self._busy[gang]
        task.began = self._clock()
        slowest = self._slowest.get((task.shape, task.command.method))
        limit = None if slowest is None else max(HANG_FACTOR * slowest, HANG_SECONDS)
        self._pool.submit(gang, task.command, limit_seconds=limit)

    def _take_reply(self, reply: Reply) -> None:
        task = self._busy[reply.gang]
        kind = (task.shape, task.command.method)
        self._slowest[kind] = max(self._slowest.get(kind, 0.0), self._clock() - task.began)
        if task.command.method == "prepare":
            self._encoded.update(task.command.arguments[0])
        try:
            ask = task.script.send(reply.report)
        except StopIteration as end:
            del self._busy[reply.gang]
            self._rest(reply.gang, task.shape)
            self._end(reply.gang, task.video_id, end.value)
            return
        task.command, task.progress = ask.command, ask.progress
        self._view.gang_at(reply.gang, ask.progress)
        self._submit(reply.gang)

    def _end(self, gang: str, video_id: str, ending: Ending) -> None:
        """A script has come to its end."""
        match ending:
            case Ending.DONE:
                folder = self._run_folder.video(video_id)
                forget_failures(folder)
                self._view.video_done(gang, video_id, folder)
            case Ending.DENOISED:
                self._to_decode.append(video_id)
                self._view.gang_idle(gang)
            case Ending.UNREADABLE:
                self._enqueue(video_id, first=True)
            case Ending.PAUSED:
                pass

    def _take_loss(self, loss: GangLost) -> None:
        """The gang is rebuilt by the pool; its video is tried again later, or set aside."""
        was_idle = self._idle.pop(loss.gang, self) is not self or loss.gang in self._idle_decoders
        self._idle_decoders.discard(loss.gang)
        task = self._busy.pop(loss.gang, None)
        if (
            task is not None and self._run_folder.video(task.video_id).is_done
        ):  # lost between its record and the reply
            task.script.close()
            self._run_folder.video(task.video_id).clear()
            self._end(loss.gang, task.video_id, Ending.DONE)
            task, was_idle = None, True
        doing = "idle" if task is None else f"at {task.command.method}, {task.progress.describe()}"
        self._view.gang_lost(loss.gang, f"{loss.cause} ({doing})")
        self._failed_builds += task is None and not was_idle
        most_failed = MOST_FAILED_BUILDS * (len(self._pool.gangs) + len(self._decoders))
        if self._failed_builds >= most_failed and not self._busy and not self._idle:
            raise GangFailed(f"no gang can be built: {loss.cause}\n{loss.details}".rstrip())
        if not self._busy and not self._idle and self._without_gang_since is None:
            self._without_gang_since = self._clock()
        if task is None:
            return
        task.script.close()
        check_room(self._run_folder.root, loss.cause)
        folder = self._run_folder.video(task.video_id)
        step = next((one.step for one in generations(folder.checkpoints)), 0)
        if folder.latents.is_file():
            step = self._requests[task.video_id].num_steps
        attempts = note_failure(folder, step=step)
        log.info("%s: %s failed for the %d. time in a row", loss.gang, task.video_id, attempts.count)
        if attempts.count >= self._policy.max_attempts:
            set_aside(folder, attempts=attempts.count, cause=loss.cause, details=loss.details)
            self._outcome.failed[task.video_id] = loss.cause
            self._view.video_failed(task.video_id, loss.cause)
            return
        pause = self._policy.backoff_seconds * 2 ** (attempts.count - 1)
        heappush(self._later, (self._clock() + pause, task.video_id))

    def _check_gangs(self) -> None:
        if self._without_gang_since is None or self._clock() - self._without_gang_since < READY_SECONDS:
            return
        raise GangFailed(
            f"no gang was ready for {READY_SECONDS:g} s: the cluster has no room for one, or its ranks do not start"
        )

    def _pause(self) -> float:
        """Until the next video may be tried again."""
        return min(max(self._later[0][0] - self._clock(), 0.0), TICK_SECONDS)

    def _enqueue(self, video_id: str, *, first: bool = False) -> None:
        """`first` is for what was begun and lost: little of it is left to do, and it holds room on the disk."""
        if self._decoders and self._run_folder.video(video_id).latents.is_file():
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


def shape_of(request: Request) -> Hashable:
    """What decides how long a segment takes and what is warmed up for it."""
    return request.height, request.width, request.num_frames, request.is_guided


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
        GangFailed: no gang could be had for minutes.
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
