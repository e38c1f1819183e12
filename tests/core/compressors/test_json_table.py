"""The JSON compressor: what it gives back, what it refuses, what it never does."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.json_table import (
    COMPRESSOR,
    FormError,
    compress,
    decode,
    detect,
)
from headroom.core.compressors.json_table.encode import encode
from headroom.core.compressors.json_table.parse import compact, read
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context

CONTEXT = Context(count=estimate_tokens)

WORDS = [
    "a", "b", "id", "name", "true", "null", "-", "12", "1.0", "", "x y", "a;b", "[q]",
    "{z", "}", "=k", "*1", '"q"', "k:v", "é", "\n", "a\tb", " lead", "trail ", "@",
    "@id",
    "a.b", "\\", "日本", "a long string that stands in many cells of a table",
    "a-long-string-that-stands-in-many-cells-of-a-table",
]  # fmt: skip

scalars = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=6),
    st.integers(-(10**30), 10**30),
    st.sampled_from([0, 1, 1.5, True, False, None]),
)


def _objects(inner):
    """Objects that are alike, with some keys missing and some values varied."""
    keys = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True)
    return keys.flatmap(
        lambda known: st.lists(
            st.fixed_dictionaries({}, optional=dict.fromkeys(known, inner)),
            min_size=1,
            max_size=8,
        )
    )


def _keyed(inner):
    return _objects(inner).map(
        lambda rows: {f"{WORDS[i]}{i}": row for i, row in enumerate(rows)}
    )


values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
        _objects(inner),
        _keyed(inner),
    ),
    max_leaves=60,
)
documents = values.filter(lambda value: isinstance(value, (dict, list)))


def lossless(text: str) -> str:
    found = settled(compress(text, CONTEXT))
    assert found is not None
    assert found.lossless is not None
    return found.lossless.text


def restored(form: str) -> str:
    return decode(form) if form.startswith("#json") else compact(read(form))


@settings(max_examples=150, deadline=None)
@given(documents, st.sampled_from([None, 2]))
def test_any_document_comes_back_with_its_keys_in_order(value, indent):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    found = settled(compress(text, CONTEXT))
    if found is not None and found.lossless is not None:
        assert restored(found.lossless.text) == compact(read(text))


@settings(max_examples=100, deadline=None)
@given(documents)
def test_a_form_is_never_larger_than_json_without_blanks(value):
    text = json.dumps(value, indent=4, ensure_ascii=False)
    short = compact(read(text))
    if len(short) < len(text):
        form = lossless(text)
        assert len(form) <= len(short)
        assert estimate_tokens(form) <= estimate_tokens(short)


@settings(max_examples=60, deadline=None)
@given(documents)
def test_compressing_twice_changes_nothing(value):
    found = settled(compress(json.dumps(value, indent=1), CONTEXT))
    if found is not None and found.lossless is not None:
        assert compress(found.lossless.text, CONTEXT) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(documents, min_size=2, max_size=6))
def test_json_lines_come_back_one_to_a_line(many):
    text = "\n".join(json.dumps(one) for one in many)
    found = settled(compress(text, CONTEXT))
    if found is not None and found.lossless is not None:
        assert restored(found.lossless.text) == compact(read(text))


def test_numbers_keep_their_lexemes():
    lexemes = ["1.0", "1e-9", "1E+5", "-0", "123456789012345678901234567890", "0.10"]
    text = (
        "["
        + ",\n   ".join(f'{{"id": "x{i}", "n": {n}}}' for i, n in enumerate(lexemes))
        + "]"
    )
    form = lossless(text)
    for lexeme in lexemes:
        assert f" {lexeme}\n" in f"{form}\n"
    assert restored(form) == compact(read(text))


def test_strings_that_look_like_numbers_stay_strings():
    rows = [{"id": str(i), "n": i, "flag": "true"} for i in range(9)]
    form = lossless(json.dumps(rows, indent=2))
    assert "id:str" in form
    assert json.loads(restored(form)) == rows


def test_texts_of_several_words_end_with_a_sign_instead_of_quotes():
    names = ["Tea Kettle", "T-Shirt", "Desk Lamp", "Pet Bed", "Yoga Mat", "Grill"]
    colors = ["red", "blue", "green", "black", "white", "grey"]
    rows = [
        {"color": color, "size": size, "name": name, "price": i, "kind": "a"}
        for i, (name, color, size) in enumerate(
            zip(names, colors, ["small", "large", "tiny"] * 2, strict=True)
        )
    ]
    rows[2]["kind"] = "b c"
    rows[3]["price"] = None
    form = lossless(json.dumps({"rows": rows, "count": 6}))
    assert form.split("\n") == [
        "#json>",
        "rows>6[color size name| price kind=a]",
        "red small Tea Kettle|0",
        "blue large T-Shirt|1",
        'green tiny Desk Lamp|2 kind="b c"',
        "black small Pet Bed|null",
        "white large Yoga Mat|4",
        "grey tiny Grill|5",
        '"count": 6',
    ]
    assert json.loads(restored(form))["rows"] == rows
    rows[5]["name"] = "a|b"
    form = lossless(json.dumps({"rows": rows, "count": 6}))
    assert "rows>6[color\tsize\tname\tprice\tkind=a]" in form
    assert json.loads(restored(form))["rows"] == rows


@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": st.integers(0, 9), "last": st.sampled_from(WORDS)},
            optional={
                "name": st.sampled_from(["Tea Kettle", "a b c", "T", "-", "1 2", "x|"]),
                "in": st.fixed_dictionaries({"x": st.sampled_from(["A b", "C d e"])}),
            },
        ),
        min_size=2,
    )
)
def test_columns_with_a_sign_of_their_own_come_back(rows):
    for value in (rows, {"rows": rows}, {f"key {i}": x for i, x in enumerate(rows)}):
        form = encode(read(json.dumps(value)))
        assert restored(form) == compact(read(json.dumps(value)))


def test_a_list_that_equals_a_column_above_is_told_by_its_name():
    lines = [{"sku": f"sku-{7 * i}", "of": {"id": f"id {i}x"}} for i in range(6)]
    skus = [one["sku"] for one in lines]
    order = {
        "lines": lines,
        "shipped": [{"parcel": "p-1", "skus": skus}],
        "all": skus,
        "some": skus[:-1],
        "ids": [one["of"]["id"] for one in lines],
    }
    form = lossless(json.dumps(order))
    assert form.split("\n")[-4:] == [
        "shipped: [{parcel:p-1 skus:==lines.sku}]",
        "all: ==lines.sku",
        "some: [sku-0 sku-7 sku-14 sku-21 sku-28]",
        "ids: ==lines.of.id",
    ]
    assert json.loads(restored(form)) == order
    wrapped = {"ok": True, "data": order, "lines": "==lines.sku"}
    form = lossless(json.dumps(wrapped))
    assert " all: ==lines.sku" in form
    assert json.loads(restored(form)) == wrapped
    keyed = {"by": {sku: {"n": i, "m": -i} for i, sku in enumerate(skus)}, "all": skus}
    form = lossless(json.dumps(keyed))
    assert form.endswith("\nall: ==by.@")
    assert json.loads(restored(form)) == keyed
    forged = {**order, "all": ["==lines.sku", "=="], "x": "==lines.sku"}
    form = lossless(json.dumps(forged))
    assert json.loads(restored(form)) == forged


def test_a_member_that_repeats_the_key_of_its_object_says_so():
    methods = {
        "card_951392": {"brand": "visa", "id": "card_951392", "of": {"id": "@"}},
        "53641640": {"id": "53641640", "brand": "53641640 "},
    }
    order = {"methods": methods, "rows": [{"n": i, "m": i % 3} for i in range(5)]}
    form = lossless(json.dumps(order))
    assert '{card_951392:{brand:visa id:@ of:{id:"@"}} 53641640:{id:@ ' in form
    assert json.loads(restored(form)) == order


@given(st.dictionaries(st.sampled_from(WORDS), st.sampled_from(WORDS), min_size=1))
def test_members_that_repeat_keys_come_back(words):
    inner = {
        key: {"a": key, key: value, "in": {"b": key}} for key, value in words.items()
    }
    value = {"one": inner, "two": [inner, words], "rows": [{}, {}]}
    form = encode(read(json.dumps(value)))
    assert restored(form) == compact(read(json.dumps(value)))


def test_words_of_a_member_stand_without_quotes_unless_they_look_like_a_key():
    member = {"street": "12 Elm Street", "at": "by 12:30", "x y": "a b", "to": "c d"}
    order = {"a": member, "rows": [{"n": i, "m": i % 3} for i in range(5)]}
    form = lossless(json.dumps(order))
    assert 'a: {street:12 Elm Street at:"by 12:30" "x y":a b to:c d}' in form
    assert json.loads(restored(form)) == order


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(WORDS)), min_size=1))
def test_members_of_any_words_come_back(pairs):
    value = {"one": dict(pairs), "more": [{"of": [dict(pairs), 1]}], "rows": [{}, {}]}
    form = encode(read(json.dumps(value)))
    assert restored(form) == compact(read(json.dumps(value)))


def test_long_strings_of_digits_stand_bare_where_no_number_is_like_them():
    order = {
        "zip": "12345",
        "lines": [{"sku": "7363354090", "size": "12", "price": 5, "at": ["98765"]}],
        "old": ["01234"],
        "total": 5.00,
    }
    form = lossless(json.dumps(order))
    assert form.split("\n") == [
        '#json">',
        "zip: 12345",
        'lines: [{sku:7363354090 size:"12" price:5 at:[98765]}]',
        "old: [01234]",
        '"total": 5.0',
    ]
    assert json.loads(restored(form)) == order
    order["total"] = 12345
    form = lossless(json.dumps(order))
    assert not form.startswith('#json"')
    assert json.loads(restored(form)) == order


def test_constants_and_equal_fields_are_said_once():
    rows = {
        f"item-{i}": {"sku": f"item-{i}", "unit": "piece", "price": i * 1.5}
        for i in range(12)
    }
    form = lossless(json.dumps(rows))
    assert form.count("piece") == 1
    assert form.count("item-7") == 1
    assert json.loads(restored(form)) == rows


def test_a_row_that_differs_from_a_constant_says_so():
    rows = [{"id": f"n{i}", "state": "running"} for i in range(20)]
    rows[7]["state"] = "stopped"
    form = lossless(json.dumps(rows))
    assert "n7 state=stopped" in form
    assert json.loads(restored(form)) == rows


def test_what_is_rarely_true_needs_no_value():
    rows = [
        {"id": n, "late": n in {4, 7}, "x y": n == 5, "at": {"sea": n == 9, "day": n}}
        for n in range(30)
    ]
    form = lossless(json.dumps(rows))
    lines = form.split("\n")
    assert lines[5].endswith(" late")
    assert lines[6].endswith(' "x y"')
    assert lines[10].endswith(" at.sea")
    assert json.loads(restored(form)) == rows


def test_flags_are_told_by_name_where_that_is_shorter_than_a_cell():
    rows = [
        {"id": n, "open": n % 2 == 0, "is_a_very_long_name_of_a_flag": n % 2 == 1}
        for n in range(12)
    ]
    form = lossless(json.dumps(rows))
    assert form.split("\n")[:3] == [
        "#json>[id open=false is_a_very_long_name_of_a_flag]",
        "0 false open",
        "1 true",
    ]
    assert json.loads(restored(form)) == rows
    flags = [{"open": n % 2 == 0} for n in range(12)]
    assert json.loads(restored(lossless(json.dumps(flags)))) == flags
    for broken in ("0 false open open", "0 false shut", "0 false id"):
        with pytest.raises(FormError):
            decode(f"#json>[id long open=false]\n{broken}")


def test_rows_of_one_file_stand_below_its_name():
    rows = [
        {"file": f"src/part {i // 9}.py", "name": name, "line": 7 * i}
        for i, name in enumerate([f"name_{i}" for i in range(40)] + ["^odd", " blank"])
    ]
    for some in (rows[:40], rows, [{**row, "file": "*1"} for row in rows[:30]]):
        assert json.loads(restored(lossless(json.dumps(some)))) == some
    form = lossless(json.dumps(rows[:40]))
    assert form.startswith("#json>[^file")
    assert form.count("src/part 2.py") == 1


@given(
    st.lists(st.tuples(st.sampled_from(WORDS), st.integers(1, 5)), max_size=6),
    st.lists(scalars, min_size=3, max_size=9),
)
def test_groups_of_any_kind_come_back(runs, cells):
    rows = [
        {"group": group, "cell": cells[i % len(cells)], "n": i}
        for group, times in runs
        for i in range(times)
    ]
    text = json.dumps({"rows": rows, "flat": rows})
    found = settled(compress(text, CONTEXT))
    if found is not None and found.lossless is not None:
        assert restored(found.lossless.text) == compact(read(text))


def test_names_and_codes_stand_with_the_code_in_front():
    codes = {f"Some Thing {i}": str(3_377_618_313 + 7_919 * i) for i in range(30)}
    form = lossless(json.dumps(codes))
    assert form.startswith("#json<str\n3377618313 Some Thing 0\n")
    assert restored(form) == json.dumps(codes, separators=(",", ":"))
    numbers = {key: int(code) for key, code in codes.items()}
    form = lossless(json.dumps(numbers))
    assert form.startswith("#json<\n3377618313 Some Thing 0\n")
    assert restored(form) == json.dumps(numbers, separators=(",", ":"))


@given(
    st.dictionaries(
        st.text(max_size=4) | st.sampled_from(WORDS),
        st.sampled_from(["12", "x", "a-b", "é", ""]) | st.text(max_size=3),
        min_size=8,
    )
)
def test_objects_of_words_come_back(words):
    text = json.dumps(words)
    found = settled(compress(text, Context(count=len)))
    if found is not None and found.lossless is not None:
        assert restored(found.lossless.text) == compact(read(text))


def test_a_tree_is_one_table():
    tree = {"name": "root", "dependencies": {}}
    level = tree["dependencies"]
    for i in range(8):
        level[f"lib-{i}"] = {"version": f"1.{i}.0", "dependencies": {}}
        level[f"tool-{i}"] = {"version": f"2.{i}.0"}
        level = level[f"lib-{i}"]["dependencies"]
    form = lossless(json.dumps(tree, indent=2))
    assert form.count("version") == 1
    assert json.loads(restored(form)) == tree


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '[{"a": NaN}, {"a": 1}]',
        '["\\ud800", "a"   ]',
        '\ufeff{"a":  1}',
        "[1, 2,]",
        '{"a": 1} trailing',
        '"just a string"',
        "   ",
        '{"a": Infinity}',
        "[" * 80 + "]" * 80,
    ],
)
def test_what_cannot_be_given_back_is_left(text):
    assert compress(text, CONTEXT) is None


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        '{"a":' * 200_000,
        "{" + ",".join(f'"k{i}":{{"x{i}":{i}}}' for i in range(60_000)) + "}",
        "[" + ",".join(f'{{"k{i}":1}}' for i in range(80_000)) + "]",
        "[" + ",".join(["{}"] * 330_000) + "]",
        '{"a":' * 60 + "1" + "}" * 60 + " " * 1_000_000,
    ],
    ids=["arrays", "objects", "distinct keys", "distinct rows", "empty", "blanks"],
)
def test_hostile_texts_take_less_than_a_second_per_megabyte(text):
    start = time.process_time()
    detect(text)
    compress(text, CONTEXT)
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize(
    "form",
    [
        "",
        "#json",
        "#json>",
        "#json>[a b]\n1",
        "#json>{@ a}\nx 1\nx 2",
        "#json: {a:1} z",
        "#json>[^a b]\n1 2",
        "#json>[^a b]\n^x y\n1 2 3",
        "#json<\n1 a\n2 a",
        "#json<\none a",
        "#json<str\nvalue",
        "#json<other\nvalue key",
        "#json>\na: ==b.c",
        "#json>\nb: [{c:1}]\na: ==b.d",
        "#json>\nb: 1\na: ==b.c",
        "#json>\na: ==a.b",
        "#json>\na: ==a",
        "#json>[a| b]\nx y 1",
        "#json>[a| b]\n|1",
    ],
)
def test_a_broken_form_is_refused(form):
    if form == "#json>":
        assert decode(form) == "{}"
        return
    with pytest.raises(FormError):
        decode(form)


@pytest.mark.parametrize("header", ["#json>", '#json">'])
def test_a_forged_form_that_names_a_column_often_takes_no_more_room(header):
    rows = " ".join(["{c:12345}"] * 40_000)
    names = " ".join(["{d:==a.c}"] * 40_000)
    form = f"{header}\na: [{rows}]\nb: [{names}]"
    start = time.process_time()
    assert detect(form) == 1.0
    assert compress(form, CONTEXT) is None
    assert time.process_time() - start < 2.0
    assert detect(f"{form}\nc: [{{e:==b.d}}]") == 0.0


def test_ids_keep_their_quotes_beside_long_numbers_with_a_sign():
    rows = [{"id": str(100_000 + i), "due": -20_000 - i} for i in range(6)]
    form = lossless(json.dumps(rows))
    assert form.startswith("#json>[")
    assert json.loads(restored(form)) == rows
    assert (
        decode('#json">[id due]\n100000 -20000') == '[{"id":"100000","due":"-20000"}]'
    )


def test_lists_are_told_by_columns_of_the_object_that_they_stand_in():
    def part(name):
        ids = [f"{name}-of-all-items-{i}" for i in range(5)]
        items = [{"id": one, "count": i} for i, one in enumerate(ids)]
        return json.dumps({"items": items, "order": ids}, separators=(",", ":"))

    document = read(json.dumps({f"part {n}": part(f"part{n}") for n in range(5)}))
    form = encode(document)
    assert form.count("order: ==items.id") == 5
    assert decode(form) == compact(document)


@pytest.mark.parametrize(
    ("form", "is_read"),
    [
        (f'#json">[v c=[{" ".join(["7"] * 9_000)}]]\n' + "1\n" * 8_999 + "1", True),
        (f"#json>[^g v]\n^{'x' * 200_000}\n" + "1\n" * 99_999 + "1", False),
    ],
    ids=["constant", "group"],
)
def test_a_forged_form_whose_rows_all_say_something_long_takes_no_longer(form, is_read):
    start = time.process_time()
    assert detect(form) == (1.0 if is_read else 0.0)
    assert time.process_time() - start < 1.0


def test_a_forged_header_in_the_text_does_no_harm():
    rows = [{"id": f"n{i}", "note": "#json>[a b]\n*1=x"} for i in range(12)]
    text = json.dumps(rows, indent=2)
    assert json.loads(restored(lossless(text))) == rows
    assert compress("#json>[a b]\nnot a row", CONTEXT) is None


def test_uniform_rows_are_at_the_level_of_a_header_with_bare_rows():
    rows = [
        {
            "id": 1000 + i,
            "name": f"user{i * 37 % 101}",
            "email": f"user{i * 37 % 101}@example.com",
            "role": ["admin", "member", "guest"][i % 3],
            "active": i % 4 != 0,
        }
        for i in range(60)
    ]
    pretty = json.dumps(rows, indent=2)
    tokens = estimate_tokens(lossless(pretty))
    assert tokens <= 0.41 * estimate_tokens(pretty)
    assert tokens <= 0.65 * estimate_tokens(compact(read(pretty)))


def test_detection_looks_at_both_ends():
    assert COMPRESSOR.kind == "json"
    assert detect('{"a": 1}') > 0.9
    assert detect('[{"a": 1}]') > 0.8
    assert detect("[INFO] started]") == 0.0
    assert detect("{ return 1 }") == 0.0
    assert detect("plain text") == 0.0
