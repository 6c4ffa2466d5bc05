"""The parsers of requests, signatures and release indexes: whatever comes, they read it or say why not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.errors import Code, ColvertError
from builder.pipeline.key import digest_bytes
from builder.signing.request import (
    ITEMS,
    Item,
    Kind,
    Request,
    Signature,
    Signatures,
    parse_request,
    parse_signatures,
    to_base64,
    to_text,
)
from builder.updates.contents import Contents, Enveloped, KeyNames, Listed, parse_contents
from builder.updates.dsse import pae

HERE = Path("request.json")
DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
NAMES = st.from_regex("[a-z0-9]{1,9}(-[a-z0-9]{1,9})?", fullmatch=True)
LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=80)
VERSIONS = st.from_regex(r"[0-9]{1,4}(\.[0-9a-z]{1,4}){0,3}", fullmatch=True)


@st.composite
def items(draw: st.DrawFn) -> Item:
    kind, digest, content, kind_of_payload = draw(st.sampled_from(Kind)), draw(DIGESTS), b"", ""
    if kind is Kind.ROOT_HASH:
        content = digest.encode()
    elif kind is Kind.DSSE:
        content, kind_of_payload = draw(st.binary(max_size=200)), draw(LINES.filter(bool))
        digest = digest_bytes(pae(kind_of_payload, content))
    return Item(name=draw(st.sampled_from(ITEMS[kind])), kind=kind, digest=digest, content=to_base64(content),
                payload_type=kind_of_payload, key=draw(NAMES), context=draw(LINES))  # fmt: skip


REQUESTS = st.builds(
    Request,
    image_id=st.just("acme"),
    version=VERSIONS,
    created=st.integers(0, (1 << 63) - 1),
    items=st.lists(items(), min_size=1, max_size=5, unique_by=lambda item: item.name),
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(REQUESTS)
def test_a_request_survives_its_file(request: Request) -> None:
    read = parse_request(to_text(request), HERE)
    assert read == request
    assert read.digest == request.digest
    assert parse_request(request.model_dump_json().encode(), HERE).digest == request.digest


@given(
    st.lists(st.builds(Signature, name=NAMES, keyid=DIGESTS, value=st.binary(min_size=1).map(to_base64))),
    DIGESTS,
)
def test_signatures_survive_their_file(rows: list[Signature], digest: str) -> None:
    made = Signatures(request=digest, signatures=rows)
    assert parse_signatures(to_text(made), HERE) == made


@given(st.binary(max_size=400) | ANY_JSON.map(lambda value: json.dumps(value).encode()))
def test_anything_else_is_refused(data: bytes) -> None:
    for parse in (parse_request, parse_signatures, parse_contents):
        with pytest.raises(ColvertError) as caught:
            parse(data, HERE)
        assert caught.value.code is Code.RELEASE_INVALID


@settings(max_examples=300)
@given(REQUESTS, st.data())
def test_a_changed_byte_is_another_request_or_none(request: Request, data: st.DataObject) -> None:
    text = bytearray(to_text(request))
    at = data.draw(st.integers(0, len(text) - 1))
    text[at] = data.draw(st.integers(0, 255).filter(lambda value: value != text[at]))
    try:
        read = parse_request(bytes(text), HERE)
    except ColvertError as error:
        assert error.code is Code.RELEASE_INVALID
        return
    assert (read.digest == request.digest) == (read == request)


@st.composite
def releases(draw: st.DrawFn) -> Contents:
    path = st.from_regex(r"[a-z0-9_]{1,8}(/[a-z0-9_][a-z0-9_.]{0,8})?", fullmatch=True)
    names = draw(st.lists(path, max_size=6, unique=True))
    rows = [Listed(path=name, size=draw(st.integers(0, 1 << 40)), sha256=draw(DIGESTS)) for name in names[1:]]
    wrapped = [Enveloped(path=name, payload_type="x/y", sha256=draw(DIGESTS)) for name in names[:1]]
    keys = KeyNames(usr="verity", secure_boot="db", release="release")
    return Contents(
        image_id="acme",
        architecture="x86_64",
        version=draw(VERSIONS),
        created=draw(st.integers(0, 1 << 40)),
        root_hash=draw(DIGESTS),
        keys=keys,
        files=rows,
        envelopes=wrapped,
    )


@given(releases())
def test_a_release_index_survives(made: Contents) -> None:
    assert parse_contents(made.payload(), HERE) == made


def fields() -> dict[str, Any]:
    digest = "ab" * 32
    row = {"name": "uki", "kind": "authenticode", "algorithm": "sha256", "digest": digest, "content": "",
           "payload_type": "", "key": "db", "context": "a UKI"}  # fmt: skip
    return {"format": 1, "image_id": "acme", "version": "1.0.0", "created": 1, "items": [row]}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"context": "\x1b[2J"}, "context"),
        ({"name": "../uki"}, "name"),
        ({"name": "uki2"}, "uki, loader"),
        ({"name": "usr-root-hash"}, "uki, loader"),
        ({"kind": "raw"}, "kind"),
        ({"algorithm": "sha1"}, "algorithm"),
        ({"digest": "AB" * 32}, "digest"),
        ({"content": "YWI="}, "only a digest"),
        ({"kind": "pkcs7-roothash", "content": to_base64(b"cd" * 32)}, "not the root hash"),
        ({"kind": "dsse", "payload_type": "a/b", "content": "YWI="}, "does not match the content"),
        ({"payload_type": "a/b"}, "payload type"),
        ({"content": "YWJ="}, "unused bits"),
        ({"more": 1}, "more"),
    ],
)
def test_items_that_are_refused(changed: dict[str, Any], why: str) -> None:
    whole = fields()
    parse_request(json.dumps(whole).encode(), HERE)
    whole["items"][0] |= changed
    with pytest.raises(ColvertError, match=why):
        parse_request(json.dumps(whole).encode(), HERE)


@pytest.mark.parametrize("path", ["../up", "/etc/passwd", "a//b", ".hidden", "a/.git", "a/..", "a b", ""])
def test_paths_that_lead_out(path: str) -> None:
    row = {"path": path, "size": 1, "sha256": "ab" * 32}
    whole = {"format": 1, "image_id": "acme", "architecture": "x86_64", "version": "1", "created": 1,
             "root_hash": "ab" * 32, "keys": {"usr": "a", "secure_boot": "b", "release": "c"},
             "files": [row], "envelopes": []}  # fmt: skip
    with pytest.raises(ColvertError, match="path"):
        parse_contents(json.dumps(whole).encode(), HERE)
