"""Whether the ledger of privacy and the releases tell the same story.

What belongs here: the comparison, as a function of both. What does not: reading them (`qe_core.store.team`)
and enforcing the budget, which the database does itself.
"""

from collections.abc import Iterator, Sequence

from qe_core.privacy.accounting import epsilon_of
from qe_core.runtime.team.reports import AuditedRelease
from qe_core.store.team import LedgerEntry, ReleaseRecord


def audited_releases(
    releases: Sequence[ReleaseRecord], entries: Sequence[LedgerEntry], privacy_delta: float
) -> tuple[AuditedRelease, ...]:
    """Return each release with its price and what became of it.

    Args:
        releases: all, the oldest first.
        entries: the ledger, the oldest first.
        privacy_delta: at which losses are told as ε.
    """
    spent = {entry.release_id: entry.spent_nano_rho for entry in entries}
    return tuple(
        AuditedRelease(
            release.header.release_id,
            release.made_at,
            release.header.nano_rho,
            epsilon_of(spent.get(release.header.release_id, 0), privacy_delta),
            release_state(release),
        )
        for release in releases
    )


def budget_faults(entries: Sequence[LedgerEntry], spent_nano_rho: int) -> Iterator[str]:
    """Yield in what the sums of the ledger are wrong; nothing if they add up and kept their limits.

    Args:
        entries: the ledger, the oldest first.
        spent_nano_rho: the sum as the database tells it.
    """
    total = 0
    for number, entry in enumerate(entries, start=1):
        total += entry.nano_rho
        if entry.entry_number != number:
            yield f"debit {number} is missing from the ledger; release nothing, restore a backup"
        if entry.spent_nano_rho != total:
            yield f"debit {number} says {entry.spent_nano_rho} nano-ρ are spent, but debits add up to {total}"
        if entry.left_nano_rho < 0:
            yield f"debit {number} is {-entry.left_nano_rho} nano-ρ beyond the lifetime budget; stop sharing"
    if total != spent_nano_rho:
        yield f"the ledger adds up to {total} nano-ρ, {spent_nano_rho} are said to be spent"


def payment_faults(releases: Sequence[ReleaseRecord], entries: Sequence[LedgerEntry]) -> Iterator[str]:
    """Yield in what ledger and releases contradict each other; nothing if each release has its one debit.

    Args:
        releases: all.
        entries: the ledger, the oldest first.
    """
    costs = {release.header.release_id: release.header.nano_rho for release in releases}
    for entry in entries:
        cost = costs.pop(entry.release_id, None)
        if cost is None:
            yield f"release {entry.release_id} is not in the log of releases, or was paid for twice"
        elif cost != entry.nano_rho:
            yield f"release {entry.release_id} costs {cost} nano-ρ and was paid for with {entry.nano_rho}"
    for release_id in costs:
        yield f"release {release_id} was never paid for; stop sharing"


def release_state(release: ReleaseRecord) -> str:
    """Return in words what became of a release."""
    if release.withdrawn_at is not None:
        return f"withdrawn: {release.withdrawn_because}"
    return "pending" if release.sent_at is None else f"sent {release.sent_at:%F %T}"
