"""What requests ask for, and the same for another model."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.broker.asking import (
    beginning,
    form_with_model,
    is_form_of,
    path_with_model,
    read_form,
    read_json,
    with_model,
)
from headroom.errors import MalformedBodyError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "a", 'x"model"']), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["tools", "a", "z"]), JSON), st.text(max_size=9))
def test_only_the_request_s_own_model_changes(rest, name):
    for members in ({"model": "fast", **rest}, {**rest, "model": "fast"}):
        body = json.dumps(members).encode()
        assert read_json(body).model == "fast"
        changed = with_model(body, "fast", name)
        assert json.loads(changed) == {**members, "model": name}


def test_all_other_bytes_stay_and_the_same_name_changes_nothing():
    body = b'{"a":1.0e1, "model" :\n"f\\u0061st\\"" ,"b":"\\u00e9"}'
    assert read_json(body).model == 'fast"'
    changed = with_model(body, 'fast"', "x")
    assert changed == b'{"a":1.0e1, "model" :\n"x" ,"b":"\\u00e9"}'
    assert with_model(body, "same", "same") is body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"model":1}',
        b"\xff",
        b'{"model":"' + b"x" * 999 + b'"}',
    ],
)
def test_what_cannot_be_read_is_malformed(body):
    with pytest.raises(MalformedBodyError):
        read_json(body)


@pytest.mark.parametrize(
    "members",
    [
        b'"model":"cheap","model":"dear"',
        b'"model":"dear","messages":[],"model":"cheap"',
        b'"mod\\u0065l":"dear","model":"cheap"',
        b'"model":"cheap","mod\\u0065l":"dear"',
        b'"mod\\u0065l":"cheap"',
        b'"model":"cheap","n":9,"n":1',
        b'"model":"m","previous_response_id":"a","previous_response_id":"b"',
    ],
)
def test_what_backends_may_read_in_two_ways_is_refused(members):
    with pytest.raises(MalformedBodyError, match="repeated"):
        read_json(b"{" + members + b"}")


def test_members_further_down_may_be_called_as_they_like():
    body = b' {"tools":[{"model":1,"model":2}],"a":"\xff\\ud83d","model":"m"}\n'
    assert read_json(body).model == "m"
    assert with_model(body, "m", "other") == body.replace(b'"m"', b'"other"')


def test_a_conversation_begins_as_it_did_whatever_is_added():
    def body(*messages, name="messages", **more):
        return json.dumps({**more, name: list(messages)}).encode()

    first = {"role": "user", "content": "do this"}
    marked = {"type": "text", "text": "do this", "cache_control": {"type": "ephemeral"}}
    same = [
        body(first),
        body({"role": "system", "content": "s"}, first, first, tools=[1]),
        body({"role": "user", "content": [marked]}),
        body(first, name="input"),
        body({"role": "user", "parts": [{"text": "do this"}]}, name="contents"),
    ]
    assert len({beginning(b) for b in same}) == 1
    assert beginning(body({"role": "user", "content": "else"})) != beginning(same[0])
    assert beginning(b'{"input":"do this"}') == beginning(b'{"x":1,"input":"do this"}')


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_no_body_is_too_strange_to_have_a_beginning(body):
    assert isinstance(beginning(body), bytes)
    assert isinstance(beginning(b'{"messages":%b}' % body), bytes)


FORM = (
    b'--B\r\nContent-Disposition: form-data; name="file"\r\n\r\n\x00\xff'
    b' name="model"\r\n'
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nfast\r\n--B--\r\n'
)


def test_a_form_s_model_is_its_field_and_no_text_in_a_file():
    assert read_form(FORM).model == "fast"
    assert form_with_model(FORM, "x-1") == FORM.replace(b"\nfast\r", b"\nx-1\r")
    assert read_form(b'name="model"').model == ""
    with pytest.raises(MalformedBodyError):
        form_with_model(FORM, "a\r\n--B")


@given(st.binary(max_size=300))
def test_no_form_is_too_strange(data):
    for form in (data, FORM[:60] + data + FORM[60:]):
        found = read_form(form)
        assert isinstance(found.model, str)
        assert found == read_form(form)


def test_a_name_in_a_path_is_quoted():
    path = b"/v1beta/models/fast:streamGenerateContent"
    found = path_with_model(path, "a/b:c")
    assert found == b"/v1beta/models/a%2Fb%3Ac:streamGenerateContent"


def test_the_model_is_found_behind_any_number_of_calls_that_name_one():
    call = {"type": "tool_use", "name": "Task", "input": {"model": "sonnet"}}
    request = {"messages": [{"content": [call]}] * 500, "model": "fast"}
    changed = with_model(json.dumps(request).encode(), "fast", "other")
    assert json.loads(changed) == {**request, "model": "other"}


FIELD = b"--x\r\nContent-Disposition: form-data; name=%b\r\n\r\n%b\r\n"


@pytest.mark.parametrize("name", [b'"model"', b"model", b"utf-8''model", b'"MODEL"'])
def test_a_form_that_names_two_models_is_refused(name):
    other = FIELD % (name, b"other")
    if b"utf-8" in name:
        other = other.replace(b"name=", b"name*=")
    for body in (FIELD % (b'"model"', b"fast") + other, other * 2):
        with pytest.raises(MalformedBodyError):
            read_form(body + b"--x--\r\n")


def test_files_may_say_model_as_often_as_they_like():
    file = FIELD % (b'"file"; filename="a"', b'\r\nname="model"\r\n\r\n' * 100_000)
    body = file + FIELD % (b'"model"', b"fast") + b"--x--\r\n"
    started = time.perf_counter()
    assert read_form(body).model == "fast"
    assert form_with_model(body, "m") == body.replace(b"fast", b"m")
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"multipart/form-data; boundary=x", True),
        (b'multipart/form-data; charset=utf-8; Boundary="x"', True),
        (b"multipart/form-data; boundary=y", False),
        (b"multipart/form-data", False),
    ],
)
def test_a_form_is_read_with_the_boundary_that_its_backend_uses(kind, expected):
    assert is_form_of(kind, FIELD % (b'"model"', b"fast")) is expected
