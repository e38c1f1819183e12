import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.cachelab.prefix import encode, lay_out, parse

MARK = {"type": "ephemeral"}


def count(_digest, text):
    return len(text)


def keys(**request):
    return [unit.key for unit in lay_out({"messages": [], **request}, count)]


def user(content):
    return {"role": "user", "content": content}


def result(content, **more):
    return user(
        [{"type": "tool_result", "tool_use_id": "a", "content": content, **more}]
    )


def text(words, **more):
    return {"type": "text", "text": words, **more}


def test_the_order_is_tools_system_messages():
    units = lay_out(
        {
            "messages": [user("m")],
            "system": "s",
            "tools": [{"name": "t", "input_schema": {}}],
        },
        count,
    )
    assert [u.section for u in units] == ["tools", "system", "messages"]
    assert [u.path for u in units] == [
        "tools.0",
        "system.0",
        "messages.0.content.0",
    ]
    assert [u.block for u in units] == [0, 1, 2]


def test_a_string_is_the_one_text_block_it_means():
    assert keys(messages=[user("x")]) == keys(messages=[user([text("x")])])
    assert keys(system="x") == keys(system=[text("x")])
    assert keys(messages=[result("x")]) == keys(messages=[result([text("x")])])


def test_markers_do_not_change_the_prefix():
    plain = keys(messages=[result([text("x"), text("y")])], system="s")
    marked = keys(
        messages=[
            result([text("x", cache_control=MARK), text("y")], cache_control=MARK)
        ],
        system=[text("s", cache_control=MARK)],
    )
    assert plain == marked


def test_a_marker_on_a_part_ends_at_that_part_and_one_on_the_result_at_its_end():
    request = {"messages": [result([text("x", cache_control=MARK), text("y")])]}
    assert [bool(u.marker) for u in lay_out(request, count)] == [True, False]
    request = {"messages": [result([text("x"), text("y")], cache_control=MARK)]}
    assert [bool(u.marker) for u in lay_out(request, count)] == [False, True]


def test_the_parts_of_a_result_are_one_block_for_the_look_back():
    request = {"messages": [result([text("x"), text("y")]), user("z")]}
    assert [u.block for u in lay_out(request, count)] == [0, 0, 1]
    assert lay_out(request, count)[1].path == "messages.0.content.0.content.1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (user("x"), user("y")),
        (user("x"), {"role": "assistant", "content": "x"}),
        (result("x"), result("x", is_error=True)),
        (result("x"), result([text("x"), text("x")])),
        (user([text("x"), text("y")]), user([text("xy")])),
    ],
)
def test_different_content_is_a_different_prefix(one, other):
    assert keys(messages=[one])[-1] != keys(messages=[other])[-1]


def test_the_key_order_of_arguments_counts_and_their_whitespace_does_not():
    def arguments(body):
        block = b'{"type":"tool_use","id":"a","name":"b","input":%s}' % body
        message = b'{"messages":[{"role":"assistant","content":[%s]}]}' % block
        return keys(**parse(message))

    assert arguments(b'{"a": 1, "b": 2}') == arguments(b'{"a":1,"b":2}')
    assert arguments(b'{"b":2,"a":1}') != arguments(b'{"a":1,"b":2}')


def test_tool_choice_and_thinking_settings_belong_to_the_messages_only():
    plain = keys(messages=[user("x")], system="s")
    other = keys(messages=[user("x")], system="s", tool_choice={"type": "any"})
    assert plain[0] == other[0]
    assert plain[1] != other[1]


def test_consecutive_messages_of_one_role_are_one_turn():
    split = keys(messages=[user("x"), user("y")])
    assert split == keys(messages=[user([text("x"), text("y")])])


def test_what_is_counted():
    call = {"type": "tool_use", "id": "a", "name": "Bash", "input": {"b": 1}}
    units = lay_out(
        {
            "messages": [
                user([text("four"), {"type": "image", "source": {}}]),
                {"role": "assistant", "content": [call]},
                result("result"),
                result([]),
            ]
        },
        count,
    )
    assert [u.tokens for u in units] == [4, 1600, len('Bash {"b":1}'), 6, 0]
    assert [u.is_tool_output for u in units] == [False, False, False, True, True]
    assert units[3].name == "Bash"


def test_the_top_level_marker_stands_on_the_last_block():
    units = lay_out({"messages": [user("x"), user("y")], "cache_control": MARK}, count)
    assert [bool(u.marker) for u in units] == [False, True]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b'{"a":NaN}', b'"x"', b"{}x", b"[" * 5000, b'{"a":"\xff"}'],
)
def test_what_is_no_json_object_is_told(body):
    assert isinstance(parse(body), str)


def test_numbers_out_of_range_are_json():
    for number in (b"123456789012345678901234567890", b"1e400", b"7" * 5000):
        parsed = parse(b'{"a":%s}' % number)
        assert isinstance(parsed, dict)
        assert number in encode(parsed)


@given(st.lists(st.text(min_size=1), min_size=1, max_size=6))
def test_the_prefix_of_a_longer_conversation_is_the_shorter_ones(texts):
    messages = [user(words) for words in texts]
    whole = keys(messages=messages)
    for end in range(len(messages)):
        assert keys(messages=messages[:end]) == whole[:end]
