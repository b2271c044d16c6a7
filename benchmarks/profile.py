"""Where the hot path spends its time: ``python -m benchmarks.profile`` samples a thousand agents at work.

What belongs here: running the agents of `agent_workers` under py-spy and adding up the samples. What does
not: figures that are owed (`agents`).
"""

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from benchmarks.agent_workers import AgentsJob, work
from benchmarks.place import Place

AGENTS = 1_000
SECONDS = 15.0
RATE_PER_SECOND = 200
_WAITING = ("select (selectors.py", "_worker (concurrent/futures", "wait (threading.py")
_PARTS = (
    ("deciding", "Learner.decide"),
    ("recording: outcome to update", "Learner.record"),
    ("writer: compose a flush", "Line.send_next"),
    ("writer: send and announce it", "Sender.send"),
    ("writer: settle callers", "UpdateWriter._settle"),
    ("reader: refresh what others changed", "Reader."),
    ("the agents of the benchmark", "_play_episode"),
)
"""Parts of the hot path, each recognised by a frame; the innermost that occurs in a stack decides."""


def main(arguments: Sequence[str]) -> None:
    """Profile in a place of its own, or, as the profiled child, do the work."""
    if arguments:
        asyncio.run(_play(arguments[0], float(arguments[1])))
        return
    with Place() as place, place.database() as url:
        stacks = sampled(url, place.directory / "stacks.txt")
    sys.stdout.write(as_markdown(stacks))


def sampled(url: str, output: Path) -> list[tuple[list[str], int]]:
    """Return the stacks of a process of agents, outermost frame first, with their number of samples."""
    child = [sys.executable, "-m", "benchmarks.profile", url, str(SECONDS)]
    options = ["--format", "raw", "--rate", str(RATE_PER_SECOND), "--output", str(output)]
    spy = [str(Path(sys.executable).with_name("py-spy")), "record", *options, "--", *child]
    subprocess.run(spy, check=True, capture_output=True)  # noqa: S603 programs of this environment
    stacks = []
    for line in output.read_text(encoding="utf-8").splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        is_working = any("Handle._run" in frame or "_run_once" in frame for frame in frames)
        if is_working and not any(waiting in frames[-1] for waiting in _WAITING):
            stacks.append((frames, int(count)))
    return stacks


def as_markdown(stacks: Sequence[tuple[list[str], int]]) -> str:
    """Return two tables: shares of the parts of the hot path, and of single functions."""
    total = sum(count for _, count in stacks)
    parts, functions = Counter[str](), Counter[str]()
    for frames, count in stacks:
        parts[_part_of(frames)] += count
        functions[frames[-1].rpartition(":")[0] + ")"] += count
    lines = [f"{total} samples of the event loop at work\n", "| part | share |", "|---|--:|"]
    lines += [f"| {part} | {count / total:.0%} |" for part, count in parts.most_common()]
    lines += ["", "| function, its own time | share |", "|---|--:|"]
    lines += [f"| `{function}` | {count / total:.1%} |" for function, count in functions.most_common(12)]
    return "\n".join(lines) + "\n"


def _part_of(frames: Sequence[str]) -> str:
    for frame in reversed(frames):
        for part, mark in _PARTS:
            if frame.startswith(mark):
                return part
    return "event loop and driver"


async def _play(url: str, seconds: float) -> None:
    """Let agents work without pause, as fast as one process goes."""

    async def gate() -> None:
        """Nobody else is waited for."""

    await work(gate, AgentsJob(url, AGENTS, seconds, 0.0, 1))


if __name__ == "__main__":
    main(sys.argv[1:])
