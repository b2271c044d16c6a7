"""What goes into the store and what comes out of it, as frozen values.

What belongs here: plain records of tables, log and statistics. What does not: SQL, connections and the
mathematics of the values themselves (`qe_core.learning`).
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from qe_core.learning.q_table import QTable

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
Level: TypeAlias = Literal["individual", "category", "fleet"]
Source: TypeAlias = dict[str, "str | int | float | bool | None"]


@dataclass(frozen=True, slots=True)
class TableHandle:
    """Names one registered Q-table and the fencing epoch under which it may be written.

    Attributes:
        q_table_id: the table's key in the database.
        level: which floor of the hierarchy it belongs to.
        name: the agent's, the category's or the fleet's name; unique among current tables of a level.
        fingerprint: the contract it is learned under.
        state_count: number of states S, at least 1.
        action_names: one name for each of the A columns.
        epoch: the fencing epoch when the handle was taken; writes under an older one are refused.
        version: the table's version when the handle was taken.
        replaced_fingerprint: the contract of the table this registration retired, or None.
    """

    q_table_id: int
    level: Level
    name: str
    fingerprint: str
    state_count: int
    action_names: tuple[str, ...]
    epoch: int
    version: int
    replaced_fingerprint: str | None = None

    @property
    def action_count(self) -> int:
        """The number of columns, A."""
        return len(self.action_names)


@dataclass(frozen=True, slots=True)
class StoredTable:
    """A Q-table as it was committed, dense.

    Attributes:
        handle: which table this is, at the version read.
        table: values, visits and target statistics, shape (S, A).
        weights: confidence x visits as published, shape (S, A); 0 where nothing was learned.
        source: what the last publication was built from; empty before the first.
    """

    handle: TableHandle
    table: QTable
    weights: FloatArray
    source: Source = field(default_factory=dict)

    @property
    def q_table_id(self) -> int:
        """The table's key in the database."""
        return self.handle.q_table_id

    @property
    def version(self) -> int:
        """The version to pass to `publish` when publishing what was computed from this."""
        return self.handle.version

    @property
    def epoch(self) -> int:
        """The fencing epoch at the time of reading."""
        return self.handle.epoch


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One recomputation of a table, ready to publish.

    Attributes:
        table: the new contents, shape (S, A).
        weights: confidence x visits, shape (S, A), multiples of 2**-20.
        expected_version: the version of the table the computation started from.
        source: what it was built from, for lineage (for example the last experience's number).
    """

    table: QTable
    weights: FloatArray
    expected_version: int
    source: Source


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What a publication changed.

    Attributes:
        version: the table's version afterwards.
        rows_written: states inserted or updated.
        rows_removed: states that hold nothing any more.
        attempts: how many times it was tried, at least 1.
    """

    version: int
    rows_written: int
    rows_removed: int
    attempts: int = 1

    @property
    def is_changed(self) -> bool:
        """Whether anything was written at all."""
        return self.rows_written + self.rows_removed > 0


@dataclass(frozen=True, slots=True)
class TableSummary:
    """One line about a current table.

    Attributes:
        level: which floor of the hierarchy it belongs to.
        name: the agent's, the category's or the fleet's name.
        fingerprint: the contract it is learned under.
        version: how many times it changed.
        states: states that hold something.
        updates: sum of all visits.
        updated_at: when it last changed, UTC.
        publications: how often its contents were replaced.
        publication_conflicts: how often that had to be computed again first, because the table had changed.
    """

    level: Level
    name: str
    fingerprint: str
    version: int
    states: int
    updates: int
    updated_at: datetime
    publications: int
    publication_conflicts: int


@dataclass(frozen=True, slots=True)
class ExperienceCounts:
    """How much one agent has in the log.

    Attributes:
        agent: the agent's name.
        experiences: stored transitions.
        episodes: distinct (source, episode) pairs.
        last_experience_id: the highest number given, 0 when there is none.
        last_occurred_at: when the newest happened, UTC.
    """

    agent: str
    experiences: int
    episodes: int
    last_experience_id: int
    last_occurred_at: datetime


@dataclass(frozen=True, slots=True)
class EpisodeReturns:
    """One entry for each episode of one agent, in the canonical order of their last steps.

    Attributes:
        total_reward: undiscounted sum of rewards, points, shape (E,).
        steps: transitions stored, shape (E,).
        success: 1 succeeded, 0 failed, -1 unknown, int8, shape (E,).
        exploration_rate: of the last step, NaN where unknown, shape (E,).
        reward_sum_squares: sum of squared rewards, for exact pooled deviations, shape (E,).
        first_experience_id: shape (E,).
        last_experience_id: shape (E,).
        is_finished: whether the episode has ended, terminated or truncated, shape (E,).
    """

    total_reward: FloatArray
    steps: IntArray
    success: npt.NDArray[np.int8]
    exploration_rate: FloatArray
    reward_sum_squares: FloatArray
    first_experience_id: IntArray
    last_experience_id: IntArray
    is_finished: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.total_reward)


@dataclass(frozen=True, slots=True)
class StatsWindow:
    """Learning statistics of one agent over one window of consecutive episodes.

    None means that the figure could not be computed from what there is.

    Attributes:
        window_index: 0 is the oldest.
        first_experience_id: the lowest number in the window.
        last_experience_id: the highest number in the window.
        episodes: episodes in the window, at least 1.
        experiences: transitions in the window, at least 1.
        mean_return: mean undiscounted return, points.
        reward_mean: mean reward of a transition, points.
        reward_sd: standard deviation of rewards, points.
        success_rate: in [0, 1], among episodes whose outcome is known.
        exploration_rate: at the end of the window, in [0, 1].
        mean_abs_q_change: mean |change of q| over visited pairs relative to the reward scale.
        bellman_residual: largest residual against the empirical MDP, points.
        greedy_churn: visit-weighted share of states whose greedy action changed, in [0, 1].
        states_visited: distinct states seen up to the end of the window.
        verdict: insufficient data, learning, converged, diverging or stale.
        reason: what decided the verdict, for people.
        return_sd: standard deviation of the episodes' returns, points.
        largest_q: largest |q| at the end of the window, points.
        recent_bias: bias of q against recent targets beyond what noise explains, points.
        pair_coverage: share of recent visits to states tried often enough, in [0, 1].
        is_settling: whether the step sizes so far form a Robbins–Monro sequence.
    """

    window_index: int
    first_experience_id: int
    last_experience_id: int
    episodes: int
    experiences: int
    mean_return: float
    reward_mean: float
    reward_sd: float
    success_rate: float | None
    exploration_rate: float | None
    mean_abs_q_change: float | None
    bellman_residual: float | None
    greedy_churn: float | None
    states_visited: int
    verdict: str
    reason: str = ""
    return_sd: float | None = None
    largest_q: float | None = None
    recent_bias: float | None = None
    pair_coverage: float | None = None
    is_settling: bool | None = None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One line about one agent that has a table or experiences.

    Attributes:
        agent: the agent's name.
        experiences: stored transitions.
        episodes: distinct episodes.
        updates: sum of visits in the individual table.
        states_visited: states the individual table holds something for.
        convergence: the verdict of the latest statistics window, or ``insufficient data``.
        last_update: when the table or the log last changed, UTC; None when neither exists.
    """

    agent: str
    experiences: int
    episodes: int
    updates: int
    states_visited: int
    convergence: str
    last_update: datetime | None


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """How far the import of one file has come.

    Attributes:
        import_id: key in the database.
        source: the name its experiences carry, ``import:<name>``.
        file_digest: SHA-256 of the file, hex.
        file_name: for people.
        rows_read: rows of the file handled so far: where to resume.
        rows_new: rows that were not in the log before.
        rows_bad: rows set aside.
        state: running, done or failed.
        created_at: when it was first begun, UTC.
        updated_at: when this last changed, UTC.
    """

    import_id: int
    source: str
    file_digest: str
    file_name: str
    rows_read: int
    rows_new: int
    rows_bad: int
    state: Literal["running", "done", "failed"]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class StoreCounters:
    """What this process's store has met since it was opened.

    Attributes:
        publishes: publications that changed something.
        unchanged_publishes: publications that found nothing to change.
        version_conflicts: publications refused because the table had moved on.
        retries: attempts repeated after a conflict, a deadlock or a serialisation failure.
        deadlocks: transactions PostgreSQL broke off to resolve a deadlock.
        refused_epochs: writes refused because their fencing epoch was stale.
        experiences_appended: new rows in the log.
        experiences_repeated: rows that were in the log already.
    """

    publishes: int = 0
    unchanged_publishes: int = 0
    version_conflicts: int = 0
    retries: int = 0
    deadlocks: int = 0
    refused_epochs: int = 0
    experiences_appended: int = 0
    experiences_repeated: int = 0
