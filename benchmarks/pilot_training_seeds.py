"""How much of the pilot's result is the luck of one training: several trainings, measured on held-out code.

What belongs here: one command and one table. What does not: training and comparing themselves
(`qe_core.environments.recorded`). Run it as ``python benchmarks/pilot_training_seeds.py [SEEDS]``.
"""

import sys

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from qe_core.environments.recorded import Recordings, evaluate_pilot, policy_from, train_pilot
from qe_core.environments.recorded.evaluation import LEARNED
from qe_core.fleet import registry
from qe_core.learning.empirical_mdp import q_table_from_transitions

REPETITIONS = (0, 1, 2)


def main(seeds: int) -> None:
    """Print mean and range of the learned policy's lead over the strongest simple rule and over random."""
    recordings = Recordings.load()
    contract = registry().get("test-generator")
    leads: dict[float, list[tuple[float, float]]] = {}
    for seed in track(range(1, seeds + 1), "trainings"):
        log = train_pilot(recordings, np.random.default_rng(seed))
        table = q_table_from_transitions(
            log.transitions, contract.state_count, contract.action_count, contract.discount_or(0.95)
        )
        comparison = evaluate_pilot(recordings, policy_from(table), repetitions=REPETITIONS)
        for budget in comparison.strongest_rule:
            row = comparison.row(LEARNED, budget)
            leads.setdefault(budget, []).append((row.relative, row.over_random))
    table_of_leads = Table("s a module", "over rule", "range", "over random", "range")
    for budget, pairs in sorted(leads.items()):
        cells = []
        for values in zip(*pairs, strict=True):
            cells += [f"{np.mean(values):+.1%}", f"{min(values):+.1%} … {max(values):+.1%}"]
        table_of_leads.add_row(f"{budget:g}", *cells)
    Console().print(table_of_leads)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
