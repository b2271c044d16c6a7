"""What has ended in the log since the last release, for those who take part.

What belongs here: which tasks those are, their steps as arrays, and which chunks to mark for them. What does
not: what is counted of them (`qe_core.privacy`), and marking (`releases`).

A task is an episode of an agent in a source. It is ready when a chunk that no release has marked holds its
end; its earlier steps may lie in chunks that are marked already, as long as those are open. Steps that
retention has folded, or that arrive after the end was marked, are not counted: the task counts with what is
there. A task any step of which belongs to somebody who opted out is left out whole, and its chunks are marked
all the same. What was in the log before an opt-out was lifted stays withheld, and whole tasks with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.learning.arrays import BoolArray, Int64Array
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.units import AgentSteps, ProtectedUnit
from qe_core.store.array_stream import ArrayDecoder
from qe_core.store.connection import Connection
from qe_core.store.statements import STATEMENTS
from qe_core.store.team.opt_outs import read_generation
from qe_core.store.team.records import OptOutKind, ReadChunks, UnreleasedTasks

_COLUMNS = {
    "chunk_id": "int8",
    "is_marked": "bool",
    "is_withheld": "bool",
    "experiences": "int4",
    "source": "text",
    "developer": "text",
    "project": "text",
    "occurred_at": "timestamptz[]",
    "episode": "text[]",
    "step": "int4[]",
    "state": "int8[]",
    "action": "int2[]",
    "reward": "float8[]",
    "next_state": "int8[]",
    "terminated": "bool[]",
    "truncated": "bool[]",
}

Rows = dict[str, Any]


@dataclass(slots=True)
class _Units:
    """Gives the units of all agents codes of one range."""

    kind: ProtectedUnit
    task_count: int = 0
    developers: dict[str, int] = field(default_factory=dict)

    def of(self, task: Int64Array, developer: list[str], chunk: Int64Array) -> Int64Array:
        """Return the unit of each step.

        Args:
            task: which of the agent's tasks each step belongs to.
            developer: whose each chunk is, empty where nobody's.
            chunk: the chunk of each step.
        """
        tasks, code = np.unique(task, return_inverse=True)
        begin = self.task_count
        self.task_count += len(tasks)
        of_chunk = np.zeros(len(developer), dtype=np.int64)
        for index in np.unique(chunk).tolist():
            of_chunk[index] = self.developers.setdefault(developer[index], len(self.developers))
        match self.kind:
            case ProtectedUnit.TASK:
                return begin + code.astype(np.int64)
            case ProtectedUnit.DEVELOPER:
                return of_chunk[chunk]
            case _ as never:
                assert_never(never)


async def read_finished_tasks(
    connection: Connection,
    spaces: Mapping[str, PublicSpace],
    unit: ProtectedUnit,
    kept_out_sources: Sequence[str] = (),
) -> UnreleasedTasks:
    """Return what has ended since the last release.

    Args:
        connection: inside a transaction that sees one moment.
        spaces: the agents that are shared.
        unit: what units are coded for: each task, or each developer. What is nobody's is one unit.
        kept_out_sources: whose experiences are passed over.
    """
    generation = await read_generation(connection)
    opted_out = await _opted_out(connection)
    if opted_out[OptOutKind.DATABASE]:
        return UnreleasedTasks({agent: AgentSteps.empty() for agent in spaces}, {}, 0, 0, generation)
    units, steps, chunks = _Units(unit), {}, {}
    for agent, space in spaces.items():
        decoder = ArrayDecoder(_COLUMNS)
        await connection.copy_from_query(
            STATEMENTS["read_unreleased_chunks"],
            *(agent, space.fingerprint, list(kept_out_sources)),
            output=decoder.feed,
            format="binary",
        )
        found = decoder.columns()
        if not len(found["chunk_id"]):
            steps[agent] = AgentSteps.empty()
            continue
        tasks = _Tasks.of(found)
        is_hidden = _is_hidden(found, opted_out, agent)
        chunks[agent] = tasks.read_chunks(found)
        steps[agent] = _steps(found, tasks, tasks.is_ready & ~tasks.touched_by(is_hidden), units)
    return UnreleasedTasks(steps, chunks, units.task_count, len(units.developers), generation)


@dataclass(frozen=True, slots=True)
class _Tasks:
    """The tasks some chunks hold steps of.

    Attributes:
        chunk: the chunk of each step, int64[N].
        task: the task of each step, int64[N].
        order: a place for each step's (source, episode) in the canonical order, int64[N].
        is_finished: whether each task has ended, in whichever chunk, bool[T].
        is_ready: whether it ended in a chunk that is not marked, and in no other, bool[T].
    """

    chunk: Int64Array
    task: Int64Array
    order: Int64Array
    is_finished: BoolArray
    is_ready: BoolArray

    @classmethod
    def of(cls, found: Rows) -> "_Tasks":
        """Return the tasks of some chunks."""
        chunk = np.repeat(np.arange(len(found["chunk_id"])), found["experiences"])
        _, source = _ranked(pa.array(found["source"], pa.string()))
        episodes, episode = _ranked(found["episode"])
        order = source[chunk] * episodes + episode
        names, task = np.unique(order, return_inverse=True)
        is_end = found["terminated"].astype(np.bool_) | found["truncated"].astype(np.bool_)
        is_marked = found["is_marked"].astype(np.bool_)[chunk]
        ends_now = _any_of(task[is_end & ~is_marked], len(names))
        ended_before = _any_of(task[is_end & is_marked], len(names))
        return cls(chunk, task, order, ends_now | ended_before, ends_now & ~ended_before)

    def touched_by(self, is_chunk: BoolArray) -> BoolArray:
        """Return which tasks have a step in one of these chunks."""
        return _any_of(self.task[is_chunk[self.chunk]], len(self.is_ready))

    def read_chunks(self, found: Rows) -> ReadChunks:
        """Return which chunks to mark, and which of those marked before are not needed again."""
        number, is_marked = found["chunk_id"], found["is_marked"].astype(np.bool_)
        is_open = _any_of(self.chunk[~self.is_finished[self.task]], len(number))
        return ReadChunks(number[~is_marked], is_open[~is_marked], number[is_marked & ~is_open])


def _steps(found: Rows, tasks: _Tasks, is_wanted: BoolArray, units: _Units) -> AgentSteps:
    """Return the steps of some tasks in canonical order."""
    kept = np.flatnonzero(is_wanted[tasks.task])
    order = np.lexsort((found["step"][kept], tasks.order[kept], found["occurred_at"][kept]))
    kept = kept[order]
    return AgentSteps(
        unit=units.of(tasks.task[kept], found["developer"], tasks.chunk[kept]),
        state=found["state"][kept],
        action=found["action"][kept].astype(np.int64),
        reward=found["reward"][kept],
        next_state=found["next_state"][kept],
        terminated=found["terminated"][kept].astype(np.bool_),
    )


async def _opted_out(connection: Connection) -> dict[OptOutKind, set[str]]:
    """Return who and what does not take part, by kind."""
    subjects: dict[OptOutKind, set[str]] = {kind: set() for kind in OptOutKind}
    for row in await connection.fetch(STATEMENTS["list_opt_outs"]):
        subjects[OptOutKind(row["kind"])].add(row["subject"])
    return subjects


def _is_hidden(found: Rows, opted_out: Mapping[OptOutKind, set[str]], agent: str) -> BoolArray:
    """Return which chunks belong to somebody, or something, that opted out, now or when they arrived."""
    if agent in opted_out[OptOutKind.AGENT]:
        return np.ones(len(found["chunk_id"]), dtype=np.bool_)
    developers, projects = opted_out[OptOutKind.DEVELOPER], opted_out[OptOutKind.PROJECT]
    whose = zip(found["developer"], found["project"], strict=True)
    belongs = [developer in developers or project in projects for developer, project in whose]
    is_hidden: BoolArray = found["is_withheld"].astype(np.bool_) | np.array(belongs)
    return is_hidden


def _ranked(names: pa.Array) -> tuple[int, Int64Array]:
    """Return how many different names there are, and each one's place in the order of their bytes."""
    coded = names.dictionary_encode()
    order = np.asarray(pc.array_sort_indices(coded.dictionary))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    return len(order), place[np.asarray(coded.indices)]


def _any_of(members: npt.NDArray[np.int64], count: int) -> BoolArray:
    """Return for 0 to ``count`` − 1 whether it is among some numbers."""
    is_member = np.zeros(count, dtype=np.bool_)
    is_member[members] = True
    return is_member
