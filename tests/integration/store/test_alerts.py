"""Alerts against PostgreSQL: a state machine checked against a model, and deliveries that survive crashes."""

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qe_core.errors import StoreError
from qe_core.store import Store
from qe_core.store.alerts import Alert, Channel, Severity, Sighting
from tests.conftest import execute

CHANNELS: tuple[Channel, ...] = ("log", "webhook")


def sighting(
    subject: str = "quality-gate", severity: Severity = "warning", observation: str = "1", kind: str = "stale"
) -> Sighting:
    return Sighting(kind, subject, severity, "was not seen for days", f"docs/runbooks/{kind}.md", observation)


async def test_an_alert_is_opened_once_counted_while_open_and_opened_anew_after_it_was_resolved(
    store: Store,
) -> None:
    first = await store.alerts.see(sighting())
    again = await store.alerts.see(sighting(observation="2"))
    assert (again.alert_id, again.occurrences, again.opening) == (first.alert_id, 2, 1)
    assert again.opened_at == first.opened_at
    resolved = await store.alerts.resolve("stale", "quality-gate", "monitor", "it plays again")
    assert resolved is not None
    assert (resolved.is_open, resolved.resolved_by, resolved.resolution) == (
        False,
        "monitor",
        "it plays again",
    )
    assert await store.alerts.resolve("stale", "quality-gate", "monitor", "again") is None
    anew = await store.alerts.see(sighting(observation="3"))
    assert (anew.opening, anew.occurrences, anew.is_open) == (2, 1, True)
    assert anew.alert_id != first.alert_id
    assert [alert.alert_id for alert in await store.alerts.list_alerts()] == [anew.alert_id]
    assert [alert.alert_id for alert in await store.alerts.list_alerts(is_all=True)] == [
        anew.alert_id,
        first.alert_id,
    ]


async def test_the_same_observation_does_not_count_again(store: Store) -> None:
    for _ in range(5):
        alert = await store.alerts.see(sighting())
    assert alert.occurrences == 1


async def test_severity_rises_while_open_and_never_falls(store: Store) -> None:
    await store.alerts.see(sighting(severity="warning"))
    assert (await store.alerts.see(sighting(severity="critical"))).severity == "critical"
    alert = await store.alerts.see(sighting(severity="warning"))
    assert alert.severity == "critical"
    assert [told.event for told in await store.alerts.deliveries(alert.alert_id)] == ["opened", "escalated"]


async def test_the_worst_open_alerts_come_first(store: Store) -> None:
    for subject, severity in (("a", "warning"), ("b", "critical"), ("c", "warning")):
        await store.alerts.see(sighting(subject, severity))  # type: ignore[arg-type]
    assert [alert.subject for alert in await store.alerts.list_alerts()] == ["b", "c", "a"]


async def test_tasks_that_see_the_same_at_once_open_one_alert(store: Store) -> None:
    seen = await asyncio.gather(*(store.alerts.see(sighting(observation=str(n))) for n in range(20)))
    assert len({alert.alert_id for alert in seen}) == 1
    assert max(alert.occurrences for alert in seen) == 20
    assert len(await store.alerts.deliveries(seen[0].alert_id)) == 1


@pytest.mark.parametrize(
    "bad",
    [sighting(subject=""), sighting(kind=""), sighting(severity="mild")],  # type: ignore[arg-type]
)
async def test_an_alert_without_words_is_refused_and_nothing_stored(store: Store, bad: Sighting) -> None:
    with pytest.raises(StoreError, match="give it a kind, a subject"):
        await store.alerts.see(bad)
    assert await store.alerts.list_alerts(is_all=True) == []


async def test_an_alert_nobody_knows_is_an_error(store: Store) -> None:
    with pytest.raises(StoreError, match="there is no alert 7; qe alerts list --all"):
        await store.alerts.get(7)


@dataclass
class Model:
    """What the alerts of one subject should look like."""

    opening: int = 0
    is_open: bool = False
    occurrences: int = 0
    observation: str = ""
    severity: str = ""
    events: list[str] = field(default_factory=list)

    def see(self, severity: str, observation: str) -> None:
        """Open it, or count a sighting."""
        if not self.is_open:
            self.opening, self.is_open, self.occurrences, self.severity = self.opening + 1, True, 1, severity
            self.events = ["opened"]
        else:
            self.occurrences += observation != self.observation
            if (self.severity, severity) == ("warning", "critical"):
                self.severity = severity
                self.events.append("escalated")
        self.observation = observation

    def resolve(self) -> None:
        """Close it, if it is open."""
        if self.is_open:
            self.is_open = False
            self.events.append("resolved")


subjects = st.sampled_from(["a", "b"])
steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("see"), subjects, st.sampled_from(["warning", "critical"]), st.sampled_from(["1", "2"])
        ),
        st.tuples(st.just("resolve"), subjects),
    ),
    min_size=1,
    max_size=15,
)


async def check_against_model(url: str, taken: list[tuple[str, ...]]) -> None:
    execute(url, "TRUNCATE alerts CASCADE")
    models = {"a": Model(), "b": Model()}
    newest: dict[str, Alert] = {}
    async with Store.connect(url, pool_size=1) as store:
        for what, subject, *rest in taken:
            if what == "see":
                models[subject].see(*rest)
                newest[subject] = await store.alerts.see(sighting(subject, *rest), CHANNELS)  # type: ignore[arg-type]
            else:
                models[subject].resolve()
                newest[subject] = (
                    await store.alerts.resolve("stale", subject, "me", "over", CHANNELS)
                ) or newest.get(subject)  # type: ignore[assignment]
        for subject, model in models.items():
            if model.opening == 0:
                assert newest.get(subject) is None
                continue
            alert = newest[subject]
            assert (alert.opening, alert.is_open, alert.occurrences, alert.severity) == (
                model.opening, model.is_open, model.occurrences, model.severity,
            )  # fmt: skip
            told = await store.alerts.deliveries(alert.alert_id)
            for channel in CHANNELS:
                assert [one.event for one in told if one.channel == channel] == model.events
        everything = await store.alerts.list_alerts(is_all=True)
        assert len(everything) == sum(model.opening for model in models.values())
        assert {alert.subject for alert in everything if alert.is_open} == {
            subject for subject, model in models.items() if model.is_open
        }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps)
def test_any_sequence_of_sightings_and_resolutions_agrees_with_the_model(
    database_url: str, taken: list[tuple[str, ...]]
) -> None:
    asyncio.run(check_against_model(database_url, taken))


async def test_a_claimed_delivery_is_nobody_elses_until_its_time_is_over(store: Store) -> None:
    await store.alerts.see(sighting(), CHANNELS)
    mine = await store.alerts.claim(CHANNELS, 10, hold_seconds=60)
    assert sorted(claim.channel for claim in mine) == ["log", "webhook"]
    assert await store.alerts.claim(CHANNELS, 10, hold_seconds=60) == []


async def test_whoever_dies_after_claiming_leaves_the_delivery_to_the_next_under_the_same_key(
    store: Store,
) -> None:
    await store.alerts.see(sighting())
    [lost] = await store.alerts.claim(CHANNELS, 10, hold_seconds=0)
    [found] = await store.alerts.claim(CHANNELS, 10, hold_seconds=60)
    assert found.idempotency_key == lost.idempotency_key
    assert (lost.attempts, found.attempts) == (1, 2)


async def test_two_who_claim_at_once_share_the_work_and_nothing_twice(store: Store) -> None:
    for number in range(30):
        await store.alerts.see(sighting(str(number)))
    shares = await asyncio.gather(*(store.alerts.claim(CHANNELS, 10, 60) for _ in range(3)))
    taken = [claim.delivery_id for share in shares for claim in share]
    assert len(taken) == len(set(taken))


async def test_a_resolution_is_told_after_the_opening(store: Store) -> None:
    await store.alerts.see(sighting())
    await store.alerts.resolve("stale", "quality-gate", "me", "over")
    [opened] = await store.alerts.claim(CHANNELS, 10, 60)
    assert opened.event == "opened"
    assert await store.alerts.claim(CHANNELS, 10, 60) == []
    await store.alerts.confirm(opened)
    [resolved] = await store.alerts.claim(CHANNELS, 10, 60)
    assert resolved.event == "resolved"
    await store.alerts.abandon(resolved, "nobody there")
    told = await store.alerts.deliveries(opened.alert.alert_id)
    assert [(one.delivered_at is not None, one.abandoned_at is not None) for one in told] == [
        (True, False),
        (False, True),
    ]
    assert told[1].last_error == "nobody there"


async def test_a_postponed_delivery_is_due_later(store: Store) -> None:
    await store.alerts.see(sighting())
    [claim] = await store.alerts.claim(CHANNELS, 10, 60)
    await store.alerts.postpone(claim, 3600, "status 500")
    assert await store.alerts.claim(CHANNELS, 10, 60) == []
    await store.alerts.postpone(claim, 0, "status 500")
    [again] = await store.alerts.claim(CHANNELS, 10, 60)
    assert again.attempts == 2
