"""Wrong weights and a wrong contract: caught by their guard, and by nothing else once it is switched off."""

import asyncio
from collections.abc import Callable

import dagster as dg
import numpy as np
import pytest

from qe_core.errors import FingerprintMismatchError
from qe_core.fleet import Category, registry
from qe_core.hierarchy.aggregate import aggregate
from qe_core.learning.arrays import Float64Array
from qe_core.store import Store
from tests.pipelines.conftest import run_sql

AGENT = "quality-gate"
CATEGORY = Category.CORE_TESTING

WRONG_WEIGHT = (
    "UPDATE q_values SET weights[1] = weights[1] + 0.5 WHERE q_table_id = "
    "(SELECT q_table_id FROM q_tables WHERE is_current AND name = {name})"
)
WRONG_CONTRACT = "UPDATE q_tables SET fingerprint = 'before' WHERE name = 'quality-gate'"

Failed = Callable[[], set[str]]


@pytest.fixture
def failed(learned_url: str, definitions: dg.Definitions) -> Failed:
    """Return the names of the checks of tables that fail now."""
    from qe_core.config import load_settings
    from qe_pipelines.defs.q_tables import checks
    from qe_pipelines.resources import FleetDatabase

    async def judged() -> set[str]:
        database, values = FleetDatabase(), load_settings().values
        results = [
            *await checks.judged_agents(database, values),
            *await checks.judged_fleet(database, values),
        ]
        names = {str(result.check_name) for result in results if not result.passed}
        if not (await checks.judged_category(database, values, CATEGORY)).passed:
            names.add("category adds_up")
        return names

    return lambda: asyncio.run(judged())


GUARDS = {
    "an agent's weight that is not its evidence": (
        WRONG_WEIGHT.format(name="'quality-gate'"),
        "weights_follow_evidence",
        ("weight_faults",),
    ),
    "a category's weight that is not its agents'": (
        WRONG_WEIGHT.format(name="'core-testing'"),
        "category adds_up",
        ("aggregation_faults",),
    ),
    "a table learned under another contract": (
        WRONG_CONTRACT,
        "contract_fingerprint",
        ("fingerprint_faults",),
    ),
}


@pytest.mark.parametrize("fault", GUARDS)
def test_a_planted_fault_is_caught_and_passes_once_its_guard_is_off(
    fault: str, learned_url: str, failed: Failed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qe_pipelines.defs.q_tables import checks

    statement, check, guards = GUARDS[fault]
    assert failed() == set()
    run_sql(learned_url, statement)
    assert check in failed()
    for guard in guards:
        monkeypatch.setattr(checks, guard, lambda *_: [])
    assert check not in failed()


def test_wrong_category_weights_would_change_the_values_of_the_fleet(learned_url: str) -> None:
    from qe_core.runtime.table_declarations import fleet_table
    from qe_pipelines.tables import fleet_parts

    async def built() -> Float64Array:
        async with Store.connect(learned_url) as store:
            return aggregate((await fleet_parts(store)).parts, fleet_table().state_count).table.q

    right = asyncio.run(built())
    run_sql(learned_url, WRONG_WEIGHT.format(name="'core-testing'"))
    assert not np.array_equal(asyncio.run(built()), right)


def test_nothing_reads_a_table_of_another_contract(learned_url: str) -> None:
    contract = registry().get(AGENT)

    async def load() -> None:
        async with Store.connect(learned_url) as store:
            await store.q_tables.load("individual", contract.name, contract.fingerprint)

    asyncio.run(load())
    run_sql(learned_url, WRONG_CONTRACT)
    with pytest.raises(FingerprintMismatchError, match="before"):
        asyncio.run(load())
