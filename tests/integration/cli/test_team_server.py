"""`qe team found | invite | revoke | members | build`: what the curator of a team's server reads."""

import asyncio
import json
from collections.abc import Callable
from subprocess import CompletedProcess

from tests.unit.runtime.team.contributing import SPACE, Sent, hand_in, header, honest

Run = Callable[..., CompletedProcess[str]]


def invited(qe_here: Run, name: str) -> str:
    """Return the address the command prints, alone on its line."""
    answer = qe_here("team", "invite", name)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.removesuffix("\n")


def test_a_team_is_founded_joined_built_and_left(qe_here: Run) -> None:
    refused = qe_here("team", "invite", "ada")
    assert (refused.returncode, "qe team found" in refused.stderr) == (1, True)
    founded = qe_here("team", "found", "--name", "payments")
    assert founded.returncode == 0
    assert "this database is the team's server now" in founded.stdout
    assert "members can connect to the database postgres" in founded.stderr, "another's server is not closed"
    assert "as they should be" in qe_here("team", "found").stdout

    for name in ("ada", "bob", "ci"):
        asyncio.run(hand_in(invited(qe_here, name), honest()))
    asyncio.run(hand_in(invited(qe_here, "mallory"), Sent(header(), b"nonsense")))
    assert "mallory is a member already" in qe_here("team", "invite", "mallory").stderr

    built = qe_here("team", "build")
    assert built.returncode == 0
    assert "version 1" in built.stdout
    assert "was set aside: the counts of quality-analyzer are not compressed" in built.stderr
    again = json.loads(qe_here("team", "build", "--json").stdout)
    (found,) = [one for one in again if one["agent"] == SPACE.agent]
    assert (found["version"], found["contributors"], found["refusal"]) == (None, 3, None)
    assert [one["agent"] for one in again if one["refusal"]], "nothing came about the others"

    left = qe_here("team", "revoke", "mallory", "--leave-out")
    assert "mallory cannot log in any more" in left.stdout
    members = json.loads(qe_here("team", "members", "--json").stdout)
    assert [(one["name"], one["is_active"], one["releases"]) for one in members] == [
        ("ada", True, 1),
        ("bob", True, 1),
        ("ci", True, 1),
        ("mallory", False, 1),
    ]
    assert "mallory" in qe_here("team", "members").stdout


def test_an_address_is_printed_as_members_see_the_server_and_only_once(qe_here: Run) -> None:
    qe_here("team", "found")
    answer = qe_here("team", "invite", "ada", "--address", "db.example.org:6432")
    assert answer.stderr == ""
    assert "@db.example.org:6432/" in answer.stdout
    assert "socket" not in answer.stdout
    password = answer.stdout.partition("@")[0].rpartition(":")[2]
    assert password not in qe_here("team", "members").stdout
    wrong = qe_here("team", "invite", "bob", "--address", "somewhere else/")
    assert (wrong.returncode, "write host or host:port" in wrong.stderr) == (1, True)
    assert "bob" not in qe_here("team", "members").stdout
