"""Drawing one world from a declared family: effect sizes, costs, frequencies and tasks, by a seed.

What belongs here: what differs between the worlds of a family. What does not: the declarations, and
building the transition and reward arrays from what was drawn (`building`).

A world seed stands for a company. What suits which approach there (`AFFINITIES`, perturbed) is the same
for all agents, which is what category and fleet tables can learn; everything else is drawn per agent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product

import numpy as np

from qe_core.environments.declarations import WorldDeclaration
from qe_core.fleet.vocabulary import Approach
from qe_core.learning.arrays import Float64Array

AFFINITIES: Mapping[Approach, Mapping[str, float]] = {
    Approach.QUICK: {
        "size=small": 0.12,
        "size=large": -0.12,
        "track_record=healthy": 0.06,
        "risk=high": -0.08,
    },
    Approach.THOROUGH: {"size=small": -0.12, "size=large": 0.10, "risk=high": 0.12, "risk=low": -0.06},
    Approach.TARGETED: {"track_record=mixed": 0.10, "size=large": 0.06},
    Approach.EXPLORATORY: {"track_record=failing": 0.12, "track_record=healthy": -0.10},
    Approach.REUSE: {"track_record=healthy": 0.14, "track_record=failing": -0.16},
    Approach.GUARDED: {"risk=high": 0.14, "risk=low": -0.12, "track_record=failing": 0.06},
}
"""What a label of the fleet context adds to results of an approach, before a world perturbs it."""

AFFINITY_SPREAD = 0.35
EFFECT_SPREAD = 0.08
PAYOFF_SPREAD = 0.30
LABEL_SPREAD = 0.05
INTERACTION_SPREAD = 0.12
COST_SPREAD = 0.12
FREQUENCY_CONCENTRATION = 16.0
TASK_CONCENTRATION = 5.0


Labels = Mapping[str, tuple[str, ...]]
"""The labels of each feature, by its name, in digit order."""


@dataclass(frozen=True, slots=True)
class DrawnWorld:
    """The numbers of one world, still in terms of features.

    Attributes:
        score: what a task's label adds to each action's result, by feature, float64[labels, A].
        interaction: what a combination of the task's features adds, by its digits.
        result: the normalised result by finding and action, float64[findings, A].
        frequency: of each finding, by the digits of the task's features, float64[findings], sums to 1.
        cost: actual over expected, float64[A].
        look: the chance that an action's look succeeds, float64[A]; 0 for actions that do not look.
        spending: the chance that a step of cost 1 lowers the budget.
        noise_points: standard deviation of a reward, by action, float64[A].
        tasks: start digits of each typical task, in feature order.
        task_probability: float64[tasks].
    """

    score: Mapping[str, Float64Array]
    interaction: Mapping[tuple[int, ...], Float64Array]
    result: Float64Array
    frequency: Mapping[tuple[int, ...], Float64Array]
    cost: Float64Array
    look: Float64Array
    spending: float
    noise_points: Float64Array
    tasks: tuple[tuple[int, ...], ...]
    task_probability: Float64Array


def task_features(declaration: WorldDeclaration) -> tuple[str, ...]:
    """Return the features that stay during an episode, in digit order."""
    moving = declaration.moving_features
    names = (feature.name for feature in declaration.contract.state_model.features())
    return tuple(name for name in names if name not in moving)


def draw(declaration: WorldDeclaration, world_seed: int) -> DrawnWorld:
    """Return the world with this seed; the same seed gives the same bits.

    Args:
        declaration: the family.
        world_seed: 0 or more.
    """
    contract = declaration.contract
    own = int.from_bytes(blake2b(contract.name.encode(), digest_size=4).digest())
    fleet_rng, rng = np.random.default_rng([world_seed, 0]), np.random.default_rng([world_seed, 1, own])
    steps = [declaration.steps[name] for name in contract.action_names]
    action_count = len(steps)
    labels = {feature.name: feature.labels for feature in contract.state_model.features()}
    fixed = task_features(declaration)

    combinations = list(product(*(range(len(labels[name])) for name in fixed)))
    spread = INTERACTION_SPREAD * rng.standard_normal((len(combinations), action_count))
    looks = np.array([step.looks for step in steps])
    tasks, chances = _draw_tasks(declaration, labels, rng)
    return DrawnWorld(
        score=_draw_scores(declaration, labels, fleet_rng, rng),
        interaction=dict(zip(combinations, spread, strict=True)),
        result=_draw_results(declaration, labels, rng),
        frequency=_draw_frequencies(declaration, labels, combinations, rng),
        cost=np.array([step.cost for step in steps])
        * np.exp(COST_SPREAD * rng.standard_normal(action_count)),
        look=np.where(looks > 0, looks + EFFECT_SPREAD * rng.standard_normal(action_count), 0.0),
        spending=declaration.spending * rng.uniform(0.9, 1.1),
        noise_points=declaration.noise_points * rng.uniform(0.8, 1.2, action_count),
        tasks=tasks,
        task_probability=chances,
    )


def _affinities(fleet_rng: np.random.Generator) -> dict[Approach, dict[str, float]]:
    """Return the affinities of one world seed: the same for every agent."""
    return {
        approach: {
            condition: base * float(np.exp(AFFINITY_SPREAD * fleet_rng.standard_normal()))
            for condition, base in conditions.items()
        }
        for approach, conditions in AFFINITIES.items()
    }


def _draw_scores(
    declaration: WorldDeclaration, labels: Labels, fleet_rng: np.random.Generator, rng: np.random.Generator
) -> dict[str, Float64Array]:
    contract = declaration.contract
    affinities = _affinities(fleet_rng)
    score = {name: LABEL_SPREAD * rng.standard_normal((len(known), contract.action_count))
             for name, known in labels.items()}  # fmt: skip
    progress = None if declaration.progress is None else declaration.progress.feature
    for name in declaration.moving_features:
        if name != progress:
            score[name][:] = 0.0
    for column, (action, step) in enumerate(zip(contract.actions, declaration.steps_in_order, strict=True)):
        for condition, base in affinities[contract.approaches[action]].items():
            feature, _, label = condition.partition("=")
            score[feature][labels[feature].index(label), column] += base
        for condition, base in step.pays.items():
            feature, _, label = condition.partition("=")
            factor = float(np.exp(PAYOFF_SPREAD * rng.standard_normal()))
            score[feature][labels[feature].index(label), column] += base * factor
    return score


def _draw_results(declaration: WorldDeclaration, labels: Labels, rng: np.random.Generator) -> Float64Array:
    findings = ("",) if declaration.finding is None else labels[declaration.finding]
    base = np.array(
        [[step.fits.get(finding, step.effect) for step in declaration.steps_in_order] for finding in findings]
    )
    return base + EFFECT_SPREAD * rng.standard_normal(base.shape)


def _draw_frequencies(
    declaration: WorldDeclaration,
    labels: Labels,
    combinations: list[tuple[int, ...]],
    rng: np.random.Generator,
) -> dict[tuple[int, ...], Float64Array]:
    if declaration.finding is None:
        return dict.fromkeys(combinations, np.ones(1))
    known = labels[declaration.finding][1:]
    base = np.array([declaration.frequencies[label] for label in known])
    drawn = {}
    for digits in combinations:
        factors = np.ones(len(known))
        for name, digit in zip(task_features(declaration), digits, strict=True):
            lean = declaration.leans.get(f"{name}={labels[name][digit]}", {})
            factors *= [lean.get(label, 1.0) for label in known]
        mean = base * factors / (base @ factors)
        weights = rng.standard_gamma(FREQUENCY_CONCENTRATION * mean) + 1e-3
        drawn[digits] = np.concatenate([[0.0], weights / weights.sum()])
    return drawn


def _draw_tasks(
    declaration: WorldDeclaration, labels: Labels, rng: np.random.Generator
) -> tuple[tuple[tuple[int, ...], ...], Float64Array]:
    """Return start digits of the typical tasks and their probabilities, most frequent first."""
    progress = None if declaration.progress is None else declaration.progress.feature
    choices, marginals = [], []
    for name, known in labels.items():
        if name in declaration.moving_features and name != progress:
            choices.append([_start_digit(declaration, name, known)])
            marginals.append(np.ones(1))
        else:
            choices.append(list(range(len(known))))
            weights = rng.standard_gamma(TASK_CONCENTRATION, len(known))
            marginals.append(weights / weights.sum())
    candidates = list(product(*choices))
    weight = np.array([np.prod(combination) for combination in product(*marginals)])
    count = min(declaration.typical_tasks, len(candidates))
    chosen = rng.choice(len(candidates), size=count, replace=False, p=weight / weight.sum())
    chance = 1.0 / np.arange(1, count + 1) ** declaration.skew
    return tuple(candidates[index] for index in chosen), chance / chance.sum()


def _start_digit(declaration: WorldDeclaration, name: str, known: tuple[str, ...]) -> int:
    """Return where a moving feature starts: the budget full, the outcome as declared, the finding hidden."""
    if name == declaration.budget:
        return len(known) - 1
    if declaration.outcome is not None and name == declaration.outcome.feature:
        return known.index(declaration.outcome.start)
    return 0
