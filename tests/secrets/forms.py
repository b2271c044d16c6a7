"""What a secret can look like to whoever has it or guesses it: as it is, encoded, hashed without key.

What belongs here: pure functions from a text to bytes. What does not: looking for them (`search`).
"""

import codecs
import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator
from ntpath import basename
from urllib.parse import quote, quote_plus
from uuid import NAMESPACE_DNS, NAMESPACE_URL, UUID, uuid3, uuid5

SHORTEST = 8
"""Bytes of a pattern, at least: fewer would be met by accident."""

HASHES = (
    "md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512",
    "blake2b", "blake2s",
)  # fmt: skip
BLAKE2B_SIZES = (8, 16, 20, 32)
"""Digests of blake2b differ altogether with the length asked for, unlike cut ones of the others."""


def spellings(text: str) -> dict[str, str]:
    """Return the spellings of a secret that are worth hashing: as it is, and as people tidy it up."""
    found = {
        "": text,
        "stripped": text.strip(),
        "lower case": text.lower(),
        "stripped lower case": text.strip().lower(),
        "last part": basename(text),
        "with a newline": text + "\n",
    }
    return {name: spelling for name, spelling in found.items() if spelling and (not name or spelling != text)}


def forms(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield every form of a secret with its name, of at least eight bytes each."""
    seen = set[bytes]()
    for name, content in _all_forms(text):
        if len(content) >= SHORTEST and content not in seen:
            seen.add(content)
            yield name, content


def _all_forms(text: str) -> Iterator[tuple[str, bytes]]:
    yield from encodings(text)
    last = basename(text)
    if last != text:
        for name, content in encodings(last):
            yield f"last part, {name}", content
    for name, spelling in spellings(text).items():
        for form, content in digests(spelling):
            yield f"{name}: {form}" if name else form, content


def encodings(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield a text as it is and in every encoding that loses nothing."""
    raw = text.encode()
    yield "as it is", raw
    yield "lower case", text.lower().encode()
    yield "upper case", text.upper().encode()
    yield "UTF-16, little end first", text.encode("utf-16-le")
    yield "UTF-16, big end first", text.encode("utf-16-be")
    yield "UTF-32", text.encode("utf-32-le")
    yield "URL-encoded", quote(text, safe="").encode()
    yield "URL-encoded path", quote(text).encode()
    yield "URL-encoded form", quote_plus(text).encode()
    yield "escaped in JSON", json.dumps(text)[1:-1].encode()
    yield "hexadecimal", raw.hex().encode()
    yield "hexadecimal, upper case", raw.hex().upper().encode()
    yield "reversed", text[::-1].encode()
    yield "rot13", codecs.encode(text, "rot13").encode()
    for shift in range(3):
        inner = _inner_base64(raw, shift)
        yield f"base64, {shift} bytes in", inner
        yield f"base64 for URLs, {shift} bytes in", inner.translate(bytes.maketrans(b"+/", b"-_"))


def digests(text: str) -> Iterator[tuple[str, bytes]]:
    """Yield digests without key, each cut to what eight bytes of it say."""
    raw = text.encode()
    for name in HASHES:
        yield from _rendered(name, hashlib.new(name, raw, usedforsecurity=False).digest())
    for size in BLAKE2B_SIZES:
        yield from _rendered(f"blake2b of {size}", hashlib.blake2b(raw, digest_size=size).digest())
    for place, namespace in (("DNS", NAMESPACE_DNS), ("URL", NAMESPACE_URL)):
        yield from _rendered(f"UUID 3 {place}", uuid3(namespace, text).bytes)
        yield from _rendered(f"UUID 5 {place}", uuid5(namespace, text).bytes)


def _rendered(name: str, digest: bytes) -> Iterator[tuple[str, bytes]]:
    yield f"{name}, first bytes", digest[:8]
    yield f"{name}, last bytes", digest[-8:]
    yield f"{name}, hexadecimal", digest[:8].hex().encode()
    yield f"{name}, hexadecimal, upper case", digest[:8].hex().upper().encode()
    yield f"{name}, last hexadecimal", digest[-8:].hex().encode()
    # Ten letters of six bits are in the first eight bytes for certain.
    base64 = b64encode(digest)[:10]
    yield f"{name}, base64", base64
    yield f"{name}, base64 for URLs", base64.translate(bytes.maketrans(b"+/", b"-_"))
    if len(digest) >= 16:
        yield f"{name}, as a UUID", str(UUID(bytes=digest[:16]))[:18].encode()


def _inner_base64(raw: bytes, shift: int) -> bytes:
    """Return the letters that base64 gives these bytes wherever they stand, ``shift`` bytes into a group."""
    encoded = b64encode(b"\0" * shift + raw)
    begin = -(-shift * 8 // 6)
    end = (shift + len(raw)) * 8 // 6
    return encoded[begin:end]
