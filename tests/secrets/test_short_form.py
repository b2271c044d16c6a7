"""No secret of a contributor reaches the team's server, and the search would find it."""

import asyncio
import base64
import shutil
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from qe_core.store.server import EmbeddedServer
from tests.secrets.forms import forms
from tests.secrets.planting import COUNT, KINDS, planted
from tests.secrets.run import Evidence, searched
from tests.secrets.search import Search, inflated, patterns_of

SEED = 20_261
CONTROL_STRIDE = 7


@pytest.fixture(scope="module")
def evidence(postgres_server: EmbeddedServer, server_directory: Path) -> Iterator[Evidence]:
    place = server_directory / "secrets"
    place.mkdir(mode=0o755)
    yield asyncio.run(searched(place, postgres_server, SEED, control_stride=CONTROL_STRIDE))
    shutil.rmtree(place)


def test_nothing_of_a_thousand_secrets_is_in_anything_that_reached_the_server(evidence: Evidence) -> None:
    assert len({secret.text for secret in evidence.secrets}) == COUNT
    assert [
        (looked.place, evidence.secrets[pattern.secret], pattern.form)
        for looked in evidence.looked
        for pattern in looked.found
    ] == []


def test_the_contributor_did_everything_that_could_have_told(evidence: Evidence) -> None:
    said = evidence.said
    assert (said["sent"], evidence.releases, evidence.cuts) == (2, 2, 1)
    assert (said["refused"], said["failures"] > 0, said["pulled"] > 0) == (3, True, True)
    wrong_login, cut, *others = said["trouble"]
    assert "refuses the login" in wrong_login
    assert "was lost" in cut
    assert others == [""] * 3
    assert said["agents"][0] in {secret.text for secret in evidence.secrets}
    sizes = {looked.place: looked.bytes_searched for looked in evidence.looked}
    assert sizes["to the server"] > 400_000
    assert sizes["its files while it works"] > 20_000_000
    assert sizes["what was compressed in these"] > 5_000_000


def test_what_reached_the_server_would_have_been_found(evidence: Evidence) -> None:
    planted_count, found = evidence.control
    assert planted_count == found == -(-evidence.pattern_count // CONTROL_STRIDE)
    assert evidence.pattern_count > 400 * COUNT
    assert [way for way, is_found in evidence.leaks.items() if not is_found] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_secret_is_found_at_every_offset_and_at_both_ends(kind: str) -> None:
    text = next(secret.text for own in planted(1).values() for secret in own if secret.kind == kind)
    patterns = patterns_of([islice(forms(text), 24)])
    search = Search(patterns)
    for pattern in patterns:
        for offset in range(9):
            data = b"\xff" * offset + pattern.content
            assert pattern in search.find(data)
            assert pattern in search.find(data + b"\xff" * 9)
            assert pattern not in search.find(data[:-1])


def test_what_zlib_compressed_is_found_wherever_it_begins() -> None:
    content = b"a secret that was compressed " * 3
    data = b"\x78\x9cnot zlib" + zlib.compress(content) + b"more"
    assert content in list(inflated(data))


def test_forms_are_what_they_are_called() -> None:
    found = dict(forms("/home/ada/Secret Plan.py"))
    assert found["last part, as it is"] == b"Secret Plan.py"
    assert found["URL-encoded"] == b"%2Fhome%2Fada%2FSecret%20Plan.py"
    assert found["reversed"] == b"yp.nalP terceS/ada/emoh/"
    assert found["rot13"] == b"/ubzr/nqn/Frperg Cyna.cl"
    # echo -n '/home/ada/Secret Plan.py' | md5sum
    assert found["md5, hexadecimal"] == b"f5070d60c67a7db0"
    for shift in range(3):
        whole = base64.b64encode(b"x" * shift + b"/home/ada/Secret Plan.py" + b"yz")
        assert found[f"base64, {shift} bytes in"] in whole
