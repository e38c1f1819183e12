"""Context that was read before goes from search results; every match stays in place."""

from headroom.core.digest import content_digest
from headroom.core.repeats import make_source, without_known_context

FILE = [f"    value_{i} = compute(argument_{i}, {i})" for i in range(200)]
MATCHES = (20, 60, 61, 120, 140, 180)


def source(lines, name="1"):
    text = "\n".join(f"{i:6}\t{line}" for i, line in enumerate(lines, 1))
    return make_source(name, content_digest(text), text, None)


def found(lines, path="src/app.py", matches=MATCHES, around=2):
    """What ``grep -n -C 2`` prints of lines of a file."""
    wanted = sorted({m + d for m in matches for d in range(-around, around + 1)})
    out = []
    for before, number in zip([wanted[0] - 1, *wanted], wanted, strict=False):
        mark = ":" if number in matches else "-"
        out += ["--"] if number != before + 1 else []
        out.append(f"{path}{mark}{number}{mark}{lines[number - 1]}")
    return "\n".join(out)


def test_context_of_a_file_that_was_read_is_left_to_that_read():
    form = without_known_context(found(FILE), [source(FILE, "4")])
    assert form.text.endswith("\nomitted: 20 context lines as in #4")
    assert form.omitted == "omitted: 20 context lines as in #4"
    assert form.refers_to == (source(FILE).digest,)
    kept = form.text.split("\n")[2:-1]
    assert kept == [f"{m}\t{FILE[m - 1]}" for m in MATCHES]


def test_after_lines_moved_their_context_is_known_by_its_distance():
    moved = ["import new"] * 7 + FILE
    matches = tuple(m + 7 for m in MATCHES)
    form = without_known_context(found(moved, matches=matches), [source(FILE)])
    assert form.omitted == "omitted: 20 context lines as in #1"
    assert f"27\t{FILE[19]}" in form.text


def test_context_that_has_changed_since_stays():
    changed = [*FILE]
    changed[60 - 3] = "    something_else = 1"
    form = without_known_context(found(changed), [source(FILE)])
    assert form.omitted == "omitted: 19 context lines as in #1"
    assert "something_else = 1" in form.text


def test_blank_context_that_stands_in_no_source_is_counted_by_itself():
    other = [line if i % 2 else "" for i, line in enumerate(FILE)]
    text = f"{found(FILE)}\n--\n{found(other, path='src/b.py', matches=(41, 91))}"
    form = without_known_context(text, [source(FILE[:130])])
    assert form.omitted == "omitted: 12 context lines as in #1, 4 blank ones"


def test_several_sources_are_named_and_only_those_that_are_needed():
    sources = [source(FILE[:100], "2"), source(["x"], "3"), source(FILE[100:], "5c")]
    form = without_known_context(found(FILE), sources)
    assert form.omitted == "omitted: 20 context lines as in #2, #5c"
    assert form.refers_to == (sources[0].digest, sources[2].digest)


def test_nothing_is_left_out_where_nothing_is_known():
    assert without_known_context(found(FILE), []) is None
    assert without_known_context(found(FILE), [source(["x"] * 90)]) is None
    assert without_known_context(found(FILE, around=0), [source(FILE)]) is None
    assert without_known_context("\n".join(FILE), [source(FILE)]) is None
    assert without_known_context("short:1:x", [source(FILE)]) is None
