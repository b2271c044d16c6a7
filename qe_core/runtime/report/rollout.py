"""The report's sections on what serves: which policy and why, and what needs a person.

What belongs here: words and pictures for people who have never read about statistics. What does not: the
figures (`qe_core.runtime.rollout_figures`).
"""

from html import escape

from qe_core.runtime.report.charts import Line, legend, line_chart
from qe_core.runtime.report.markup import section, table
from qe_core.runtime.rollout_figures import PolicyFigures, RolloutFigures, TestFigures
from qe_core.store.policies import Mode

SHOWN_EVENTS = 20
"""How many ended tests and rollbacks are shown; the database has all."""

_SEVERITIES = {"critical": "bad", "warning": "warn"}
_NOT_BEGUN = (
    "<p>Nothing is rolled out yet: every agent follows what it is learning, with some exploration. What each "
    "decides by is frozen every hour, so it can be taken back. <code>qe ab start AGENT --why …</code> begins "
    "to try what an agent has learned on a tenth of its tasks, against what it does today.</p>"
)
_BEGUN = (
    "<p>An agent that <b>learns</b> follows its live table. One that <b>serves</b> follows a frozen version, "
    "and changes it only when a test has shown that another one is better. Whatever serves is watched every "
    "minute and taken back when it does harm.</p>"
)


def rollout_section(figures: RolloutFigures) -> str:
    """Return the section on which policy serves, and why."""
    if not figures.policies:
        return ""
    parts = [_BEGUN if figures.has_begun else _NOT_BEGUN]
    if figures.has_begun:
        parts.append(_policies(figures))
    if running := [policy.test for policy in figures.policies if policy.test is not None]:
        parts.append(f"<h3>Being tried</h3>{_pictures(running)}")
    if figures.ended:
        parts.append(f"<h3>Tried before</h3>{_ended(figures)}")
    if figures.rollbacks:
        parts.append(f"<h3>Taken back</h3>{_rollbacks(figures)}")
    return section("Which policy serves, and why", "".join(parts))


def alerts_section(figures: RolloutFigures) -> str:
    """Return the section on open alerts; one line where there are none."""
    if not figures.alerts:
        return section("What needs a person", '<p><span class="good">Nothing.</span> No alert is open.</p>')
    rows = [
        [
            f'<span class="{_SEVERITIES[alert.severity]}">{escape(alert.severity)}</span>',
            escape(alert.subject),
            f'<span class="wide">{escape(alert.summary)}</span>',
            f"<code>{escape(alert.runbook)}</code>",
            f"{alert.opened_at:%d %b %Y, %H:%M}",
        ]
        for alert in figures.alerts
    ]
    note = '<p class="note"><code>qe alerts resolve ID --why …</code> says that one is over.</p>'
    headings = ["severity", "of", "what was seen", "what to do", "since, UTC"]
    return section("What needs a person", table(headings, rows, text_columns=4) + note)


def plain_verdict(one: TestFigures) -> str:
    """Return what a test says, in a sentence without statistics."""
    effect = one.looks[-1].effect if one.looks else None
    points = (
        "" if effect is None else f"{abs(effect):.1f} points a task {'better' if effect >= 0 else 'worse'}"
    )
    match one.test.verdict or one.verdict:
        case "promote":
            return f"Better: {points}. It passed every condition."
        case "stop for harm":
            return f"Worse, and stopped: {'; '.join(one.reasons) or 'it did harm'}."
        case "stop for futility":
            return "Not better by enough to be worth it."
        case "invalid":
            return f"Not to be judged: {'; '.join(one.reasons) or 'the contract changed'}."
        case "stopped by hand":
            return "Stopped by a person."
        case "continue":
            return f"So far {points or 'level'}; not certain yet."
        case "not enough data":
            return f"Too early to say: {'; '.join(one.reasons)}."
        case _:
            return "Not looked at yet."


def duration(seconds: float | None) -> str:
    """Return a duration in the largest unit that tells it."""
    if seconds is None:
        return "–"
    for unit, name in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _policies(figures: RolloutFigures) -> str:
    headings = ["agent", "follows", "because", "being tried", "since, UTC", "versions kept"]
    rows = [_policy_row(policy, because(policy, figures)) for policy in figures.policies]
    return table(headings, rows, text_columns=4)


def because(policy: PolicyFigures, figures: RolloutFigures) -> str:
    """Return in plain words why an agent follows what it follows."""
    if policy.since is None:
        return "nothing was promoted yet"
    for rollback in figures.rollbacks:
        if rollback.event.agent == policy.agent and rollback.event.to_version == policy.stable:
            return "went back to it when another did harm"
    for one in figures.ended:
        if one.test.treatment == policy.stable and one.test.verdict == "promote":
            return f"its test: {plain_verdict(one)}"
    return policy.why


def _policy_row(policy: PolicyFigures, why: str) -> list[str]:
    follows = (
        f'<span class="good">version {policy.stable}</span>'
        if policy.mode is Mode.SERVING
        else '<span class="soft">what it learns</span>'
    )
    tried = (
        "–"
        if policy.test is None
        else f"version {policy.test.test.treatment} on {policy.test.test.stage:d} % of its tasks"
    )
    since = "–" if policy.since is None else f"{policy.since:%d %b %Y, %H:%M}"
    named = [escape(policy.agent), follows, f'<span class="wide">{escape(why)}</span>', tried]
    return [*named, since, f"{policy.versions:,}"]


def _pictures(running: list[TestFigures]) -> str:
    said = "".join(
        f"<li><b>{escape(one.test.agent)}</b>, version {one.test.treatment} against {one.test.control}, on "
        f"{one.test.stage:d} % of the {escape(one.test.unit_kind)}s: {escape(plain_verdict(one))}"
        f"{_to_go(one)}</li>"
        for one in running
    )
    charts = "".join(_chart(one) for one in running if len(one.looks) > 1)
    if not charts:
        return f"<ul>{said}</ul>"
    keys = legend(
        [("line-1", "candidate minus stable"), ("line-quiet", "bounds on the truth that hold at every look")]
    )
    return f'<ul>{said}</ul>{keys}<div class="charts">{charts}</div>'


def _to_go(one: TestFigures) -> str:
    if one.days_to_go is None or (one.test.verdict or one.verdict) not in ("continue", "not enough data"):
        return ""
    return f" About {one.days_to_go:.1f} days to go at the present rate."


def _chart(one: TestFigures) -> str:
    units = [float(look.units) for look in one.looks]
    lines = [
        Line("no difference", units, [0.0] * len(units), "line-zero"),
        Line("lower bound", units, [look.lower for look in one.looks], "line-quiet"),
        Line("upper bound", units, [look.upper for look in one.looks], "line-quiet"),
        Line("candidate minus stable", units, [look.effect for look in one.looks], "line-1"),
    ]
    return line_chart(one.test.agent, lines, f"{one.test.unit_kind}s recorded", "effect, points")


def _ended(figures: RolloutFigures) -> str:
    rows = [
        [
            escape(one.test.agent),
            f"version {one.test.treatment} against {one.test.control}",
            f'<span class="wide">{escape(plain_verdict(one))}</span>',
            f"{one.test.ended_at:%d %b %Y, %H:%M}",
            f"{one.looks[-1].units:,}" if one.looks else "0",
        ]
        for one in figures.ended[:SHOWN_EVENTS]
    ]
    return table(["agent", "tried", "what came of it", "ended, UTC", "units"], rows, text_columns=3)


def _rollbacks(figures: RolloutFigures) -> str:
    rows = [
        [
            escape(one.event.agent),
            "what it learned" if one.event.served_version is None else f"version {one.event.served_version}",
            f'<span class="wide">{escape(one.reason)}</span>',
            f"{one.event.happened_at:%d %b %Y, %H:%M},<br>by {escape(one.event.rolled_back_by)}",
            duration(one.served_seconds),
            f"version {one.event.to_version}",
            f"{one.event.experiences_excluded:,} / {one.event.refused_updates:,}",
        ]
        for one in figures.rollbacks[:SHOWN_EVENTS]
    ]
    note = (
        '<p class="note">Kept out: experiences nobody learns from since, and updates that came too late and '
        "were refused.</p>"
    )
    headings = ["agent", "taken back", "because", "when, UTC", "after", "restored", "kept out"]
    return table(headings, rows, text_columns=4) + note
