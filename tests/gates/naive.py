"""The rules that look right and are not, on data without any effect.

What belongs here: peeking, pooling over stages, analysing tasks that were assigned by developer; all with the
ordered thresholds. What does not: our own rule (`playing`).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

SIGNIFICANCE = 0.05
MINIMUM_EFFECT = 0.2
MINIMUM_PER_ARM = 100
MOST_PER_ARM = 1_000
UNITS_A_LOOK = 20
STAGE_UNITS = 400
DRIFT_SDS = 0.25
TEAM = 40
TASKS_EACH = 25
SHARED_VARIANCE = 0.3

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Failures:
    """How often a rule claims an effect where there is none.

    Attributes:
        ships: claims that the candidate is better.
        claims: claims of a difference in either direction.
    """

    ships: float
    claims: float


def _claims(treatment: Floats, control: Floats) -> Floats:
    """Return for each row 1 where p < 0.05 and d > 0.2, −1 where p < 0.05 and d < −0.2, else 0."""
    p_value = stats.ttest_ind(treatment, control, axis=-1, equal_var=False).pvalue
    counts = treatment.shape[-1], control.shape[-1]
    squares = [(arm.shape[-1] - 1) * arm.var(axis=-1, ddof=1) for arm in (treatment, control)]
    spread = np.sqrt((squares[0] + squares[1]) / (counts[0] + counts[1] - 2))
    effect = (treatment.mean(axis=-1) - control.mean(axis=-1)) / spread
    is_claim = (p_value < SIGNIFICANCE) & (np.abs(effect) > MINIMUM_EFFECT)
    return np.asarray(np.where(is_claim, np.sign(effect), 0.0))


def _rates(claims: Floats) -> Failures:
    """Return the rates of rows."""
    return Failures(float((claims > 0).mean()), float((claims != 0).mean()))


def peeking(tests: int, random: np.random.Generator) -> Failures:
    """Return how often a look every 20 samples ships at some time, from 100 to 1,000 a variant.

    Args:
        tests: how many to simulate.
        random: source of chance.
    """
    treatment, control = random.standard_normal((2, tests, MOST_PER_ARM))
    first = np.zeros(tests)
    for count in range(MINIMUM_PER_ARM, MOST_PER_ARM + 1, UNITS_A_LOOK // 2):
        first = np.where(first == 0.0, _claims(treatment[:, :count], control[:, :count]), first)
    return _rates(first)


def pooling(tests: int, random: np.random.Generator) -> Failures:
    """Return how often samples pooled over 10, 50 and 90 % ship, the level rising by a quarter sd a stage.

    The control is everybody else, as it is when nobody plans for equal arms; one look, at the end.

    Args:
        tests: how many to simulate.
        random: source of chance.
    """
    arms: dict[bool, list[Floats]] = {True: [], False: []}
    for stage, share in enumerate((0.1, 0.5, 0.9)):
        level = stage * DRIFT_SDS
        treated = round(share * STAGE_UNITS)
        arms[True].append(level + random.standard_normal((tests, treated)))
        arms[False].append(level + random.standard_normal((tests, STAGE_UNITS - treated)))
    return _rates(_claims(np.concatenate(arms[True], axis=1), np.concatenate(arms[False], axis=1)))


def analysing_tasks(tests: int, random: np.random.Generator) -> Failures:
    """Return how often tasks ship, where 40 developers were assigned and make 30 % of the variance; one look.

    Args:
        tests: how many to simulate.
        random: source of chance.
    """
    habits = np.sqrt(SHARED_VARIANCE) * random.standard_normal((tests, TEAM, 1))
    tasks = habits + np.sqrt(1.0 - SHARED_VARIANCE) * random.standard_normal((tests, TEAM, TASKS_EACH))
    half = TEAM // 2
    return _rates(_claims(tasks[:, :half].reshape(tests, -1), tasks[:, half:].reshape(tests, -1)))
