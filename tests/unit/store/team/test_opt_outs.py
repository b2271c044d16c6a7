"""Opting out and in: at once, noticed by every release, never forgotten."""

import pytest

from qe_core.errors import PrivacyError
from qe_core.store import Store
from qe_core.store.team import OptOutKind, TeamEvent
from tests.unit.store.team.made import AGENT, ANN


async def test_opting_out_and_in_again_is_listed_and_logged(store: Store) -> None:
    added = await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    await store.opt_outs.add(OptOutKind.AGENT, AGENT, by="bob")
    assert [entry.subject for entry in await store.opt_outs.list()] == [ANN, AGENT]
    lifted = await store.opt_outs.lift(OptOutKind.DEVELOPER, ANN, by="ann")
    assert (added.lifted_by, lifted.lifted_by) == (None, "ann")
    assert [entry.subject for entry in await store.opt_outs.list()] == [AGENT]
    assert [(entry.kind, entry.logged_by) for entry in await store.team_log.entries()] == [
        (TeamEvent.OPT_IN, "ann"),
        (TeamEvent.OPT_OUT, "bob"),
        (TeamEvent.OPT_OUT, "ann"),
    ]


async def test_every_change_raises_the_generation(store: Store) -> None:
    seen = [await store.opt_outs.generation()]
    await store.opt_outs.add(OptOutKind.DATABASE, by="owner")
    seen.append(await store.opt_outs.generation())
    await store.opt_outs.lift(OptOutKind.DATABASE, by="owner")
    seen.append(await store.opt_outs.generation())
    assert seen == sorted(set(seen))


async def test_opting_out_twice_is_opting_out_once(store: Store) -> None:
    first = await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    assert await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="bob") == first
    assert len(await store.team_log.entries()) == 1


async def test_lifting_what_does_not_hold_is_refused(store: Store) -> None:
    with pytest.raises(PrivacyError, match="nothing to lift; see those that hold with: qe privacy status"):
        await store.opt_outs.lift(OptOutKind.DEVELOPER, ANN, by="ann")


@pytest.mark.parametrize(
    ("kind", "subject"),
    [(OptOutKind.DATABASE, ANN), (OptOutKind.AGENT, ""), (OptOutKind.PROJECT, "database")],
)
async def test_a_subject_that_does_not_fit_its_kind_is_refused(
    store: Store, kind: OptOutKind, subject: str
) -> None:
    with pytest.raises(PrivacyError, match="name a developer, a project or an agent"):
        await store.opt_outs.add(kind, subject, by="ann")
