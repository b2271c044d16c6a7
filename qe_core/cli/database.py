"""`qe db`: the project's PostgreSQL.

What belongs here: starting, stopping and looking at the database. What does not: how that is done
(`qe_core.store`).
"""

import os
from typing import Annotated

import typer

from qe_core.cli.help import Command
from qe_core.cli.opening import opened_store, wait_for
from qe_core.cli.screen import say
from qe_core.errors import ConfigError

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Start, stop and look at the database: embedded under .qe/, or the one QE_DATABASE_URL names.",
)


@app.command(cls=Command)
def start() -> None:
    """Start the embedded PostgreSQL and print where it is.

    Example:
        qe db start
    """
    from qe_core.store.server import project_server  # keeps `qe --help` quick
    from qe_core.store.urls import shown

    _require_embedded("start")
    url = project_server().start()
    say(f"running: {shown(url)}")


@app.command(cls=Command)
def stop() -> None:
    """Stop the embedded PostgreSQL; everything stored stays.

    Example:
        qe db stop
    """
    from qe_core.store.server import project_server

    _require_embedded("stop")
    say("stopped" if project_server().stop() else "was not running")


@app.command(cls=Command)
def status() -> None:
    """Say whether the database runs, and where.

    Example:
        qe db status
    """
    from qe_core.config import configured_database_url
    from qe_core.store.server import project_server
    from qe_core.store.urls import shown

    if (url := configured_database_url()) is not None:
        say(f"QE_DATABASE_URL names {shown(url)}")
        return
    found = project_server().status()
    say(f"embedded PostgreSQL, data in {found.data_dir}")
    say(f"running, version {found.version}, process {found.pid}" if found.is_running else "not running")


@app.command(cls=Command)
def migrate() -> None:
    """Bring the database to this version's schema; harmless to repeat.

    Examples:
        qe db migrate
        QE_DATABASE_URL=postgresql://qe@db.example/qe qe db migrate
    """
    from qe_core.store import migrate as migrate_database
    from qe_core.store.server import database_url

    report = wait_for(migrate_database(database_url()))
    for name in report.created_databases:
        say(f"created database {name}")
    is_changed = report.from_revision != report.to_revision
    say(
        f"schema {report.from_revision or 'empty'} -> {report.to_revision}"
        if is_changed
        else f"schema {report.to_revision} is up to date"
    )


@app.command(cls=Command)
def retention() -> None:
    """Count old experiences in summaries and remove them, as learning.json says; harmless to repeat.

    Each agent's newest experiences stay raw for replay, and no table changes. The graph does this daily.

    Example:
        qe db retention
    """
    from qe_core.config import load_settings
    from qe_core.store import RetentionReport

    values = load_settings().values

    async def run() -> RetentionReport:
        """Run it on the project's store."""
        async with opened_store() as store:
            return await store.retention.run(
                values.retention.experiences_days, values.replay.capacity_transitions
            )

    report = wait_for(run())
    say(f"everything that arrived since {report.oldest_day} is kept")
    say(
        f"{report.experiences_folded:,} older experiences summarised, "
        f"{report.experiences_kept:,} kept for replay, {len(report.partitions_dropped)} days removed"
    )


@app.command(cls=Command)
def url(
    name: Annotated[
        str | None, typer.Option("--database", help="Another database of the same server.")
    ] = None,
) -> None:
    """Print the database's URL, for other tools; starts the embedded server.

    Examples:
        psql "$(qe db url)"
        qe db url --database qe_dagster
    """
    from qe_core.store.server import database_url

    typer.echo(database_url(name))


@app.command(cls=Command, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(context: typer.Context) -> None:
    """Open psql on the database; further arguments go to psql.

    Examples:
        qe db psql
        qe db psql -c 'select level, name, version from q_tables'
    """
    from qe_core.store.server import database_url
    from qe_core.store.server.binaries import pg_binaries

    program = pg_binaries() / "psql"
    os.execv(program, [str(program), database_url(), *context.args])  # noqa: S606


def _require_embedded(verb: str) -> None:
    from qe_core.config import configured_database_url

    if configured_database_url() is not None:
        raise ConfigError(
            f"QE_DATABASE_URL names a server of your own, which qe does not {verb}; "
            "unset it for the embedded one"
        )
