"""`qe alerts`: what people and scripts read, and how they say that something is over."""

import json

import pytest

from qe_core.store import Store
from qe_core.store.alerts import Sighting

STALE = Sighting("agent-stale", "quality-gate", "warning", "idle", "docs/runbooks/agent-stale.md", "1")
WORSE = Sighting(
    "agent-diverging", "test-executor", "critical", "fell [x]", "docs/runbooks/agent-diverging.md", "1"
)


def test_without_alerts_there_is_nothing_to_do(qe_here):
    assert "no open alerts" in qe_here("alerts", "list").stdout
    assert "no alerts" in qe_here("alerts", "list", "--all").stdout
    assert json.loads(qe_here("alerts", "list", "--json").stdout) == []


async def test_open_alerts_are_listed_shown_and_resolved(store: Store, qe):
    first = await store.alerts.see(STALE)
    await store.alerts.see(WORSE)
    lines = json.loads((await qe("alerts", "list", "--json")).stdout)
    assert [line["kind"] for line in lines] == ["agent-diverging", "agent-stale"]
    assert lines[1]["runbook"] == "docs/runbooks/agent-stale.md"
    table = (await qe("alerts", "list")).stdout
    assert "fell [x]" in table
    assert "agent-diverging.md" in table

    shown = json.loads((await qe("alerts", "show", str(first.alert_id), "--json")).stdout)
    assert shown["subject"] == "quality-gate"
    assert [(told["event"], told["channel"], told["attempts"]) for told in shown["deliveries"]] == [
        ("opened", "log", 0)
    ]
    text = (await qe("alerts", "show", str(first.alert_id))).stdout
    assert "due 20" in text

    done = await qe("alerts", "resolve", str(first.alert_id), "--why", "it plays again")
    assert done.stdout.strip() == f"alert {first.alert_id} (agent-stale of quality-gate) is resolved"
    assert len(json.loads((await qe("alerts", "list", "--json")).stdout)) == 1
    everything = json.loads((await qe("alerts", "list", "--all", "--json")).stdout)
    assert [line["resolution"] for line in everything] == [None, "it plays again"]

    again = await qe("alerts", "resolve", str(first.alert_id), "--why", "once more")
    assert again.returncode == 1
    assert "was resolved by" in again.stderr


@pytest.mark.parametrize("command", [("show", "99"), ("resolve", "99", "--why", "x")])
def test_an_alert_nobody_knows_is_refused(qe_here, command):
    outcome = qe_here("alerts", *command)
    assert outcome.returncode == 1
    assert "there is no alert 99; qe alerts list --all shows all" in outcome.stderr


async def test_who_resolves_tells_the_webhook_too(store: Store, qe):
    alert = await store.alerts.see(STALE, ("log", "webhook"))
    secret = "https://hooks.example/secret"
    shown = await qe(
        "alerts", "resolve", str(alert.alert_id), "--why", "x", "--json", QE_ALERT_WEBHOOK_URL=secret
    )
    assert json.loads(shown.stdout)["resolution"] == "x"
    told = [(one.event, one.channel) for one in await store.alerts.deliveries(alert.alert_id)]
    assert told == [("opened", "log"), ("opened", "webhook"), ("resolved", "log"), ("resolved", "webhook")]
    assert "secret" not in shown.stdout + shown.stderr
