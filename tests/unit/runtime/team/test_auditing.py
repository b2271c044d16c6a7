"""The audit names what ledger and releases do not agree about."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from qe_core.privacy.accounting import epsilon_of
from qe_core.runtime.team.auditing import audited_releases, budget_faults, payment_faults
from qe_core.store.team import LedgerEntry, ReleaseRecord
from tests.unit.store.central.releases import header

NOW = datetime(2026, 3, 1, tzinfo=UTC)
RELEASES = [
    ReleaseRecord(
        header=header(UUID(int=number)),
        made_at=NOW,
        delivery_began_at=sent_at,
        sent_at=sent_at,
        withdrawn_at=None,
        withdrawn_because=None,
    )
    for number, sent_at in enumerate((NOW, None), start=1)
]
COST = RELEASES[0].header.nano_rho
LEDGER = [
    LedgerEntry(number, release.header.release_id, COST, number * COST, 5 * COST, NOW)
    for number, release in enumerate(RELEASES, start=1)
]


def test_a_ledger_that_adds_up_has_no_fault_and_each_release_its_price() -> None:
    assert [*budget_faults(LEDGER, 2 * COST), *payment_faults(RELEASES, LEDGER)] == []
    first, second = audited_releases(RELEASES, LEDGER, 1e-6)
    assert (first.state, second.state) == ("sent 2026-03-01 00:00:00", "pending")
    assert second.spent_epsilon == epsilon_of(2 * COST, 1e-6)


def test_a_withdrawn_release_says_why() -> None:
    withdrawn = replace(RELEASES[0], sent_at=None, withdrawn_at=NOW, withdrawn_because="ann opted out")
    [line] = audited_releases([withdrawn], LEDGER, 1e-6)
    assert line.state == "withdrawn: ann opted out"


@pytest.mark.parametrize(
    ("releases", "entries", "spent", "fault"),
    [
        (RELEASES, LEDGER[:1], COST, f"release {RELEASES[1].header.release_id} was never paid for"),
        (RELEASES[:1], LEDGER, 2 * COST, "is not in the log of releases"),
        (RELEASES[:1], [LEDGER[0], LEDGER[0]], 2 * COST, "paid for twice"),
        (RELEASES, LEDGER[1:], COST, "debit 1 is missing"),
        (RELEASES, LEDGER, COST, "are said to be spent"),
        (RELEASES, [replace(LEDGER[0], spent_nano_rho=1), LEDGER[1]], 2 * COST, "debits add up to"),
        (
            RELEASES,
            [replace(LEDGER[0], lifetime_nano_rho=1), LEDGER[1]],
            2 * COST,
            "beyond the lifetime budget",
        ),
        (RELEASES, [replace(LEDGER[0], nano_rho=1), LEDGER[1]], 2 * COST, "was paid for with 1"),
    ],
)
def test_every_contradiction_is_a_fault(
    releases: list[ReleaseRecord], entries: list[LedgerEntry], spent: int, fault: str
) -> None:
    faults = "; ".join((*budget_faults(entries, spent), *payment_faults(releases, entries)))
    assert fault in faults
