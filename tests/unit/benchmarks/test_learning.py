"""The learning benchmarks' checks find planted faults: wrong tables, biased sampling, a missed optimum."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import learning_replay, learning_sampling, learning_solve
from benchmarks.harness import ResultsDifferError
from benchmarks.learning_world import DISCOUNT, ROWS_DRAWN, World
from benchmarks.place import Place
from qe_core.learning.empirical_mdp import EmpiricalMdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import train_on_log

LOG = World(30, 4).log(2_000)


@pytest.fixture
def place(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.place.file_system_of", lambda _path: "ext4")
    with Place(is_quick=True, parent=tmp_path) as opened:
        yield opened


def test_a_world_is_the_same_in_batches_of_any_length():
    world = World(30, 4)
    batches = list(world.batches(ROWS_DRAWN + 10))
    assert [len(batch) for batch in batches] == [ROWS_DRAWN, 10]
    assert np.array_equal(Transitions.concatenate(batches).reward, world.log(ROWS_DRAWN + 10).reward)
    assert not np.array_equal(World(30, 4, seed=8).log(10).reward, LOG.reward[:10])


@pytest.mark.parametrize("loop", [learning_replay.plain_loop, learning_replay.tuned_loop])
def test_loops_learn_the_same_bits_as_the_product(loop):
    empty = QTable.zeros(30, 4)
    ours = train_on_log(empty, LOG, DISCOUNT, learning_replay.RATE).table
    learning_replay.same_table("tables", loop(LOG, empty), ours)


@pytest.mark.parametrize("column", learning_replay.TABLE_COLUMNS)
def test_one_bit_of_difference_between_tables_is_found(column):
    table = QTable.zeros(3, 2)
    other = getattr(table, column).copy()
    other[1, 1] += 1
    with pytest.raises(ResultsDifferError, match=f"tables differ in {column}"):
        learning_replay.same_table("tables", table, replace(table, **{column: other}))


def test_the_optimum_by_another_road_is_that_of_the_product(monkeypatch):
    monkeypatch.setattr(learning_solve, "STATES", 30)
    monkeypatch.setattr(learning_solve, "ACTIONS", 4)
    for rows in (2_000, 40):
        log = LOG.slice(0, rows)
        solution = solve_empirical_mdp(EmpiricalMdp.from_transitions(log, 30, 4), DISCOUNT)
        truth = learning_solve.optimum(log)
        is_visited = np.isfinite(truth)
        assert is_visited.sum() == len(np.unique(log.state * 4 + log.action))
        np.testing.assert_allclose(solution.q[is_visited], truth[is_visited], atol=1e-8)


def test_sampling_in_proportion_passes_and_a_bias_of_five_percent_does_not():
    generator = np.random.default_rng(0)
    shares = generator.random(500)
    shares /= shares.sum()
    rows = generator.choice(500, 60_000, p=shares)
    assert learning_sampling.chance({"rows": rows}, shares) > learning_sampling.ERROR_RATE
    biased = shares * np.where(np.arange(500) < 250, 1.05, 0.95)
    rows = generator.choice(500, 60_000, p=biased / biased.sum())
    assert learning_sampling.chance({"rows": rows}, shares) < learning_sampling.ERROR_RATE


class Faulty(learning_sampling.Ours):
    """A buffer with a planted fault."""

    fault = ""

    def draw(self):
        """Return a batch with the fault in it."""
        rows, importance, columns = super().draw()
        match self.fault:
            case "another row":
                columns["reward"] = columns["reward"][::-1]
            case "uniform weights":
                importance = np.ones_like(importance)
        return rows, importance, columns


@pytest.mark.parametrize(
    ("fault", "message"),
    [("another row", "column reward is not that"), ("uniform weights", "importance weights are not")],
)
def test_wrong_gathering_and_wrong_weights_are_found(monkeypatch, fault, message):
    monkeypatch.setattr(learning_sampling, "STATES", 30)
    monkeypatch.setattr(learning_sampling, "ACTIONS", 4)
    errors = np.random.default_rng(0).random(len(LOG))
    buffer = Faulty(LOG)
    assert len(learning_sampling.probe(buffer, LOG, errors, 5)["rows"]) == 5 * learning_sampling.BATCH
    buffer.fault = fault
    with pytest.raises(ResultsDifferError, match=message):
        learning_sampling.probe(buffer, LOG, errors, 5)


def test_a_solution_that_is_not_the_optimum_and_replay_that_did_not_learn_are_refused(place, monkeypatch):
    monkeypatch.setattr(learning_solve, "STATES", 60)
    with learning_solve.prepare(place) as running:
        found = {name: measure().result for name, measure in running.run.items()}
        running.check(found)
        missed = {**found["ours"], "largest_distance_points": 1e-3}
        with pytest.raises(ResultsDifferError, match="not the optimum"):
            running.check({**found, "ours": missed})
        idle = {**found["epochs"], "mean_distance_points": 1e3}
        with pytest.raises(ResultsDifferError, match="replay came from"):
            running.check({**found, "epochs": idle})


def test_another_order_of_the_same_updates_is_found(place):
    with learning_replay.prepare_compose(place) as running:
        found = {name: measure().result for name, measure in running.run.items()}
        running.check(found)
        found["numpy"]["offset"] = found["numpy"]["offset"][::-1]
        with pytest.raises(ResultsDifferError, match="composed updates differ in offset"):
            running.check(found)


def test_compiled_replay_is_far_faster_than_a_loop_and_the_same(place):
    # Several hundred times on a quiet machine; twenty fails only where the loop was not compiled.
    with learning_replay.prepare_replay(place, 300, 6) as running:
        for _ in range(2):
            taken = {name: measure() for name, measure in running.run.items()}
        running.check({name: measurement.result for name, measurement in taken.items()})
        rates = {name: measurement.values["updates_per_second"] for name, measurement in taken.items()}
        assert rates["ours"] > 20 * rates["numpy loop"]
        other = {name: measurement.result for name, measurement in taken.items()}
        other["tuned loop"] = QTable.zeros(300, 6)
        with pytest.raises(ResultsDifferError, match="tables of ours and tuned loop differ in q"):
            running.check(other)
