"""Launch a batch again and again, and kill or freeze one of its processes after the other, until it is done."""

import random
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil
from rich.console import Console

from benchmarks.fault import Fault, Hit, search_resumption
from benchmarks.fault_launch import Launch, command_of, is_alive, steps_under_way
from benchmarks.fault_position import STAGES, look

TARGETS = {"rank": 10, "decode worker": 4, "driver": 6, "raylet": 2, "gcs_server": 2}
"""How often each is drawn, of all together."""
READ_OUT = ("rank", "decode worker")
"""Targets whose stage decides whether a stage was hit: the others bring all down, whatever it is doing."""
DECODE_STAGES = ("decode", "publish")
FREEZES = 0.4
"""Share of the faults that freeze instead of killing."""
AIMED = 0.6
"""Share of the faults on ranks and the decode worker that wait for a stage which was not hit yet."""
WAIT_SECONDS = 3.0
"""Longest wait until the next fault, once work goes on."""
STARTING = 0.2
"""Share of the later launches that are hit while they start."""
STARTING_SECONDS = 25.0
AIM_SECONDS = 40.0
"""How long a stage is waited for."""
RESUME_SECONDS = 180.0
END_SECONDS = 30.0
"""Until every process of a dead launch must be gone."""


class Campaign:
    """A batch and all that befalls it."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        folder: Path,
        run: Path,
        drawn: random.Random,
        console: Console,
        every_stage: bool = True,
    ) -> None:
        """`arguments` are those of the main command, `run` its output folder, `folder` the working directory.

        With `every_stage` the last faults wait for the stages that chance has left out.
        """
        self.faults: list[Fault] = []
        self.left: list[str] = []
        self.num_launches = 0
        self.seconds_to_die: list[float] = []
        self._arguments = arguments
        self._folder = folder
        self._run = run
        self._drawn = drawn
        self._console = console
        self._every_stage = every_stage
        self._decoder: psutil.Process | None = None

    @property
    def missed(self) -> list[str]:
        """Stages in which no rank and no decode worker was hit yet."""
        hit = {fault.stage for fault in self.faults if fault.target in READ_OUT}
        return [stage for stage in STAGES if stage not in hit]

    def survive(self, num_faults: int) -> None:
        """Until all faults are spent and a launch has ended with all done."""
        burials = []
        for _ in range(num_faults + 20):
            launch = Launch.start(self._arguments, self._folder)
            self.num_launches += 1
            self._sit_through(launch, num_faults)
            if launch.process.returncode > 0:
                self._console.print(
                    f"a launch ended with status {launch.process.returncode}: {launch.lines[-1].text}"
                )
            burials.append(Thread(target=self._bury, args=(launch, time.time())))
            burials[-1].start()
            if launch.process.returncode == 0:
                break
        if self.faults and self.faults[-1].seconds_to_resume is None:  # nothing was left to go on with
            self._say(self.faults[-1])
        for burial in burials:
            burial.join()

    def _sit_through(self, launch: Launch, num_faults: int) -> None:
        next_at = self._while_starting(launch)
        while launch.is_running:
            launch.family()
            pending = self.faults[-1] if self.faults else None
            is_waiting = pending is not None and pending.seconds_to_resume is None
            if pending is not None and is_waiting and search_resumption(pending, launch, self._run):
                self._say(pending)
                is_waiting = False
            if len(self.faults) < num_faults and (next_at is not None or not is_waiting):
                if next_at is None and launch.at_work():
                    # The first is for the encoding of the texts, which is over soon.
                    next_at = time.time() + (self._drawn.uniform(0.1, WAIT_SECONDS) if self.faults else 0.0)
                if next_at is not None and time.time() >= next_at:
                    self._strike(launch, num_faults - len(self.faults))
                    next_at = None
            if is_waiting and pending is not None and time.time() - pending.at > RESUME_SECONDS:
                pending.seconds_to_resume = float("inf")
            time.sleep(0.1)

    def _while_starting(self, launch: Launch) -> float | None:
        """When to strike before there is any work; None: not before."""
        if self._drawn.random() < STARTING and self.faults and self.faults[-1].seconds_to_resume is not None:
            return launch.began + self._drawn.uniform(1.0, STARTING_SECONDS)
        return None

    def _strike(self, launch: Launch, num_left: int) -> None:
        target = "rank"
        must_hit = self.missed if self._every_stage and num_left <= len(self.missed) else []
        if must_hit:
            target = "decode worker" if must_hit[0] in DECODE_STAGES else "rank"
        elif self.faults:
            target = self._drawn.choices(list(TARGETS), weights=list(TARGETS.values()))[0]
        kind = signal.SIGSTOP if self._drawn.random() < FREEZES else signal.SIGKILL
        found = self._stop_one(launch, target, must_hit) if target in READ_OUT else self._stop_all(launch)
        if found is None:
            return
        victim, stage, stopped = found
        fault = Fault(target=target, signal=kind.name, at=time.time(), stage=stage)
        at_work = launch.at_work()
        steps = steps_under_way(self._run, at_work)
        fault.hits = {
            gang: Hit.of(work, self._run, at=fault.at, step=steps.get(gang)) for gang, work in at_work.items()
        }
        if victim is None:
            victim = self._program(launch, target)
        with suppress(psutil.NoSuchProcess):
            if victim is not None:
                victim.send_signal(kind)
                self.faults.append(fault)
        for one in stopped:
            with suppress(psutil.NoSuchProcess):
                one.resume()
        if target == "driver" and kind is signal.SIGSTOP and victim is not None:
            time.sleep(self._drawn.uniform(3.0, 10.0))
            victim.resume()
            fault.at = time.time()

    def _stop_one(
        self, launch: Launch, target: str, must_hit: Sequence[str]
    ) -> tuple[psutil.Process, str, list[psutil.Process]] | None:
        """Stop a rank or the decode worker: in a stage that was not hit yet, or where it happens to be.

        Where there are stages that it must be in, it is let go on when it comes to none of them.
        """
        wanted = [stage for stage in STAGES if (stage in DECODE_STAGES) == (target == "decode worker")]
        wanted = [stage for stage in wanted if stage in self.missed] or wanted
        seconds = 0.0
        if not self.faults:
            wanted, seconds = ["encode"], AIM_SECONDS
        elif must_hit or self._drawn.random() < AIMED or (target == "decode worker" and not self._knows_decoder()):
            seconds = AIM_SECONDS
        deadline = time.time() + seconds
        while launch.is_running:
            time.sleep(0.02)
            actors = self._actors(launch, target)
            self._drawn.shuffle(actors)
            for actor in actors:
                with suppress(psutil.NoSuchProcess):
                    actor.suspend()
                    stage = look(actor.pid)
                    if stage in DECODE_STAGES:
                        self._decoder = actor
                    if stage in wanted or (time.time() > deadline and not must_hit):
                        return actor, stage, []
                    actor.resume()
            if time.time() > deadline:
                return None
        return None

    def _stop_all(self, launch: Launch) -> tuple[None, str, list[psutil.Process]]:
        """Stop every rank and the decode worker, so that none moves before the fault comes."""
        stopped, stages = [], []
        for actor in [one for one in launch.family() if _is_actor(one)]:
            with suppress(psutil.NoSuchProcess):
                actor.suspend()
                stopped.append(actor)
                stages.append(look(actor.pid))
        busy = sorted((one for one in stages if one in STAGES), key=STAGES.index)
        return None, (busy or stages or ["starting"])[0], stopped

    def _actors(self, launch: Launch, target: str) -> list[psutil.Process]:
        actors = [one for one in launch.family() if _is_actor(one)]
        if target == "decode worker" and self._knows_decoder():
            return [one for one in actors if one == self._decoder]
        if target == "rank":
            return [one for one in actors if one != self._decoder]
        return actors

    def _knows_decoder(self) -> bool:
        return self._decoder is not None and is_alive(self._decoder)

    def _program(self, launch: Launch, target: str) -> psutil.Process | None:
        """The driver, or one of Ray's programs; None where it does not run (yet)."""
        for one in launch.family():
            with suppress(psutil.NoSuchProcess):
                if one.pid == launch.process.pid if target == "driver" else one.name() == target:
                    return one
        return None

    def _bury(self, launch: Launch, ended: float) -> None:
        """Wait until every process of a launch that has ended is gone."""
        while (left := launch.left()) and time.time() < ended + END_SECONDS:
            time.sleep(0.3)
        self.seconds_to_die.append(time.time() - ended)
        self.left += left
        for one in launch.everyone:
            if left and is_alive(one):
                one.kill()

    def _say(self, fault: Fault) -> None:
        self._console.print(f"{len(self.faults):>3}  {fault.describe()}", highlight=False, soft_wrap=True)


def _is_actor(process: psutil.Process) -> bool:
    return "ray::RankActor" in command_of(process)
