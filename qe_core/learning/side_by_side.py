"""Many agents at once, each exactly as alone.

What belongs here: running independent trainings on several threads. What does not: the trainings (replay,
empirical_mdp). One agent's updates are never spread over threads: each sees the effect of all before it.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from qe_core.errors import LearningError

ResultT = TypeVar("ResultT")


def train_side_by_side(
    trainings: Mapping[str, Callable[[], ResultT]], worker_count: int
) -> dict[str, ResultT]:
    """Return each agent's result, in the order given, the same bits as if they were run one by one.

    The compiled loops release the interpreter's lock, so threads use as many cores as there are; arrays are
    shared and not copied.

    Example: ``train_side_by_side({agent: partial(train_on_log, table, log, 0.95, rate) for …}, 4)``.

    Args:
        trainings: for each agent a function without arguments that shares nothing it changes with another:
            ``train_on_log``, ``train_from_buffer`` with a buffer and a generator of its own, or
            ``q_table_from_transitions``, each with its arguments bound.
        worker_count: how many run at a time, at least 1; the number of cores is a good choice.

    Raises:
        LearningError: the worker count is below 1, or a training failed: then the first in the order given is
            named, after all others have ended.
    """
    if worker_count < 1:
        raise LearningError(f"worker_count must be at least 1, got {worker_count}; use the number of cores")
    with ThreadPoolExecutor(worker_count, thread_name_prefix="training") as executor:
        running = {agent: executor.submit(training) for agent, training in trainings.items()}
    results = {}
    for agent, future in running.items():
        try:
            results[agent] = future.result()
        except LearningError as error:
            raise LearningError(f"training of {agent}: {error}") from error
    return results
