"""Building a world's arrays from what was drawn: every reachable state, action and outcome.

What belongs here: the rules by which steps change states and earn points. What does not: the numbers they
are applied to (`drawing`).
"""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import assert_never

import numpy as np

from qe_core.environments.declarations import Step, WorldDeclaration
from qe_core.environments.drawing import DrawnWorld, draw, task_features
from qe_core.environments.world import NOISE_SPAN, World
from qe_core.fleet.rewards import REWARD_LIMIT, Gain, RelativeToExpected, RewardModel, Target
from qe_core.fleet.vocabulary import Approach
from qe_core.learning.arrays import Float64Array

REUSE_TERM = "pattern_reuse"
"""The reward term that only actions of the approach REUSE earn."""

Moves = list[tuple[float, int]]
"""What may happen to one feature: probability and change of the state's code."""


def draw_world(declaration: WorldDeclaration, world_seed: int = 0) -> World:
    """Return one world of a family; the same seed gives the same bits.

    Args:
        declaration: the family.
        world_seed: which member, 0 or more.
    """
    return _Builder(declaration, draw(declaration, world_seed)).build(world_seed)


def measurements(
    reward: RewardModel, step: Step, approach: Approach, result: float, cost: float
) -> dict[str, float]:
    """Return what would be measured of a step, by reward term and in its unit.

    Args:
        reward: the agent's objectives.
        step: names the objectives a good or bad result counts for.
        approach: of the action; only reuse earns the term for reuse.
        result: normalised, in [-1, 1].
        cost: actual over expected time and money.
    """
    counted = step.gains if result > 0 else step.losses
    measured = {}
    for term in reward.terms:
        match term.scale:
            case RelativeToExpected():
                measured[term.name] = cost
            case _ if counted and term.name not in counted:
                continue
            case Gain(full_scale):
                if term.name != REUSE_TERM or approach is Approach.REUSE:
                    measured[term.name] = result * full_scale
            case Target(best, tolerance):
                measured[term.name] = best + tolerance * (1.0 - result)
            case _:
                assert_never(term.scale)
    return measured


class _Builder:
    """Walks the reachable states of one drawn world; states are tuples of digits, in feature order."""

    def __init__(self, declaration: WorldDeclaration, drawn: DrawnWorld) -> None:
        self.declaration, self.drawn = declaration, drawn
        self.contract = declaration.contract
        features = self.contract.state_model.features()
        self.labels = {feature.name: feature.labels for feature in features}
        self.position = {feature.name: index for index, feature in enumerate(features)}
        self.stride = {
            feature.name: prod(later.radix for later in features[index + 1 :])
            for index, feature in enumerate(features)
        }
        self.fixed = [self.position[name] for name in task_features(declaration)]
        self.steps = declaration.steps_in_order
        self.approaches = [self.contract.approaches[action] for action in self.contract.actions]

    def code(self, digits: tuple[int, ...]) -> int:
        return sum(digit * stride for digit, stride in zip(digits, self.stride.values(), strict=True))

    def digits(self, code: int) -> tuple[int, ...]:
        return tuple(
            code // stride % len(known)
            for stride, known in zip(self.stride.values(), self.labels.values(), strict=True)
        )

    def build(self, world_seed: int) -> World:
        states, actions = self.contract.state_count, self.contract.action_count
        start = np.zeros(states)
        for digits, chance in self.arrivals():
            start[self.code(digits)] += chance
        mean, sd = np.zeros((states, actions)), np.zeros((states, actions))
        outcomes: dict[tuple[int, int], dict[tuple[int, bool], float]] = {}
        waiting = np.flatnonzero(start).tolist()
        seen = set(waiting)
        while waiting:
            code = waiting.pop()
            for action, (points, deviation, rows) in enumerate(self.state(code)):
                mean[code, action], sd[code, action] = points, deviation
                outcomes[code, action] = rows
                new = {successor for successor, ends in rows if not ends} - seen
                seen |= new
                waiting.extend(new)
        ordered = [row for pair in sorted(outcomes) for row in sorted(outcomes[pair].items())]
        counts = np.zeros(states * actions, dtype=np.int64)
        for (state, action), found in outcomes.items():
            counts[state * actions + action] = len(found)
        return World(
            contract=self.contract,
            world_seed=world_seed,
            outcome_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            next_state=np.array([successor for (successor, _), _ in ordered], dtype=np.int64),
            probability=np.array([chance for _, chance in ordered]),
            terminated=np.array([ends for (_, ends), _ in ordered]),
            reward_mean=mean,
            reward_sd=sd,
            start=start,
        )

    def state(self, code: int) -> Iterator[tuple[float, float, dict[tuple[int, bool], float]]]:
        """Yield mean, deviation and outcomes of each action in the state with this code."""
        digits = self.digits(code)
        score = self.drawn.interaction[self.task(digits)] + sum(
            (table[digits[self.position[name]]] for name, table in self.drawn.score.items()),
            start=np.zeros(len(self.steps)),
        )
        belief = self.belief(digits)
        for action, step in enumerate(self.steps):
            results = self.results(digits, action, step, float(score[action]))
            points = np.array([self.points(action, step, result) for result in results])
            mean = float(belief @ points)
            spread = float(self.drawn.noise_points[action])
            rows = self.outcomes(code, digits, action, step, belief, results, float(score[action]))
            yield mean, min(spread, (REWARD_LIMIT - abs(mean)) / NOISE_SPAN), rows

    def task(self, digits: tuple[int, ...]) -> tuple[int, ...]:
        """Return the digits that stay during an episode."""
        return tuple(digits[position] for position in self.fixed)

    def frequency(self, digits: tuple[int, ...]) -> Float64Array:
        """Return how often each finding occurs in tasks like this one."""
        return self.drawn.frequency[self.task(digits)]

    def belief(self, digits: tuple[int, ...]) -> Float64Array:
        """Return how probable each finding is: certain where it is known, its frequency where hidden."""
        frequency = self.frequency(digits)
        if self.declaration.finding is None:
            return frequency
        known = digits[self.position[self.declaration.finding]]
        return frequency if known == 0 else np.eye(len(frequency))[known]

    def results(self, digits: tuple[int, ...], action: int, step: Step, score: float) -> Float64Array:
        """Return the normalised result for each finding, in [-1, 1]; a look or mere moving on has none."""
        if step.looks > 0 or (step.moves_on and not step.fits):
            return np.zeros(len(self.drawn.result))
        result = np.clip(self.drawn.result[:, action] + score, -1.0, 1.0)
        progress = self.declaration.progress
        if progress is not None:
            label = self.labels[progress.feature][digits[self.position[progress.feature]]]
            result = np.where(result > 0, result * progress.remaining[progress.path.index(label)], result)
        return np.asarray(result)

    def points(self, action: int, step: Step, result: float) -> float:
        """Return the reward of a result through the contract's own terms."""
        cost = float(self.drawn.cost[action])
        measured = measurements(self.contract.reward, step, self.approaches[action], float(result), cost)
        return self.contract.reward.reward(measured)

    def outcomes(
        self,
        code: int,
        digits: tuple[int, ...],
        action: int,
        step: Step,
        belief: Float64Array,
        results: Float64Array,
        score: float,
    ) -> dict[tuple[int, bool], float]:
        """Return the probability of each (next state, ends) of one action."""
        if step.ends:
            return {(code, True): 1.0}
        drop = min(1.0, self.drawn.spending * float(self.drawn.cost[action]))
        over, budget = self.budget_moves(digits, drop)
        gain = float(belief @ np.clip(results, 0.0, 1.0))
        if step.moves_on:
            fresh = [
                (chance, self.code(self.with_budget_of(digits, task))) for task, chance in self.arrivals()
            ]
            alternatives = [fresh, budget]
            origin = 0
        else:
            look = self.finding_moves(digits, action, step, gain, score)
            alternatives = [look, self.progress_moves(digits, gain), self.result_moves(digits, gain), budget]
            origin = code
        rows: dict[tuple[int, bool], float] = {(code, True): over} if over > 0 else {}
        for combination in product(*alternatives):
            chance = prod(probability for probability, _ in combination)
            if chance > 0:
                key = (origin + sum(change for _, change in combination), False)
                rows[key] = rows.get(key, 0.0) + chance
        return rows

    def arrivals(self) -> Iterator[tuple[tuple[int, ...], float]]:
        """Yield the start digits of each task, finding hidden or reported, and their probability."""
        name = self.declaration.finding
        for task, chance in zip(self.drawn.tasks, self.drawn.task_probability, strict=True):
            if name is None:
                yield task, float(chance)
                continue
            yield task, float(chance) * (1.0 - self.declaration.reported)
            where = self.position[name]
            for label, share in enumerate(self.frequency(task)):
                if share > 0:
                    reported = (*task[:where], label, *task[where + 1 :])
                    yield reported, float(chance * share) * self.declaration.reported

    def with_budget_of(self, digits: tuple[int, ...], task: tuple[int, ...]) -> tuple[int, ...]:
        """Return the start digits of a task taken on with the budget left in ``digits``."""
        if self.declaration.budget is None:
            return task
        where = self.position[self.declaration.budget]
        return (*task[:where], digits[where], *task[where + 1 :])

    def budget_moves(self, digits: tuple[int, ...], drop: float) -> tuple[float, Moves]:
        """Return the chance that the budget runs out now, and its moves otherwise (their sum is the rest)."""
        name = self.declaration.budget
        if name is None or digits[self.position[name]] == 0:
            return drop, [(1.0 - drop, 0)]
        return 0.0, [(1.0 - drop, 0), (drop, -self.stride[name])]

    def finding_moves(
        self, digits: tuple[int, ...], action: int, step: Step, gain: float, score: float
    ) -> Moves:
        """Return the moves of the finding: a look or the work shows it, a good result deals with it."""
        name = self.declaration.finding
        if name is None:
            return [(1.0, 0)]
        now, stride = digits[self.position[name]], self.stride[name]
        is_open = now == 0 or self.labels[name][now] in self.declaration.unclear
        if now == 0 or (step.looks > 0 and is_open):
            looked = float(np.clip(self.drawn.look[action] + score, 0.05, 0.95))
            chance = looked if step.looks > 0 else self.declaration.noticed
            shown = enumerate(self.frequency(digits))
            return [(1.0 - chance, 0), *((chance * p, (label - now) * stride) for label, p in shown)]
        if step.looks > 0:
            return [(1.0, 0)]
        settled = step.settles * gain
        return [(1.0 - settled, 0), (settled, -now * stride)]

    def progress_moves(self, digits: tuple[int, ...], gain: float) -> Moves:
        """Return the moves of the progress feature: one label along its path, in proportion to the gain."""
        progress = self.declaration.progress
        if progress is None:
            return [(1.0, 0)]
        known = self.labels[progress.feature]
        now = digits[self.position[progress.feature]]
        place = progress.path.index(known[now])
        if place + 1 == len(progress.path):
            return [(1.0, 0)]
        change = (known.index(progress.path[place + 1]) - now) * self.stride[progress.feature]
        return [(1.0 - progress.rate * gain, 0), (progress.rate * gain, change)]

    def result_moves(self, digits: tuple[int, ...], gain: float) -> Moves:
        """Return the moves of the outcome feature: the better the result, the higher the label shown."""
        outcome = self.declaration.outcome
        if outcome is None:
            return [(1.0, 0)]
        known, stride = self.labels[outcome.feature], self.stride[outcome.feature]
        now, levels = digits[self.position[outcome.feature]], len(outcome.levels)
        distance = np.abs(np.arange(levels) / max(levels - 1, 1) - min(1.0, 1.5 * gain))
        chance = np.clip(1.0 - 2.0 * distance, 0.02, None)
        chance /= chance.sum()
        return [
            (float(p), (known.index(label) - now) * stride)
            for label, p in zip(outcome.levels, chance, strict=True)
        ]
