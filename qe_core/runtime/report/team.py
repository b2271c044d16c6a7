"""The report's section on team learning: what left this machine, at what price, and what came back.

What belongs here: words for people who have never read about privacy. What does not: the figures
(`qe_core.runtime.team_figures`), and the page on the demo of a team (`team_demo`).
"""

from html import escape

from qe_core.runtime.report.markup import section, table
from qe_core.runtime.team_figures import TeamFigures
from qe_core.store.team import OptOut, OptOutKind, ReleaseRecord, TeamLogEntry

SHOWN_RELEASES = 10
"""How many of the newest are shown; the database has all."""

_LOCAL_ONLY = (
    '<p><span class="good">Local only.</span> Nothing left this machine, and nothing came in: that is the '
    "default. <code>qe demo --team</code> shows what sharing would look like, <code>qe privacy status</code> "
    "what it would cost here.</p>"
)


def team_section(figures: TeamFigures) -> str:
    """Return the section on what was shared with a team."""
    parts = [] if figures.is_sharing else [_LOCAL_ONLY]
    if figures.is_sharing or figures.has_begun:
        parts.append(_price(figures))
    if figures.releases:
        parts.append(f"<h3>What left</h3>{_releases(figures)}")
    if figures.opt_outs:
        parts.append(f"<ul>{''.join(map(_opt_out, figures.opt_outs))}</ul>")
    if figures.tables:
        parts.append(f"<h3>What came back</h3>{_tables(figures)}")
    if figures.entries:
        parts.append(f"<h3>What happened last</h3>{_log(figures)}")
    return section("What was shared with the team", "".join(parts))


def _price(figures: TeamFigures) -> str:
    unit = escape(figures.protected_unit)
    return (
        f"<p>What leaves are counts with noise, so that hardly anything can be told about any one {unit}. "
        f"All releases together, as if the same {unit} came back in each, have cost "
        f"<b>ε = {figures.spent_epsilon:.2f} of {figures.lifetime_epsilon:g}</b> "
        f"(δ = {figures.privacy_delta:g}); beyond that nothing leaves any more.</p>"
    )


def _releases(figures: TeamFigures) -> str:
    headings = ["made, UTC", "protected", "state", "ε", "agents", "ρ of zCDP, 10⁻⁹"]
    shown = figures.releases[:SHOWN_RELEASES]
    return table(headings, [_release(one) for one in shown], text_columns=3)


def _release(release: ReleaseRecord) -> list[str]:
    if release.withdrawn_at is not None:
        state = f'<span class="soft">withdrawn: {escape(str(release.withdrawn_because))}</span>'
    elif release.sent_at is None:
        state = '<span class="warn">waits to be sent</span>'
    else:
        state = f"sent {release.sent_at:%d %b %Y, %H:%M}"
    header = release.header
    return [
        f"{release.made_at:%d %b %Y, %H:%M}",
        escape(header.protected_unit.value),
        state,
        f"{header.privacy_epsilon:g}",
        f"{len(header.agents)}",
        f"{header.nano_rho:,}",
    ]


def _opt_out(opt_out: OptOut) -> str:
    subject = escape(opt_out.subject)
    match opt_out.kind:
        case OptOutKind.DATABASE:
            what = "This whole database"
        case OptOutKind.AGENT:
            what = f"What <b>{subject}</b> experiences"
        case OptOutKind.DEVELOPER | OptOutKind.PROJECT:
            what = f"What belongs to the {opt_out.kind.value} <code>{subject}</code>"
    return f"<li>{what} takes no part since {opt_out.opted_out_at:%d %b %Y, %H:%M}.</li>"


def _tables(figures: TeamFigures) -> str:
    headings = ["agent", "version", "pairs known", "worth visits without noise", "pulled, UTC"]
    rows = [
        [
            escape(held.agent),
            f"{held.version}",
            f"{held.evidence.known_count:,}",
            f"{int(held.evidence.visits.sum()):,}",
            f"{held.pulled_at:%d %b %Y, %H:%M}",
        ]
        for held in figures.tables
    ]
    note = '<p class="note"><code>qe team undo</code> takes the last pull back.</p>'
    return table(headings, rows) + note


def _log(figures: TeamFigures) -> str:
    return table(
        ["when, UTC", "what", "by", "more"], [_entry(one) for one in figures.entries], text_columns=4
    )


def _entry(entry: TeamLogEntry) -> list[str]:
    because = entry.details.get("because")
    more = "" if because is None else f'<span class="wide">{escape(str(because))}</span>'
    return [
        f"{entry.logged_at:%d %b %Y, %H:%M}",
        escape(entry.kind.value),
        escape(entry.logged_by),
        more,
    ]
