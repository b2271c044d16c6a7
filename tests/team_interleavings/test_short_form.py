"""The short form of the interleavings, for every run of the tests; the long one is a command of its own."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from qe_core.store.server import EmbeddedServer
from tests.team_interleavings.machine import machine

SHORT = settings(
    max_examples=3,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def test_whatever_happens_everybody_ends_with_the_same_knowledge_and_nothing_counts_twice(
    postgres_server: EmbeddedServer,
) -> None:
    run_state_machine_as_test(machine(postgres_server), settings=SHORT)
