"""Headers, as pure functions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.errors import RequestError
from headroom.proxy import headers, routes
from headroom.proxy.routes import Route

PAIRS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"x-headroom-bypass", b"connection", b"te", b"a", b"b", b"host", b"x-id"]
        ),
        st.text(
            st.characters(codec="utf-8", min_codepoint=32, exclude_characters="\x7f"),
            max_size=9,
        )
        .map(str.strip)
        .map(str.encode),
    )
)


@given(PAIRS)
def test_what_is_kept_is_kept_in_order_and_the_input_is_untouched(pairs):
    before = list(pairs)
    sent = headers.for_upstream(pairs, Route("anthropic", "x"), strips_internal=True)
    assert pairs == before
    kept = [(name.encode(), value.encode()) for name, value in sent.headers]
    rest = iter(pairs)
    assert all(pair in rest for pair in kept)
    assert not [n for n, _ in kept if n.startswith(b"x-headroom-") or n == b"te"]
    assert sent.stripped == sum(n.startswith(b"x-headroom-") for n, _ in pairs)


@pytest.mark.parametrize(
    "name", ["bypass", "mode", "user-id", "stack", "base-url", "session-id", "token"]
)
def test_every_internal_header_is_stripped(name):
    pair = (b"x-headroom-" + name.encode(), b"v")
    sent = headers.for_upstream([pair], Route("openai", "x"), strips_internal=True)
    assert (sent.headers, sent.stripped) == ([], 1)


def test_a_value_that_is_not_utf_8_is_an_error_that_names_only_the_name():
    with pytest.raises(RequestError, match="x-a") as caught:
        headers.for_upstream(
            [(b"x-a", b"s3cret\xff")], Route("openai", "x"), strips_internal=True
        )
    assert "s3cret" not in str(caught.value)


def test_answers_lose_what_would_break_their_framing():
    received = [
        (b"Content-Type", b"text/plain"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"x-bad", b"a\x00b"),
        (b"x(bad)", b"a"),
        (b"x-tab", b"a\tb"),
        (b"x-request-id", b"theirs"),
    ]
    assert headers.for_client(received) == [
        (b"content-type", b"text/plain"),
        (b"x-tab", b"a\tb"),
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/json", True),
        (b"Application/JSON ; charset=utf-8", True),
        (b"application/json5", False),
        (b"text/plain", False),
    ],
)
def test_json_is_told_by_its_media_type(value, expected):
    assert headers.is_json([(b"content-type", value)]) is expected


def test_a_missing_content_type_is_not_json():
    assert not headers.is_json([])


@pytest.mark.parametrize(
    ("value", "expected"), [(b"12", 12), (b"-1", None), (b"", None), (b"1e3", None)]
)
def test_a_length_is_a_number_or_unknown(value, expected):
    assert headers.content_length([(b"content-length", value)]) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"abc-1", "abc-1"), (b"", None), (b"a\xe9", None), (b"x" * 129, None)],
)
def test_a_request_id_is_repeated_only_if_it_is_fit_to_be(value, expected):
    assert headers.request_id([(b"x-request-id", value)]) == expected


@pytest.mark.parametrize(
    "path",
    [
        b"/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/invoke",
        b"/v1/projects/p/locations/us-east5/publishers/anthropic/models/c:rawPredict",
    ],
)
def test_keys_of_other_apis_never_reach_a_cloud(path):
    keys = [
        (b"x-api-key", b"sk-ant-1"),
        (b"x-api-key", b"sk-proj-2"),
        (b"api-key", b"azure-3"),
        (b"authorization", b"Bearer sk-proj-4"),
    ]
    gateway = (b"x-api-key", b"gateway-5")
    route = routes.choose(path, keys)
    found = headers.for_upstream([*keys, gateway], route, strips_internal=True)
    assert found.headers == [("x-api-key", "gateway-5")]
