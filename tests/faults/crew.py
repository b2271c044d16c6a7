"""The writer processes of a run: started, commanded, killed, replaced, waited for.

What belongs here: processes and their journals. What does not: what they do (`writer`) and when something is
done to them (`injector`).
"""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.journal import Watch
from tests.faults.writer import Job

ROOT = Path(__file__).parents[2]
_POLL_SECONDS = 0.05
_SHOWN_CHARACTERS = 2_000

DEADLINES_SECONDS = (30.0, 3.0, 1.0)
QUEUE_LIMITS = (100_000, 400, 60)
BATCH_LIMITS = (20_000, 150, 48)
"""By writer: the defaults, a writer that gives up soon, and one whose queue and batches are small."""

MARGIN_SECONDS = 30.0
"""What a call may take beyond its deadlines on a busy machine before it counts as hanging."""


def longest_seconds(deadline_seconds: float) -> float:
    """Return when a call counts as hanging: it may wait once for room and once for its acknowledgement."""
    return 2 * deadline_seconds + MARGIN_SECONDS


@dataclass(slots=True)
class Member:
    """One writer process.

    Attributes:
        seat: its place among the writers; a replacement takes the seat of the one killed.
        job: what it does.
        process: it.
        killed_at: when it was killed, seconds of the monotonic clock; None if it was not.
    """

    seat: int
    job: Job
    process: subprocess.Popen[str]
    killed_at: float | None = None

    @property
    def journal(self) -> Path:
        """The file it writes down in."""
        return Path(self.job.journal)


@dataclass(slots=True)
class Crew:
    """All writers of a run.

    Attributes:
        url: of the database they write to.
        folder: for journals, on a disk that does not fill.
        seed: of everything they draw.
        tasks: concurrent callers in each.
        pause_seconds: mean time between a caller's answer and its next call.
        members: everyone who ever took part.
    """

    url: str
    folder: Path
    seed: int
    tasks: int
    pause_seconds: float
    members: list[Member] = field(default_factory=list)
    _watch: Watch = field(default_factory=Watch)

    def start(self, seat: int) -> Member:
        """Start a writer on a seat, with a journal and random numbers of its own."""
        incarnation = sum(member.seat == seat for member in self.members)
        kind = seat % len(DEADLINES_SECONDS)
        job = Job(
            url=self.url,
            journal=str(self.folder / f"w{seat}.{incarnation}.journal"),
            seed=self.seed * 10_000 + seat * 1_000 + incarnation,
            tasks=self.tasks,
            pause_seconds=self.pause_seconds,
            longest_seconds=longest_seconds(DEADLINES_SECONDS[kind]),
            deadline_seconds=DEADLINES_SECONDS[kind],
            queue_limit=QUEUE_LIMITS[kind],
            batch_limit=BATCH_LIMITS[kind],
        )
        with Path(job.journal).with_suffix(".log").open("w") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.writer", job.as_argument()],
                stdin=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=ROOT,
            )
        self.members.append(Member(seat, job, process))
        return self.members[-1]

    @property
    def present(self) -> list[Member]:
        """Who has not been killed, by seat."""
        alive = [member for member in self.members if member.killed_at is None]
        return sorted(alive, key=lambda member: member.seat)

    def kill(self, member: Member) -> Member:
        """SIGKILL a writer and return its replacement."""
        member.process.kill()
        member.process.wait()
        member.killed_at = time.monotonic()
        return self.start(member.seat)

    def stop(self, member: Member) -> None:
        """SIGSTOP a writer."""
        member.process.send_signal(signal.SIGSTOP)

    def go_on(self, member: Member) -> None:
        """SIGCONT a writer."""
        member.process.send_signal(signal.SIGCONT)

    def tell_all(self, command: str) -> None:
        """Send a command to every writer that is still there."""
        for member in self.present:
            pipe = member.process.stdin
            if pipe is not None and member.process.poll() is None:
                pipe.write(command + "\n")
                pipe.flush()

    async def hear_from(self, members: Sequence[Member], after: float, limit_seconds: float) -> bool:
        """Wait until one of some writers was told that a call it made after a moment is durable.

        Args:
            members: any of them will do.
            after: seconds of the monotonic clock.
            limit_seconds: how long to wait.

        Returns:
            Whether it was.
        """
        deadline = time.monotonic() + limit_seconds
        while time.monotonic() < deadline:
            if any(self._watch.newest_acknowledged(member.journal) > after for member in members):
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def finish(self) -> list[str]:
        """Let all writers finish; return what was wrong with those that did not end in order."""
        self.tell_all("stop")
        slowest = max(longest_seconds(seconds) for seconds in DEADLINES_SECONDS) + MARGIN_SECONDS
        deadline = time.monotonic() + 2 * slowest
        wrong = []
        for member in self.present:
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(member.process.wait, max(0.0, deadline - time.monotonic()))
            if member.process.poll() != 0:
                said = member.journal.with_suffix(".log").read_text(errors="replace")[-_SHOWN_CHARACTERS:]
                wrong.append(f"writer {member.job.name} ended with {member.process.poll()}: {said}")
        self.end()
        return wrong

    def end(self) -> None:
        """End every process that is still there, at once."""
        for member in self.members:
            if member.process.poll() is None:
                member.process.kill()
            member.process.wait()
            if member.process.stdin is not None:
                member.process.stdin.close()
