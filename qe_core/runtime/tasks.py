"""What an agent is asked to do, what it answers, and what it is to learn from that.

What belongs here: tasks, results, strategies as values and types. What does not: doing them (`agent`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeAlias, TypeVar
from uuid import uuid4

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from qe_core.fleet.state import StateModel
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Outcome, check_unit
from qe_core.runtime.errors import StrategyError
from qe_core.store.live import Acknowledgement

Value = TypeVar("Value")


class QETask(BaseModel):
    """One piece of work for an agent.

    Attributes:
        task_id: names it in logs; made up where it is not given.
        context: what the agent measured before it begins: its state, its measurements by name, or the code of
            a state.
        inputs: whatever the strategies need; not looked at here.
        unit: what A/B tests assign by, for example the developer it is done for; None assigns each task by
            itself. Unused within an episode that was begun before.

    Raises:
        DecisionError: the unit cannot be used.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task_id: str = Field(default_factory=lambda: uuid4().hex, min_length=1, max_length=200)
    context: StateModel | int | dict[str, Any]
    inputs: dict[str, Any] = Field(default_factory=dict)
    unit: Annotated[str | None, AfterValidator(check_unit)] = None


Strategy: TypeAlias = Callable[[QETask], Any]
"""Does a task in one way, sync or async. A sync one runs in a thread beside the event loop."""

Assess: TypeAlias = Callable[[QETask, Any], Outcome]
"""Says what came of a task, given what the strategy returned."""


class Learning(StrEnum):
    """What became of learning from a task.

    Attributes:
        RECORDED: experience and update are durable.
        NOT_RECORDED: nothing was learned; the error says why.
        UNKNOWN: no answer came in time: stored once, or not at all. Recovering it tells.
    """

    RECORDED = "recorded"
    NOT_RECORDED = "not recorded"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[Value]):
    """What an agent answers.

    Attributes:
        task: what was asked.
        action: name of the action it used.
        value: what the strategy returned.
        is_baseline: whether the contract's baseline was used because no decision was possible.
        decision: what was decided; None where there was not even a learner to number it.
        learning: what became of learning from it.
        acknowledgement: of the recording, where there is one.
        error: why nothing was learned, where that is so.
    """

    task: QETask
    action: str
    value: Value
    is_baseline: bool
    decision: Decision | None
    learning: Learning
    acknowledgement: Acknowledgement | None = None
    error: Exception | None = None


def outcome_of(_: QETask, value: object) -> Outcome:
    """Return what came of a task whose strategy says so itself.

    Args:
        value: an `Outcome`, or measurements by the names of the reward's terms: then the task is done.

    Raises:
        StrategyError: it is neither.
    """
    if isinstance(value, Outcome):
        return value
    if isinstance(value, Mapping):
        return Outcome(measurements=value, terminated=True)
    raise StrategyError(
        f"a strategy returned a {type(value).__name__}: return an Outcome or a mapping of measurements, or "
        "give the agent assess=, which makes an Outcome of what its strategies return"
    )


FAILED = Outcome(measurements={}, terminated=True, failed=True)
"""The outcome of a strategy that raised: it failed, and the task is over."""
