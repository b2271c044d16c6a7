"""PrivacyManager: what may leave this database, what it costs, and who does not take part.

What belongs here: making a release, saying what is left and why something waits, opting out. What does not:
sending it (`coordinator`), counting and noise (`qe_core.privacy`), the ledger (`qe_core.store.team`).

Nothing leaves by default. Where a team is joined, what leaves is the one form that `qe_core.privacy.wire` can
express, made of finished tasks of those who take part, and it is paid for before anybody can see it.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from uuid import uuid4

import numpy as np

from qe_core.config import Settings
from qe_core.errors import BudgetError, PrivacyError
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.privacy.accounting import epsilon_of, largest_nano_rho
from qe_core.privacy.mechanism import ReleasePlan, noised, plan_release
from qe_core.privacy.pseudonyms import Pseudonyms
from qe_core.privacy.statistics import AgentStatistics, exact_statistics
from qe_core.privacy.units import ContributionBound
from qe_core.privacy.wire import ReleaseHeader, encode
from qe_core.runtime.parameters import combine_settings, contribution_bound
from qe_core.runtime.team.auditing import audited_releases, budget_faults, payment_faults
from qe_core.runtime.team.readiness import Terms, reason_to_wait
from qe_core.runtime.team.reports import Audit, OptOutReport, Preparation, Prepared, PrivacyStatus
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store import Store
from qe_core.store.errors import OptOutChangedError, ReleaseConflictError
from qe_core.store.team import (
    OptOut,
    OptOutKind,
    PreparedRelease,
    TeamEvent,
    UnreleasedTasks,
)

ATTEMPTS = 10
"""How often a release is begun anew because somebody opted out, or released as well, while it was made."""

Progress = Callable[[str, int, int], None]
"""Told what is being done, how far it is and how far it goes."""


def silent(_what: str, _done: int, _total: int) -> None:
    """Tell nobody of progress."""


class PrivacyManager:
    """Guards what leaves one database.

    Args:
        store: the database.
        settings: what may leave, and at what price.
        pseudonyms: by the key of this machine.
        by: who acts, for the log.
        clock: tells the present, aware.
        fleet: whose agents; None for everybody registered.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        pseudonyms: Pseudonyms,
        *,
        by: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        fleet: Registry | None = None,
    ) -> None:
        self._store = store
        self._rules = settings.team
        self._pseudonyms = pseudonyms
        self._by = by or "somebody"
        self._clock = clock
        self.spaces = shareable_spaces(fleet)
        self.bound = contribution_bound(settings)
        self._combining = combine_settings(settings)
        self._agreed: Terms | None = None

    async def require_sharing(self) -> None:
        """Do nothing where this database takes part in team learning.

        Raises:
            PrivacyError: it does not; that is the default.
        """
        if self._rules.is_sharing:
            return
        words = (
            "sharing is off, so nothing leaves this database and nothing comes in; to take part set "
            "team.is_sharing to true in learning.json (or QE_TEAM__IS_SHARING=true) and QE_TEAM_URL to the "
            "address the team's curator gave you"
        )
        await self.refused(words)
        raise PrivacyError(words)

    async def refused(self, words: str) -> None:
        """Log that something was asked for and did not happen, and why."""
        await self._store.team_log.add(TeamEvent.REFUSAL, by=self._by, details={"because": words})

    async def prepare_release(self, contributors: int | None = None, progress: Progress = silent) -> Prepared:
        """Make a release of what has ended since the last one, pay for it and store it to be sent.

        Begun anew where somebody opts out meanwhile: an opt-out takes effect for the very next release, also
        for one that is being made.

        Args:
            contributors: of the team, this database included; None where that is not known, then as many as
                are asked for at least.
            progress: told of each agent whose noise is drawn, a few seconds in all.

        Raises:
            PrivacyError: sharing is off.
            LearningError: the log holds a step that does not fit its agent's contract.
        """
        await self.require_sharing()
        for _ in range(ATTEMPTS):
            tasks = await self.finished_tasks()
            if waits := await self._reason_to_wait(tasks, contributors):
                if waits.outcome is Preparation.REFUSED:
                    await self.refused(waits.words)
                return waits
            release = await self._made_of(tasks, progress)
            try:
                committed = await self._store.releases.commit(
                    release, (await self._terms()).lifetime_nano_rho, by=self._by
                )
            except (OptOutChangedError, ReleaseConflictError):
                continue
            except BudgetError as error:
                await self.refused(str(error))
                return Prepared(Preparation.REFUSED, str(error), tasks.task_count)
            spent = epsilon_of(committed.debit.spent_nano_rho, self._rules.privacy_delta)
            return Prepared(
                Preparation.RELEASED,
                f"{tasks.task_count:,} finished tasks released with ε = "
                f"{self._rules.privacy_epsilon_per_release:g}; all releases together: {spent:.2f} of "
                f"{self._rules.privacy_epsilon_lifetime:g}",
                tasks.task_count,
                committed.release_id,
                spent,
            )
        words = (
            f"opt-outs or other releases came in between {ATTEMPTS} times; nothing was released, push again"
        )
        await self.refused(words)
        return Prepared(Preparation.REFUSED, words)

    async def finished_tasks(self) -> UnreleasedTasks:
        """Return what has ended since the last release, of everybody and everything that takes part."""
        return await self._store.releases.finished_tasks(
            self.spaces, unit=self.bound.unit, kept_out_sources=self._rules.kept_out_sources
        )

    async def status(self) -> PrivacyStatus:
        """Return what was given away, what is left, and what may leave next."""
        tasks = await self.finished_tasks()
        waits = await self._reason_to_wait(tasks)
        terms, delta = await self._terms(), self._rules.privacy_delta
        spent, plan = await self._store.privacy_ledger.spent_nano_rho(), terms.plan
        return PrivacyStatus(
            rules=self._rules,
            pairs=self.bound.pairs,
            spent_epsilon=epsilon_of(spent, delta),
            next_epsilon=epsilon_of(spent + plan.nano_rho, delta),
            releases_left=max(0, terms.lifetime_nano_rho - spent) // plan.nano_rho,
            pending=tuple(await self._store.releases.pending()),
            sent=tuple(await self._store.releases.sent()),
            opt_outs=await self._store.opt_outs.list(),
            task_count=tasks.task_count,
            scales=plan.scales,
            next_words=self._next_words(tasks, waits),
        )

    async def opt_out(self, kind: OptOutKind, name: str | None = None) -> OptOutReport:
        """Keep somebody or something out of all releases from now on, also of one that is being made.

        It holds at once; releases that wait to be sent are withdrawn, since they may contain what opted out.

        Args:
            kind: of what.
            name: the developer, project or agent as people know it; none for the whole database.

        Raises:
            PrivacyError: a name is missing or too much.
            UnknownAgentError: no agent of that name is registered.
        """
        opt_out = await self._store.opt_outs.add(kind, *self._subject(kind, name), by=self._by)
        gone = await self._store.releases.withdraw_pending(f"{kind} opted out", by=self._by)
        sent_before = len(await self._store.releases.sent())
        return OptOutReport(opt_out, gone.withdrawn, gone.being_sent, gone.maybe_sent, sent_before)

    async def lift(self, kind: OptOutKind, name: str | None = None) -> OptOut:
        """Take an opt-out back, for what is recorded from now on.

        Raises:
            PrivacyError: there is none, or a name is missing or too much.
            UnknownAgentError: no agent of that name is registered.
        """
        return await self._store.opt_outs.lift(kind, *self._subject(kind, name), by=self._by)

    async def audit(self, limit: int = 1_000, kind: TeamEvent | None = None) -> Audit:
        """Return every release with its price, whether that adds up, and the log.

        Args:
            limit: lines of the log, at most.
            kind: only these lines; None for all.
        """
        releases, entries = await self._store.releases.all(), await self._store.privacy_ledger.entries()
        delta, lifetime = self._rules.privacy_delta, self._rules.privacy_epsilon_lifetime
        spent = await self._store.privacy_ledger.spent_nano_rho()
        return Audit(
            releases=audited_releases(releases, entries, delta),
            spent_epsilon=epsilon_of(spent, delta),
            lifetime_epsilon=lifetime,
            faults=(*budget_faults(entries, spent), *payment_faults(releases, entries)),
            log=tuple(await self._store.team_log.entries(limit, kind)),
        )

    def _subject(self, kind: OptOutKind, name: str | None) -> tuple[str, ...]:
        """Return what an opt-out is stored under; nothing for the whole database."""
        match kind, name:
            case OptOutKind.DATABASE, None:
                return ()
            case OptOutKind.AGENT, str():
                return (registry().get(name).name,)
            case ((OptOutKind.DEVELOPER | OptOutKind.PROJECT), str()):
                return (self._pseudonyms.of(kind.value, name),)
            case _:
                raise PrivacyError(
                    f"an opt-out of a {kind} {'needs no' if name else 'needs a'} name; name one developer, "
                    "project or agent, or everything"
                )

    async def _reason_to_wait(
        self, tasks: UnreleasedTasks, contributors: int | None = None
    ) -> Prepared | None:
        """Return why nothing is released now; None where it can be."""
        spent = await self._store.privacy_ledger.spent_nano_rho()
        return reason_to_wait(tasks, await self._terms(), spent, contributors)

    def _next_words(self, tasks: UnreleasedTasks, waits: Prepared | None) -> str:
        if not self._rules.is_sharing:
            return "sharing is off: nothing leaves (team.is_sharing, and QE_TEAM_URL for the team's server)"
        return (
            f"{tasks.task_count:,} finished tasks leave with the next push" if waits is None else waits.words
        )

    async def _made_of(self, tasks: UnreleasedTasks, progress: Progress) -> PreparedRelease:
        """Return the release of these tasks, with its noise. The event loop lives on meanwhile."""
        exact = await asyncio.to_thread(self.count, tasks, self.bound)
        plan, parts = (await self._terms()).plan, dict[str, bytes]()
        for done, (agent, counts) in enumerate(exact.items()):
            progress("drawing noise for every cell", done, len(exact))
            parts[agent] = encode(await asyncio.to_thread(noised, counts, plan.scales))
        header = await self._header(plan)
        return PreparedRelease(header, parts, tasks.chunk_ids, tasks.opt_out_generation)

    def count(self, tasks: UnreleasedTasks, bound: ContributionBound) -> Mapping[str, AgentStatistics]:
        """Return the exact counts a release is made of; they stay in this process."""
        return exact_statistics(tasks.steps, self.spaces, bound, np.random.default_rng())

    async def _header(self, plan: ReleasePlan) -> ReleaseHeader:
        today = self._clock().date()
        database = await self._store.privacy_ledger.database_id()
        return ReleaseHeader(
            release_id=uuid4(),
            origin=self._pseudonyms.origin(database, today, self._rules.pseudonym_days),
            made_on=today,
            protected_unit=plan.bound.unit,
            pairs=plan.bound.pairs,
            clip_bound=plan.bound.clip_bound,
            privacy_epsilon=plan.privacy_epsilon,
            privacy_delta=plan.privacy_delta,
            nano_rho=plan.nano_rho,
            agents=tuple((name, space.fingerprint) for name, space in self.spaces.items()),
        )

    async def _terms(self) -> Terms:
        """Return the noise a release needs and what it may cost, worked out once."""
        if self._agreed is None:
            rules, count = self._rules, len(self.spaces)
            delta = rules.privacy_delta
            self._agreed = Terms(
                rules,
                self._combining,
                await asyncio.to_thread(
                    plan_release, self.bound, count, rules.privacy_epsilon_per_release, delta
                ),
                count,
                await asyncio.to_thread(largest_nano_rho, rules.privacy_epsilon_lifetime, delta),
            )
        return self._agreed
