"""One search: plant, work, share, and look at every byte that reached the team's server.

What belongs here: the order of things and what is found where. What does not: the table for people (`table`).
"""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np

from qe_core.store import migrate
from qe_core.store.server import EmbeddedServer
from tests.secrets.central import DATABASE, TALKATIVE, Central, Files
from tests.secrets.forms import forms
from tests.secrets.planting import Secret, planted
from tests.secrets.proxy import RecordingProxy
from tests.secrets.search import Pattern, Search, inflated, patterns_of

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = (
    "PGAPPNAME", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGOPTIONS", "PGSERVICE", "PGCLIENTENCODING",
    "USER", "LOGNAME", "USERNAME", "HOSTNAME", "EMAIL", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL",
    "GITHUB_TOKEN", "CI_COMMIT_AUTHOR",
)  # fmt: skip
"""Variables that drivers, shells and CI runners fill with what somebody could be known by."""

CUT_AFTER = 150_000
"""Bytes after which the line breaks, once: within the first release."""

TEAM = {
    "is_sharing": True,
    "privacy_epsilon_per_release": 20.0,
    "privacy_epsilon_lifetime": 50.0,
    "minimum_tasks": 2,
    "minimum_group": 2,
    "sureness_standard_errors": 0.0,
}
AGENT_MODULE = """
from dataclasses import replace

from qe_core.fleet.static_analysis import QUALITY_ANALYZER

AGENTS = [replace(QUALITY_ANALYZER, name=name, description=name) for name in {names!r}]
{lines}
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in one place.

    Attributes:
        place: where.
        bytes_searched: bytes looked at.
        found: patterns that are there.
    """

    place: str
    bytes_searched: int
    found: frozenset[Pattern]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A whole search.

    Attributes:
        secrets: all, by number.
        pattern_count: forms looked for.
        looked: what was found where.
        control: forms planted on purpose in a copy, and how many of them were found.
        leaks: secrets leaked on purpose to the server, by way, and whether they were found.
        said: what the contributor's process says it did.
        releases: how many releases reached the server.
        cuts: how often the line was cut.
    """

    secrets: tuple[Secret, ...]
    pattern_count: int
    looked: tuple[Looked, ...]
    control: tuple[int, int]
    leaks: Mapping[str, bool]
    said: Mapping[str, Any]
    releases: int
    cuts: int


async def searched(directory: Path, local: EmbeddedServer, seed: int, *, control_stride: int = 1) -> Evidence:
    """Return what a search finds.

    Args:
        directory: an empty one for the team's server and the contributor's files.
        local: a server for the contributor's own database.
        seed: of the secrets.
        control_stride: plant every so-manieth form on purpose; 1 plants all.
    """
    places = planted(seed)
    secrets = tuple(secret for own in places.values() for secret in own)
    patterns = patterns_of(forms(secret.text) for secret in secrets)
    search = Search(patterns)
    with EmbeddedServer(directory / "central", settings=TALKATIVE) as server:
        central = Central(server, server.url(DATABASE))
        proxy = RecordingProxy(central.socket)
        async with proxy.listening():
            address = f"127.0.0.1:{proxy.port}"
            team_url = await central.founded(address)
            proxy.cut_after = CUT_AFTER
            said = await contributed(directory, local, places, team_url)
            sent, received = b"".join(proxy.sent), b"".join(proxy.received)
            files = Files(server.data_dir)
            looked = [
                looked_at(search, "to the server", [sent]),
                looked_at(search, "back from it", [received]),
                looked_at(search, "its files while it works", files.changed()),
            ]
            await central.checkpoint()
            looked.append(looked_at(search, "its files after a checkpoint", files.changed()))
            values = await central.values()
            looked.append(looked_at(search, "values of its tables", [values]))
            packed = [content for data in (sent, received, values) for content in inflated(data)]
            looked.append(looked_at(search, "what was compressed in these", packed))
            releases = await central.release_count()
            leaks = await leaked(central, proxy, team_url, search, files, secrets)
    control = controlled(sent, search, patterns[::control_stride], seed)
    return Evidence(secrets, len(patterns), tuple(looked), control, leaks, said, releases, proxy.cuts)


def looked_at(search: Search, place: str, pieces: Iterator[bytes] | list[bytes]) -> Looked:
    """Return what is found in some pieces."""
    size, found = 0, set[Pattern]()
    for piece in pieces:
        size += len(piece)
        found |= search.find(piece)
    return Looked(place, size, frozenset(found))


async def contributed(
    directory: Path, local: EmbeddedServer, places: Mapping[str, list[Secret]], team_url: str
) -> Any:
    """Run the contributor's process, its place and environment full of secrets; return what it says."""
    texts = {place: [secret.text for secret in own] for place, own in places.items()}
    home, folder = (directory / text for text in texts["directory"])
    packages = folder / "packages"
    register_agents(packages, texts["agent of one's own"])
    url = local.url(texts["database"][0])
    await migrate(url)
    team = {**TEAM, "developer": texts["developer"][0], "project": texts["project"][0]}
    (folder / "learning.json").write_text(json.dumps({"team": team}), encoding="utf-8")
    job = folder / "job.json"
    job.write_text(json.dumps({"store_url": url, "team_url": team_url, "secrets": texts}), encoding="utf-8")
    variables = dict(zip(ENVIRONMENT, texts["environment"], strict=True))
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("QE_", "PG"))},
        **variables,
        "PGOPTIONS": f"-c application_name={variables['PGOPTIONS']}",
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(packages)]),
        "QE_HOME": str(home),
        "QE_ALERT_WEBHOOK_URL": texts["webhook"][0],
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.secrets.contributor", str(job)),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaints = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the contributor's process failed: {complaints.decode()[-4_000:]}")
    return json.loads(output)


def register_agents(directory: Path, names: list[str]) -> None:
    """Install a package that registers agents under these names."""
    info = directory / "acme_agents-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-agents\nVersion: 1.0\n")
    numbers = range(len(names))
    lines = "\n".join(f"A{number} = AGENTS[{number}]" for number in numbers)
    (directory / "acme_agents.py").write_text(AGENT_MODULE.format(names=names, lines=lines))
    entries = "\n".join(f"a{number} = acme_agents:A{number}" for number in numbers)
    (info / "entry_points.txt").write_text(f"[qe_fleet.agents]\n{entries}\n")


def controlled(data: bytes, search: Search, chosen: list[Pattern], seed: int) -> tuple[int, int]:
    """Plant some forms of secrets in a copy; return how many were planted and how many of them are found."""
    rng = np.random.default_rng(seed)
    gaps = iter(rng.integers(1, 16, len(chosen)).tolist())
    noise = rng.bytes(16)
    spoilt = data + b"".join(noise[: next(gaps)] + pattern.content for pattern in chosen)
    return len(chosen), len(search.find(spoilt) & set(chosen))


async def leaked(
    central: Central,
    proxy: RecordingProxy,
    team_url: str,
    search: Search,
    files: Files,
    secrets: tuple[Secret, ...],
) -> dict[str, bool]:
    """Leak secrets on purpose, each in another way; return whether the search finds each one."""
    numbers = {secret.text: number for number, secret in enumerate(secrets)}
    chosen = [secret.text for secret in secrets if secret.kind in ("e-mail", "token")][:5]
    named, asked, stored, removed, failed = chosen
    connection = await asyncpg.connect(team_url, server_settings={"application_name": named})
    try:
        await connection.fetchval("SELECT length($1::text)", asked)
        await connection.fetchval("SELECT $1::int", 1)
        try:
            await connection.execute(f'SELECT "{failed}"')
        except asyncpg.PostgresError:
            wire = b"".join(proxy.sent)
    finally:
        await connection.close()
    owner = await asyncpg.connect(central.url)
    try:
        await owner.execute("CREATE TABLE leaks (content text)")
        await owner.execute("INSERT INTO leaks VALUES ($1)", (stored + " " * 40) * 200)
        await owner.execute("INSERT INTO leaks VALUES ($1)", removed)
        await owner.execute("DELETE FROM leaks WHERE content = $1", removed)
        values = await central.values()
        await owner.execute("DROP TABLE leaks")
    finally:
        await owner.close()
    in_files = looked_at(search, "", files.changed()).found
    where = {
        "name of the application, on the line": (named, search.find(wire)),
        "name of the application, in the log": (named, in_files),
        "parameter of a query, on the line": (asked, search.find(wire)),
        "parameter of a query, in the log": (asked, in_files),
        "query that fails, in the log": (failed, in_files),
        "row that PostgreSQL compressed, as a value": (stored, search.find(values)),
        "row that was deleted, in the files": (removed, in_files),
    }
    return {
        way: any(pattern.secret == numbers[text] for pattern in found) for way, (text, found) in where.items()
    }
