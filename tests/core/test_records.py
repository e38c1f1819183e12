"""A JSON result told by what differs from an earlier one gives the same JSON back."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes import DictStore, forward

from headroom.core.digest import content_digest
from headroom.core.repeats import Base, make_source, relate, restore
from headroom.core.types import ToolCall

ORDER = {
    "order_id": "#W51",
    "user_id": "mei_patel_7272",
    "address": {"street": "445 Maple Drive", "city": "Austin", "zip": "78712"},
    "items": [
        {"name": "Tea Kettle", "item_id": "98327", "price": 65.10, "size": "1.5L"},
        {"name": "Yoga Mat", "item_id": "46359", "price": 90.0, "size": "L"},
    ],
    "status": "pending",
    "payments": [
        {"type": "payment", "amount": 155.1, "source": "paypal_5364164"},
        {"type": "discount", "amount": -5.5, "source": "gift_card_1675628"},
    ],
    "eta": "tomorrow, between eight and ten",
}


def base(value, name="1", through=(), call=None):
    text = value if isinstance(value, str) else json.dumps(value)
    return Base(make_source(name, content_digest(text), text, call), through)


def related(new, *bases):
    text = new if isinstance(new, str) else json.dumps(new)
    return relate(text, bases, len)


def restored(found, **originals):
    return json.loads(restore(found.text, originals))


def changed(**members):
    return {**ORDER, **members}


def test_a_changed_order_is_told_by_what_changed():
    paid = [*ORDER["payments"], {"type": "refund", "amount": 155.1}]
    new = changed(status="cancelled", payments=paid)
    call = ToolCall("a", "get_order", b'{"order_id": "#W51"}')
    found = related(new, base(ORDER, "5", call=call))
    assert found.text == (
        "[as #5 get_order #W51 but:]\n"
        "status: cancelled\n"
        "payments[2]: {type:refund amount:155.1}"
    )
    assert found.refers_to == (content_digest(json.dumps(ORDER)),)
    assert json.loads(restore(found.text, {"5": json.dumps(ORDER)})) == new


def test_the_same_again_is_one_line():
    found = related(ORDER, base(ORDER))
    assert found.text == '[as #1 "{"order_id": "#W51", "user_id": "]'
    assert json.loads(restore(found.text, {"1": json.dumps(ORDER)})) == ORDER


def test_what_is_gone_is_named():
    new = {key: value for key, value in ORDER.items() if key != "eta"}
    new = {**new, "items": ORDER["items"][:1]}
    found = related(new, base(ORDER))
    assert found.text.endswith(" but:]\nitems[1+]: -\neta: -")
    assert json.loads(restore(found.text, {"1": json.dumps(ORDER)})) == new


def test_the_order_of_keys_and_the_letters_of_numbers_come_back():
    old = json.dumps(ORDER, separators=(",", ":")).replace("90.0", "90.00")
    new = old.replace("90.00", "9e1")
    found = related(new, base(old))
    assert "9e1" in found.text
    assert restore(found.text, {"1": old}) == new
    backwards = dict(reversed(list(ORDER.items())))
    assert related(backwards, base(ORDER)) is None


def test_the_most_alike_of_several_is_taken():
    other = changed(order_id="#W52", status="delivered", items=[], eta="never again")
    new = changed(status="cancelled")
    found = related(new, base(ORDER, "3"), base(other, "4"))
    assert found.text.startswith("[as #3 ")


def test_a_base_that_an_earlier_form_has_named_is_told_by_its_number():
    call = ToolCall("a", "get_order", b'{"order_id": "#W51"}')
    known, second = base(ORDER, "5", call=call), changed(eta="next week")
    again = base(second, "6", through=(known.source.digest,))
    new = changed(status="cancelled")
    assert related(new, known).text == "[as #5 get_order #W51 but:]\n" + (
        told := "status: cancelled"
    )
    found = related(new, known, again)
    assert found.text == f"[as #5 but:]\n{told}"
    assert json.loads(restore(found.text, {"5": json.dumps(ORDER)})) == new
    quoted = related(new, base(ORDER, "5"), again)
    assert quoted.text.startswith('[as #5 "')


def test_what_the_own_call_says_is_left_to_the_call():
    old = base(ORDER, "5", call=ToolCall("a", "get_order", b'{"order_id": "#W51"}'))
    new = changed(order_id="#W5288", status="cancelled")
    call = ToolCall("b", "get_order", b'{"order_id": "#W5288", "status": "open"}')
    found = relate(json.dumps(new), [old], len, call)
    assert found.text == "[as #5 #W51 with this order_id but:]\nstatus: cancelled"
    originals = {"5": json.dumps(ORDER)}
    assert json.loads(restore(found.text, originals, call)) == new
    with pytest.raises(ValueError, match="no such form"):
        restore(found.text, originals)
    same = changed(order_id="#W5288")
    found = relate(json.dumps(same), [old], len, call)
    assert found.text == "[as #5 #W51 with this order_id]"
    assert json.loads(restore(found.text, originals, call)) == same


@pytest.mark.parametrize(
    "words", [b"", b"[1]", b"{", b"[" * 9999, b'{"order_id": 5288}']
)
def test_a_call_that_says_nothing_of_use_is_passed_over(words):
    new = changed(order_id="#W5288", status="cancelled")
    found = relate(json.dumps(new), [base(ORDER)], len, ToolCall("b", "get", words))
    assert found.text.endswith("but:]\norder_id: #W5288\nstatus: cancelled")


def test_a_label_that_reads_like_notation_misleads_nobody():
    for said, label in (
        (b'{"query": "lines with this order_id"}', "find lines"),
        (b'{"query": "x but:"}', "find x but:"),
    ):
        old = base(ORDER, "5", call=ToolCall("a", "find", said))
        found = related(changed(status="cancelled"), old)
        assert found.text == f"[as #5 {label} but:]\nstatus: cancelled"
        assert restored(found, **{"5": json.dumps(ORDER)})["status"] == "cancelled"


def test_an_element_like_another_is_told_by_what_differs():
    paid = [*ORDER["payments"], {**ORDER["payments"][0], "type": "refund"}]
    found = related(changed(payments=paid), base(ORDER))
    assert found.text.endswith("\npayments[2=0].type: refund")
    assert restored(found, **{"1": json.dumps(ORDER)})["payments"] == paid


def test_long_numerals_are_strings_where_the_earlier_result_has_them_so():
    ids = ["98327", "46359", "0046359", "-98327"]
    new = changed(returned=ids, total=42)
    found = related(new, base(ORDER))
    assert found.text.endswith('returned: [98327 46359 0046359 "-98327"]\ntotal: 42')
    assert restored(found, **{"1": json.dumps(ORDER)}) == new
    mixed = changed(returned=ids, total=98327)
    found = related(mixed, base(ORDER))
    assert restored(found, **{"1": json.dumps(ORDER)}) == mixed
    other = {**ORDER, "total": 98327}
    found = related({**other, "returned": ids}, base(other))
    assert 'returned: ["98327" "46359" "0046359" "-98327"]' in found.text


@pytest.mark.parametrize(
    "body", ["a[9=7].b: 1", "items.x: 1", "nothing[0]: 1", "gone: -", "#json>[a]\n1"]
)
def test_a_forged_form_is_refused(body):
    with pytest.raises(ValueError, match=r"."):
        restore(f"[as #1 but:]\n{body}", {"1": json.dumps(ORDER)})


def test_a_chain_of_references_ends():
    new = changed(status="cancelled")
    assert related(new, base(ORDER, through=("x", "y"))) is not None
    assert related(new, base(ORDER, through=("x", "y"))).refers_to[1:] == ("x", "y")
    assert related(new, base(ORDER, through=("x", "y", "z"))) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1, 2",
        "[" * 5000,
        '{"a": NaN}' + " " * 300,
        '{"a": 1, "a": 2}' + " " * 300,
        '{"a": "\\ud800"}' + " " * 300,
        "not JSON at all, but long enough to be looked at" * 10,
        json.dumps({"x": "short"}),
    ],
)
def test_what_is_no_sound_json_has_no_such_form(text):
    assert related(text, base(ORDER)) is None
    assert related(ORDER, base(text)) is None


def test_names_that_look_like_paths_are_told_by_what_holds_them():
    labels = {"app.kubernetes.io/name": "web", "a[0]": "x", "(gone)": "y", "": "z"}
    old = {**ORDER, "labels": labels}
    new = {**ORDER, "labels": {**labels, "a[0]": "another"}}
    found = related(new, base(old))
    assert json.loads(restore(found.text, {"1": json.dumps(old)})) == new
    assert related({**ORDER, "(gone)": []}, base(ORDER)) is None
    assert related({**ORDER, "a.b": 1}, base(ORDER)) is None


LONG = st.sampled_from(["12345", "00712", "1234", "123456789012", "-98765", "1e9999"])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 99)
    | st.text("ab.[]()+ 0", max_size=4)
    | LONG
    | st.just(56789),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abc.[]()+0", max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
FILLER = {"filler": "what makes it long enough to be worth a reference " * 6}


@given(st.dictionaries(st.text("abc0", min_size=1, max_size=2), VALUES), VALUES)
def test_every_form_gives_the_json_back(old, change):
    old = FILLER | {"first": change} | old
    for key in (*old, "new"):
        for new in (
            old | {key: change},
            {k: v for k, v in old.items() if k != key} | FILLER,
            {**old, key: [old[key], change] if key in old else change},
        ):
            found = related(new, base(old))
            if found is not None:
                text = restore(found.text, {"1": json.dumps(old)})
                assert text == json.dumps(new, separators=(",", ":"))


@given(st.lists(VALUES, max_size=6), st.lists(VALUES, max_size=6))
def test_lists_come_back_too(old, new):
    filler = [FILLER, FILLER]
    found = related([*filler, *new], base([*filler, *old]))
    if found is not None:
        text = restore(found.text, {"1": json.dumps([*filler, *old])})
        assert json.loads(text) == [*filler, *new]


def conversation(*results):
    messages = [{"role": "user", "content": "go"}]
    for number, text in enumerate(results):
        call = f"toolu_{number}"
        use = {"type": "tool_use", "id": call, "name": "get_order", "input": {"n": 1}}
        result = {"type": "tool_result", "tool_use_id": call, "content": text}
        messages.append({"role": "assistant", "content": [use]})
        messages.append({"role": "user", "content": [result]})
    return messages


def sent(messages, store):
    body = {"model": "claude-x", "max_tokens": 9, "messages": messages}
    forwarded, _ = forward(body, store)
    return [
        m["content"][0]["content"]
        for m in json.loads(forwarded)["messages"]
        if isinstance(m["content"], list) and m["content"][0]["type"] == "tool_result"
    ]


def test_in_a_conversation_each_result_is_told_by_the_one_before_and_stays_so():
    orders = [changed(status=f"step {i} of the long way to you") for i in range(7)]
    texts = [json.dumps(order) for order in orders]
    store, before = DictStore(), []
    for turns in range(1, len(texts) + 1):
        now = sent(conversation(*texts[:turns]), store)
        assert now[: len(before)] == before
        before = now
    assert not before[0].startswith("[as #")
    assert all(form.startswith("[as #") for form in before[1:])
    assert [form.split("\n")[0] for form in before[2:4]] == ["[as #1 but:]"] * 2
