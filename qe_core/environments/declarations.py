"""Declarations of simulated worlds: what an agent's actions do, in words a domain expert can check.

What belongs here: the vocabulary in which a family of worlds is declared, and its checks against the
agent's contract. What does not: the declarations of the built-in agents (`declared`) and drawing one world
from a family (`drawing`). A user declares a world for an agent of their own with the same classes and
registers it under the entry point group ``qe_fleet.worlds``.

The model behind a declaration. A task has features that stay (size, risk, …) and features that move with
the agent's steps:

- ``finding``: what is wrong, hidden until looked for. Its first label means "not known"; a hidden finding
  is one of the others with frequencies that depend on the task. Looking costs time and gains nothing by
  itself; treating gains much where it fits the finding and little or a loss where it does not.
- ``progress``: an ordered feature that effective work moves towards its last label; what remains to be
  gained shrinks on the way.
- ``outcome``: an ordered feature that shows how well the last step went.
- ``budget``: what is left; each step uses it up in proportion to its cost, and the episode ends with it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from qe_core.errors import ContractError, nearest
from qe_core.fleet.contract import AgentContract


@dataclass(frozen=True, slots=True)
class Step:
    """What one action does.

    Attributes:
        cost: actual over expected time and money, > 0; a look at the task is extra work, so above 1.
        effect: the normalised result in [-1, 1] where nothing else is declared.
        fits: the result by finding, in [-1, 1], for the findings it fits better or worse than ``effect``.
        pays: what a label adds to the result, or to the chance of a look, as ``feature=label``.
        looks: the chance that a hidden finding becomes known, in [0, 1]; above 0 makes the step a look.
        settles: the chance that a result of 1 deals with the finding, so that the next one is hidden again.
        ends: whether the episode is over afterwards, as after a verdict.
        moves_on: whether the work goes on with another task under the same budget, as after each of a series
            of verdicts; without ``fits`` it is mere moving on and has no result.
        gains: the reward terms a good result counts for; all that measure a result where left empty.
        losses: the same for a bad result.
    """

    cost: float
    effect: float = 0.0
    fits: Mapping[str, float] = field(default_factory=dict, hash=False)
    pays: Mapping[str, float] = field(default_factory=dict, hash=False)
    looks: float = 0.0
    settles: float = 0.6
    ends: bool = False
    moves_on: bool = False
    gains: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """A feature that effective work moves.

    Attributes:
        path: its labels in the order it moves; work starts at any of them.
        remaining: for each label the share of a result that can still be gained, in [0, 1].
        rate: the chance of one step along the path for a result of 1, in [0, 1].
    """

    feature: str
    path: tuple[str, ...]
    remaining: tuple[float, ...]
    rate: float = 0.5


@dataclass(frozen=True, slots=True)
class Outcome:
    """A feature that shows how well the last step went.

    Attributes:
        levels: its labels from a poor result to a good one.
        start: its label before the first step.
    """

    feature: str
    levels: tuple[str, ...]
    start: str


@dataclass(frozen=True, slots=True)
class WorldDeclaration:
    """A family of worlds for one agent; a seed draws one of them.

    Attributes:
        contract: whose world it is.
        steps: what each of the agent's actions does, by the action's name.
        finding: the feature that is hidden at first, or None.
        frequencies: how often each finding occurs, by its label, before the task's features lean on it.
        leans: factors on the frequencies by label of a task's feature, as ``feature=label``.
        reported: the share of tasks that arrive with their finding known, in [0, 1].
        noticed: the chance that work on a hidden finding shows it, in [0, 1].
        unclear: findings that may be looked at again, beside the hidden one.
        progress: the feature that work moves, or None.
        outcome: the feature that shows how the last step went, or None.
        budget: the feature that runs out, labels rising, or None where the agent does not see it.
        spending: the chance that a step of cost 1 lowers the budget by one label, in (0, 1]; without a budget
            feature, that it ends the episode.
        noise_points: standard deviation of one reward, points.
        typical_tasks: how many kinds of task occur at all.
        skew: exponent of their zipf-like frequencies, ≥ 0.
    """

    contract: AgentContract
    steps: Mapping[str, Step] = field(hash=False)
    finding: str | None = None
    frequencies: Mapping[str, float] = field(default_factory=dict, hash=False)
    leans: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    reported: float = 0.5
    noticed: float = 0.2
    unclear: tuple[str, ...] = ()
    progress: Progress | None = None
    outcome: Outcome | None = None
    budget: str | None = "budget"
    spending: float = 1.0
    noise_points: float = 5.0
    typical_tasks: int = 4
    skew: float = 1.0

    def __post_init__(self) -> None:
        labels = {feature.name: feature.labels for feature in self.contract.state_model.features()}
        self._require_names("action", self.steps, self.contract.action_names)
        missing = set(self.contract.action_names) - set(self.steps)
        self._require(not missing, f"no step declared for {sorted(missing)}")
        for feature in self.moving_features:
            self._require_names("feature", [feature], tuple(labels))
        if self.finding is not None:
            known = labels[self.finding][1:]
            self._require_names("finding", self.frequencies, known)
            self._require(set(self.frequencies) == set(known), f"frequencies are needed for each of {known}")
            self._require_names("finding", self.unclear, known)
        if self.progress is not None:
            path, whole = self.progress.path, labels[self.progress.feature]
            self._require(sorted(path) == sorted(whole), f"the path {path} must order all of {whole}")
            self._require(
                len(self.progress.remaining) == len(path), "one remaining share per label is needed"
            )
        if self.outcome is not None:
            shown = (*self.outcome.levels, self.outcome.start)
            self._require_names("label of the outcome", shown, labels[self.outcome.feature])
        for name, step in self.steps.items():
            self._check_step(name, step, labels)
        for condition in self.leans:
            self._check_condition("leans", condition, labels)
        self._require(
            self.typical_tasks >= 1 and self.skew >= 0, "at least one task, and a skew of 0 or more"
        )
        self._require(
            self.noise_points >= 0 and 0 < self.spending <= 1, "noise must be 0 or more, spending in (0, 1]"
        )
        self._require(
            0 <= self.reported <= 1 and 0 <= self.noticed <= 1, "reported and noticed must lie in [0, 1]"
        )

    @property
    def moving_features(self) -> tuple[str, ...]:
        """The features that the agent's steps change; all others are given by the task."""
        named = (
            self.finding,
            None if self.progress is None else self.progress.feature,
            None if self.outcome is None else self.outcome.feature,
            self.budget,
        )
        return tuple(name for name in named if name is not None)

    @property
    def steps_in_order(self) -> tuple[Step, ...]:
        """One step per action, in column order of the agent's Q-table."""
        return tuple(self.steps[name] for name in self.contract.action_names)

    def _check_step(self, name: str, step: Step, labels: Mapping[str, tuple[str, ...]]) -> None:
        known = labels[self.finding][1:] if self.finding is not None else ()
        self._require_names("finding", step.fits, known)
        self._require(step.cost > 0, f"action {name!r} needs a cost above 0, not {step.cost}")
        results = (step.effect, *step.fits.values())
        self._require(
            all(-1 <= result <= 1 for result in results), f"results of {name!r} must lie in [-1, 1]"
        )
        self._require(
            0 <= step.looks <= 1 and 0 <= step.settles <= 1, f"chances of {name!r} must lie in [0, 1]"
        )
        self._require(step.looks == 0 or self.finding is not None, f"{name!r} looks, but nothing is hidden")
        terms = tuple(self.contract.reward.weights)
        self._require_names("reward term", (*step.gains, *step.losses), terms)
        for condition in step.pays:
            self._check_condition(name, condition, labels)

    def _check_condition(self, where: str, condition: str, labels: Mapping[str, tuple[str, ...]]) -> None:
        feature, _, label = condition.partition("=")
        self._require_names("feature", [feature], tuple(labels))
        self._require(
            label in labels[feature],
            f"{where}: {condition!r} names no label of {feature}: {nearest(label, labels[feature])}",
        )

    def _require_names(
        self, kind: str, names: Mapping[str, object] | tuple[str, ...] | list[str], known: tuple[str, ...]
    ) -> None:
        for name in names:
            self._require(name in known, f"{name!r} is no {kind} of the contract: {nearest(name, known)}")

    def _require(self, condition: bool, problem: str) -> None:
        if not condition:
            raise ContractError(f"world of {self.contract.name!r}: {problem}")
