"""Forms that come back as they went, paths that stay on this site, seals that hold."""

from __future__ import annotations

import json
import string
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urljoin, urlsplit

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwe import JWERegistry
from joserfc.jwk import OctKey

from reliant.errors import printable
from reliant.protocol.messages import integer
from reliant.protocol.sealing import derive_key
from reliant.protocol.values import (
    Secret,
    append_query,
    encode_form,
    is_local_path,
    is_secure_url,
    origin_of,
    parse_parameters,
    same,
)
from reliant.storage.sealed import Sealer
from tests.properties.strategies import any_json, any_text

SITE = "https://site.example"
NEW = Sealer(["the new key", "the old key"], "login")
OLD = Sealer(["the old key"], "login")

encodable = st.text(max_size=30)
parameters = st.dictionaries(encodable.filter(bool), encodable.filter(bool), max_size=10)
# Text in which slashes, backslashes and blanks of all kinds are common.
path_like = st.text(st.sampled_from("/\\:@?#.% \t\r\n\x00\x7fabc\u2028\uff0f\ud800"), max_size=12)
paths = any_text.map("/".__add__) | path_like | path_like.map("/".__add__)


@given(parameters)
def test_a_form_comes_back_as_it_went(form: dict[str, str]) -> None:
    assert parse_parameters(encode_form(form)) == (form, None)


@given(any_text | st.text("&=a%+", max_size=100))
def test_any_query_is_parsed_and_what_is_repeated_is_named(text: str) -> None:
    try:
        found, repeated = parse_parameters(text)
    except ValueError:
        assert text.count("&") >= 64
        return
    names = [name for name, _ in parse_qsl(text, keep_blank_values=True)]
    assert (repeated is not None) == (len(names) != len(set(names)))
    assert all(found.values())


@given(parameters)
def test_a_query_is_added_to_the_one_that_is_there(extra: dict[str, str]) -> None:
    url = append_query("https://op.example/a?tenant=t#f", extra)
    assert parse_qsl(urlsplit(url).query) == [("tenant", "t"), *extra.items()]
    assert url.isascii()
    assert "+" not in url


values_of_a_form = any_text | st.text("aZ0-._~+ /", max_size=9) | st.integers() | st.none() | (
    st.lists(st.text("a/ ", max_size=3), max_size=3)
)  # fmt: skip


@given(st.dictionaries(st.text("aZ0-._~+ /", max_size=9), values_of_a_form, max_size=5))
def test_a_form_is_what_urlencode_makes_of_it(form: dict[str, Any]) -> None:
    """It passes by what needs no quoting, and must not come to another result by that."""
    pairs = [(name, value) for name, value in form.items() if value is not None]
    try:
        expected = urlencode(pairs, doseq=True)
    except UnicodeEncodeError:  # half a surrogate pair
        with pytest.raises(UnicodeEncodeError):
            encode_form(form)
        return
    assert encode_form(form) == expected
    query = append_query("https://op.example/", form).partition("?")[2]
    assert query == urlencode(pairs, doseq=True, quote_via=quote)


@given(paths)
def test_a_local_path_stays_on_this_site(path: str) -> None:
    if not is_local_path(path):
        return
    assert httpx2.URL(SITE).join(path).host == "site.example"
    assert urlsplit(urljoin(SITE + "/a/b", path)).netloc == "site.example"
    assert urlsplit(SITE + path).netloc == "site.example"
    assert not path.replace("\\", "/").startswith("//")
    path.encode()


@given(any_text | path_like.map("https:".__add__) | path_like.map("https://x".__add__))
def test_an_origin_is_that_of_httpx(url: str) -> None:
    """Where the two read a URL differently, a token could go astray."""
    origin = origin_of(url)
    assert not is_secure_url(url) or origin is not None
    try:
        other = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError):
        return  # it will not be sent
    if origin is not None and other.scheme in ("http", "https") and other.raw_host:
        assert origin[1] == unquote(other.host).lower() or not origin[1].isascii()


@given(any_text, any_text)
def test_same_is_equality(left: str, right: str) -> None:
    assert same(left, right) is (left == right)
    assert same(left, left)
    assert (Secret(left) == Secret(right)) is (left == right)


@given(any_text.filter(lambda text: len(text) > 3))
def test_a_secret_never_shows(text: str) -> None:
    assert text not in f"{Secret(text)} {Secret(text)!r}" or text in repr(Secret(""))


@given(any_json)
def test_an_integer_is_one_or_none(value: Any) -> None:
    number = integer(value)
    assert number is None or (type(number) is int and abs(number) < 10**15)


@given(any_text | st.text(max_size=1000), st.integers(1, 400))
def test_printable_fits_one_line(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit


# -- seals ---------------------------------------------------------------------------------------

values = st.dictionaries(any_text, st.none() | st.booleans() | st.integers() | any_text, max_size=5)


@given(values)
def test_what_was_sealed_opens(value: dict[str, Any]) -> None:
    sealed = NEW.seal(value)
    assert NEW.open(sealed) == value
    assert sealed.isascii()
    assert NEW.seal(value) != sealed


@given(values)
def test_an_old_key_still_opens_and_a_new_one_is_not_known_to_the_old(
    value: dict[str, Any],
) -> None:
    assert NEW.open(OLD.seal(value)) == value
    assert OLD.open(NEW.seal(value)) is None


@given(values)
def test_what_was_sealed_for_another_purpose_stays_closed(value: dict[str, Any]) -> None:
    assert Sealer(["the new key"], "logout").open(NEW.seal(value)) is None


@given(values, st.data())
def test_a_seal_that_was_touched_stays_closed(value: dict[str, Any], data: st.DataObject) -> None:
    sealed = NEW.seal(value)
    place = data.draw(st.integers(0, len(sealed) - 1))
    character = data.draw(st.sampled_from("ABCxyz019-_.=") | st.characters())
    touched = sealed[:place] + character + sealed[place + 1 :]
    assert touched == sealed or NEW.open(touched) is None
    assert NEW.open(sealed[:place]) is None
    assert NEW.open(sealed + character) is None


@given(any_text | st.lists(st.text("AQgwe30-_", max_size=20), max_size=6).map(".".join))
def test_what_was_never_sealed_stays_closed(text: str) -> None:
    assert NEW.open(text) is None


@given(values)
def test_a_seal_is_a_jwe_that_others_read_and_make(value: dict[str, Any]) -> None:
    """RFC 7516 with "dir" and A256GCM; also what an older release has sealed must open."""
    key = OctKey.import_key(derive_key("the new key", "login"))
    registry = JWERegistry(algorithms=["dir", "A256GCM"])
    opened = jwe.decrypt_compact(NEW.seal(value), key, registry=registry)
    assert json.loads(opened.plaintext or b"") == value
    header = {"alg": "dir", "enc": "A256GCM"}
    made = jwe.encrypt_compact(header, json.dumps(value), key, registry=registry)
    assert NEW.open(made) == value


@given(values)
def test_a_seal_has_one_spelling(value: dict[str, Any]) -> None:
    """In another one, a value that was used would pass once more."""
    sealed = NEW.seal(value)
    head, empty, vector, text, tag = sealed.split(".")
    for other in (
        f"{head}=.{empty}.{vector}.{text}.{tag}",
        f"{head}.{empty}.{vector}.{text}.{tag}=",
        f"{head}.{empty}.{vector}.{text}.{tag[:-1]}{_next(tag[-1])}",
        f"{head}.{empty}.{vector}.{text}.{tag}\n",
        f"{head}.{empty}.{vector.replace('-', '+').replace('_', '/')}.{text}.{tag}",
        f"{head}.{vector}.{vector}.{text}.{tag}",
        f"{head}.{empty}.{vector}.{text}{tag}.",
    ):
        assert other == sealed or NEW.open(other) is None


def _next(letter: str) -> str:
    """The letter whose last bit differs: the last of a tag has bits that say nothing."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    return letters[letters.index(letter) ^ 1]


@given(values)
def test_a_seal_shows_nothing_of_what_it_holds(value: dict[str, Any]) -> None:
    secret = "the-secret-within"
    assert secret not in NEW.seal({**value, "secret": secret})
    assert secret not in repr(NEW)
