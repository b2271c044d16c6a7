"""What a search found, as a table for people and as a verdict.

What belongs here: formatting. What does not: searching (`run`).
"""

from collections import Counter

from tests.secrets.planting import COUNT
from tests.secrets.run import Evidence


def is_clean(evidence: Evidence) -> bool:
    """Whether nothing was found that should not be there, and everything that was planted on purpose."""
    planted, found = evidence.control
    return (
        len(evidence.secrets) == COUNT
        and not any(looked.found for looked in evidence.looked)
        and planted == found > 0
        and all(evidence.leaks.values())
    )


def as_markdown(evidence: Evidence) -> str:
    """Return the table."""
    planted, found = evidence.control
    lines = [
        "| searched | bytes | secrets found |",
        "|---|---:|---:|",
        *(
            f"| {looked.place} | {looked.bytes_searched:,} | {len({one.secret for one in looked.found})} |"
            for looked in evidence.looked
        ),
        "",
        "| leaked on purpose | found |",
        "|---|---|",
        f"| forms of secrets, in a copy of the line | {found:,} of {planted:,} |",
        *(f"| {way} | {'yes' if is_found else 'NO'} |" for way, is_found in evidence.leaks.items()),
        "",
    ]
    for looked in evidence.looked:
        for pattern in sorted(looked.found)[:20]:
            secret = evidence.secrets[pattern.secret]
            lines.append(f"FOUND {looked.place}: {secret.kind} {secret.text!r}, {pattern.form}")
    return "\n".join(lines)


def kinds(evidence: Evidence) -> str:
    """Return how many secrets of each kind there were, in words."""
    counted = Counter(secret.kind for secret in evidence.secrets)
    return ", ".join(f"{count} of kind {kind}" for kind, count in counted.items())
