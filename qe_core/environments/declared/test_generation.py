"""The world of test generation: a project session of short slices, module after module.

What belongs here: what a slice of each strategy brings, and when to move on. What does not: the recorded
outcomes of real generators, which the pilot learns from first of all (`qe_core.environments.recorded`).

Declared over the features every core-testing agent has and the budget. The agent's other features are
measured on real modules; here they are given by the task. The agent looks one slice ahead (its own discount
is 0), so the optimum here is the best next slice.
"""

from qe_core.environments.declarations import Outcome, Progress, Step, WorldDeclaration
from qe_core.fleet.test_generation import TEST_GENERATOR

EXHAUSTED = {"track_record=failing": -0.60, "track_record=mixed": -0.10}
"""After slices that gained nothing, more of the same brings little."""

TEST_GENERATOR_WORLD = WorldDeclaration(
    contract=TEST_GENERATOR,
    progress=Progress(
        feature="coverage_gap", path=("wide", "moderate", "narrow"), remaining=(1.0, 0.75, 0.35), rate=0.4
    ),
    outcome=Outcome(feature="track_record", levels=("failing", "mixed", "healthy"), start="healthy"),
    spending=0.6,
    typical_tasks=8,
    steps={
        "literals": Step(cost=0.8, effect=0.10, pays={**EXHAUSTED, "coverage_gap=wide": 0.20}),
        "edge-values": Step(cost=0.8, effect=0.0, pays={**EXHAUSTED, "size=small": 0.50}),
        "doctests": Step(cost=0.9, effect=0.0, pays={**EXHAUSTED, "size=medium": 0.50}),
        "neighbour-tests": Step(cost=0.9, effect=0.0, pays={**EXHAUSTED, "risk=low": 0.35}),
        "ghostwriter": Step(cost=1.0, effect=0.0, pays={"track_record=failing": 0.20}),
        "dynamosa": Step(cost=1.2, effect=0.0, pays={**EXHAUSTED, "size=large": 0.60}),
        "mio": Step(cost=1.2, effect=0.0, pays={"coverage_gap=narrow": 0.30, "risk=high": 0.35}),
        "move-on": Step(cost=1.0, moves_on=True),
    },
)
"""The family of simulated project sessions."""
