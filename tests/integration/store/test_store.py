"""Opening a store."""

from qe_core.store import Store


async def test_a_fresh_store_knows_no_agent(store: Store) -> None:
    assert await store.status() == []
