"""Search results come back from their form line by line, and only they are taken."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.search_results import (
    COMPRESSOR,
    compress,
    decode,
    detect,
    normalise,
    parse,
    render,
)
from headroom.core.compressors.search_results.form import encode
from headroom.core.types import Context, ToolCall

CONTEXT = Context(count=len)
LOSSY = Context(count=len, wants_lossy=True)

GREP = """\
src/shop/cart.py:12:    raise EmptyCartError(cart_id)
src/shop/cart.py:40:    raise EmptyCartError(cart_id)
src/shop/cart.py:77:        raise PriceChangedError(item, old, new)
src/shop/models/order.py:8:raise SystemExit
src/shop/models/user.py:9:raise SystemExit
src/shop/models/user.py:31:	raise LookupError(f"no user {name!r}: {reason}")
src/shop/views.py:5:from shop.errors import raise_for_status
"""

CONTEXT_GREP = """\
src/app.py-10-def load(path):
src/app.py-11-
src/app.py:12:    warnings.warn("deprecated")
src/app.py-13-    return path
--
src/app.py-40-    try:
src/app.py:41:        warnings.warn("slow: 12:30")
src/app.py-42-    except OSError:
--
src/tools/run-3-times.py-1-import warnings
src/tools/run-3-times.py:2:warnings.simplefilter("error")
"""

HEADING = """\
src/shop/models/app.py
12:    return None
19-    x = 1
20:    return None

src/shop/models/text.py
3:    return None
9:    return None
"""

OPENCODE = """\
Found 3 matches
/home/dev/shop/src/cart.py:
  Line 31: def total(self):
  Line 45:     return self.total()

/home/dev/shop/src/order.py:
  Line 7: total = 0
"""

GEMINI = """\
Found 3 matches for pattern "total" in path ".":
---
File: src/cart.py
L31: def total(self):
L45: return self.total()
---
File: src/order.py
L7: total = 0
---
"""

PATHS = """\
Found 5 files
/home/dev/shop/src/shop/cart.py
/home/dev/shop/src/shop/models/order.py
/home/dev/shop/src/shop/models/user.py
/home/dev/shop/src/shop/views.py
/home/dev/shop/tests/test_cart.py
"""

COUNTS = """\
src/shop/cart.py:3
src/shop/models/order.py:0
src/shop/models/user.py:14
src/shop/views.py:0
"""

WINDOWS = """\
C:\\dev\\shop\\cart.py:12:    raise EmptyCartError(cart_id)
C:\\dev\\shop\\cart.py:14:    raise EmptyCartError(cart_id)
C:\\dev\\shop\\models\\order.py:8:raise SystemExit
"""

FUNCTIONS = """\
lib/a.c=10=int main(void)
lib/a.c:14:	return fail(3);
lib/a.c=30=static int other(int x)
lib/a.c:33:	return fail(x);
"""

UNNUMBERED = """\
src/shop/cart.py:    raise EmptyCartError(cart_id)
src/shop/cart.py:    raise KeyError
src/shop/order.py:raise SystemExit
src/shop/order.py:raise LookupError
"""

ONE_FILE = """\
12:    def __init__(self):
20:    def total(self):
31:    def __init__(self, name):
44:    def __init__(self):
58:    def __init__(self):
"""

ONE_FILE_CONTEXT = """\
31-    def __init__(self, path: Path) -> None:
32-        self.path = path
33:        self.retries = 0
34-        self.delay_s = 0.5
35-
--
57-    def fetch(self, key: str) -> bytes:
58-        for attempt in range(5):
59:            self.retries += 1
60:            self.log(f"59-{self.retries}: retry of {key}")
61-
62-            time.sleep(self.delay_s)
--
88-
89:        return self.retries
"""

TEXTS = {
    "grep": GREP,
    "context": CONTEXT_GREP,
    "heading": HEADING,
    "opencode": OPENCODE,
    "gemini": GEMINI,
    "paths": PATHS,
    "counts": COUNTS,
    "windows": WINDOWS,
    "functions": FUNCTIONS,
    "unnumbered": UNNUMBERED,
    "one file": ONE_FILE,
    "one file with context": ONE_FILE_CONTEXT,
}


def lossless(text: str) -> str:
    found = settled(compress(text, CONTEXT))
    assert found is not None
    assert found.lossless is not None
    return found.lossless.text


@pytest.mark.parametrize("name", TEXTS)
def test_every_layout_comes_back_line_by_line(name):
    text = TEXTS[name]
    found = decode(lossless(text))
    assert found is not None
    assert render(found) == normalise(text)
    assert len(lossless(text)) < len(text)


@pytest.mark.parametrize("name", TEXTS)
def test_every_layout_is_detected(name):
    assert detect(TEXTS[name]) >= 0.5


@pytest.mark.parametrize("name", TEXTS)
def test_own_output_is_left_alone(name):
    form = lossless(TEXTS[name])
    assert compress(form, LOSSY) is None
    assert compress(f"{form}\n<<ccr:0123456789abcdef01234567>> 3 lines", LOSSY) is None


def test_directory_file_and_equal_lines_stand_once():
    assert lossless(GREP) == "\n".join(
        [
            "[grep under src/shop/]",
            "cart.py",
            "12,40\t    raise EmptyCartError(cart_id)",
            "77\t        raise PriceChangedError(item, old, new)",
            "models/",
            "order.py",
            "8\traise SystemExit",
            "user.py",
            "9\traise SystemExit",
            '31\t	raise LookupError(f"no user {name!r}: {reason}")',
            "./views.py",
            "5\tfrom shop.errors import raise_for_status",
        ]
    )


def test_files_with_one_equal_match_share_a_line():
    text = "".join(f"src/app/m{i}.py:{i + 2}:import enum\n" for i in range(4))
    assert lossless(text) == (
        "[grep under src/app/]\nm0.py:2 m1.py:3 m2.py:4 m3.py:5\timport enum"
    )


def test_files_with_the_same_hits_share_a_heading():
    text = "".join(f"src/app/m{i}.py:1:# Licence: MIT\n" for i in range(4))
    assert lossless(text) == (
        "[grep under src/app/]\nm0.py, m1.py, m2.py, m3.py\n1\t# Licence: MIT"
    )


def test_context_is_numbered_once_a_run_and_separators_are_implied():
    form = lossless(CONTEXT_GREP)
    assert '10-def load(path):\n\n12\t    warnings.warn("deprecated")\n ' in form
    assert "--" not in form
    assert "run-3-times.py" in form


def test_one_files_context_is_numbered_once_a_run():
    form = lossless(ONE_FILE_CONTEXT)
    assert form.startswith("[grep lines -C]\n31-    def __init__")
    assert "\n33\t        self.retries = 0\n         self.delay_s = 0.5\n" in form
    assert detect(ONE_FILE_CONTEXT) >= 0.9


def test_one_match_in_a_cut_off_window_is_enough():
    text = "7-a = 1\n8:b = 2\n9-c = 3\n10-d = 4\n11-e = 5\n12-f = 6\n--\n40-g = 7"
    assert detect(text) >= 0.9
    found = decode(encode(parse(text)))
    assert found is not None
    assert render(found) == text


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{n}:line {n}" for n in range(1, 40)),  # a file with its numbers
        "\n".join(f"{n}-line {n}" for n in range(1, 40)),  # no match at all
        "\n".join(f"{n}-line {n}" for n in (3, 4, 9, 10)) + "\n11:x",  # no separator
        "1-a\n2-b\n3:c\n--\n9-d\n10-e\n--\n20:f\n21-g",  # a group without a match
        "1-a\n2:b\n--\n3-c\n2:d\n3-e",  # falling numbers
        "     1\timport os\n     2\t3-4\n     3\t4:5\n     4\t5-6\n",
    ],
)
def test_numbers_that_are_no_windows_of_one_file_are_left_alone(text):
    found = parse(normalise(text))
    assert found is None or all(h.mark != "-" for h in found.hits)


def test_one_match_with_much_context_is_search_output():
    lines = [f"src/app.py-{n}-line {n}" for n in range(1, 90)]
    lines[40] = "src/app.py:41:line 41"
    lines[60] = "src/app.py:61:line 61"
    text = "\n".join(lines)
    assert detect(text) >= 0.9
    assert len(lossless(text)) < len(text) / 2


def test_ripgrep_json_becomes_the_same_form():
    messages = [{"type": "begin", "data": {"path": {"text": "src/a.py"}}}]
    for number, text in ((3, "# TODO: one\n"), (9, "    x()  # TODO\n")):
        data = {
            "path": {"text": "src/a.py"},
            "lines": {"text": text},
            "line_number": number,
            "absolute_offset": 40,
            "submatches": [{"match": {"text": "TODO"}, "start": 2, "end": 6}],
        }
        messages.append({"type": "match", "data": data})
    stats = {
        "elapsed": {"secs": 0, "nanos": 1, "human": "0s"},
        "searches": 7,
        "searches_with_match": 1,
        "bytes_searched": 900,
        "bytes_printed": 100,
        "matched_lines": 2,
        "matches": 2,
    }
    end = {"path": {"text": "src/a.py"}, "binary_offset": None, "stats": stats}
    messages.append({"type": "end", "data": end})
    messages.append({"type": "summary", "data": {"stats": stats}})
    text = "\n".join(json.dumps(m, separators=(",", ":")) for m in messages)
    assert lossless(text) == (
        "[rg --json]\nsrc/a.py\n3\t# TODO: one\n9\t    x()  # TODO\n"
        "|2 matches, 2 lines, 1 of 7 files, 900 bytes searched"
    )


def test_ripgrep_json_with_bytes_that_are_no_text_is_left_alone():
    text = '{"type":"match","data":{"path":{"bytes":"AA=="},"line_number":1}}\n' * 3
    assert compress(text, CONTEXT) is None


def test_colours_are_folded():
    text = "".join(
        f"\x1b[35msrc/a.py\x1b[m\x1b[36m:\x1b[m{i}\x1b[36m:\x1b[mx = {i}\n"
        for i in range(1, 9)
    )
    assert "\x1b" not in lossless(text)
    assert "3\tx = 3" in lossless(text)


def test_messages_of_the_tool_stay():
    text = GREP + "Binary file src/shop/logo.png matches\ngrep: src/x: Is a directory\n"
    form = lossless(text)
    assert "Binary file src/shop/logo.png matches" in form
    assert "grep: src/x: Is a directory" in form


@pytest.mark.parametrize("between", ["--\n--", "grep: x: Is a directory", ""])
def test_lines_that_are_no_hits_may_stand_anywhere(between):
    text = f"{CONTEXT_GREP}{between}\n{CONTEXT_GREP}{between}\n{GREP}--"
    found = decode(lossless(text))
    assert found is not None
    assert render(found) == text


NOT_SEARCH = {
    "csv": "time,host,value\n" + "2026-01-01 12:34:56,web-1:80,3.5\n" * 40,
    "csv with dates": "1/2/2026 12:34:56,ok,a\n" * 40,
    "log": "2026-01-01 12:34:56,123 INFO app.db: opened\n" * 40,
    "log with hosts": "10.0.0.12:8080: GET / 200\n" * 40,
    "yaml": "name: app\nversion: 2\nports:\n  - 80:80\n" * 20,
    "headers": "Content-Type: text/html\nX-Time: 12:30:10\n" * 20,
    "python": "def f(x):\n    return {1: 2, 3: 4}\n" * 30,
    "numbered file": "".join(f"{i}: line {i}\n" for i in range(1, 60)),
    "clock": "".join(f"{i}:{i:02}:00 tick\n" for i in range(10, 24)),
    "pytest": "tests/test_a.py::test_one PASSED [ 5%]\n" * 20,
    "urls": "http://example.com:80:x\nhttps://example.com:443:y\n" * 20,
    "prose": "A sentence: with a colon. And 12:30 as the time.\n" * 20,
}


@pytest.mark.parametrize("name", NOT_SEARCH)
def test_other_texts_are_not_taken_for_search_results(name):
    assert detect(NOT_SEARCH[name]) == 0.0
    assert compress(NOT_SEARCH[name], LOSSY) is None


def test_compiler_output_is_left_to_the_compressor_of_builds():
    text = "".join(f"src/a.c:{i}:5: error: unknown type 'x{i}'\n" for i in range(9))
    assert detect(text) < 0.5


@pytest.mark.parametrize("header", ["[grep]", "[grep under src/]", "[grep lines]"])
def test_a_forged_header_does_not_switch_compression_off(header):
    forged = settled(compress(f"{header}\n{GREP}", CONTEXT))
    assert forged is not None
    assert forged.lossless is not None
    assert len(forged.lossless.text) < len(GREP)


def test_text_that_imitates_the_notation_comes_back():
    text = "\n".join(
        [
            "src/2-1,3.py:1:|raw",
            "src/2-1,3.py:4:a, b",
            "src/a,b c.py:4:\\x",
            "src/a,b c.py:5:12\t34",
            "src/c.py:8:[grep]",
            "src/c.py:9: x",
            "src/d/e.py:8:[grep]",
        ]
    )
    found = decode(lossless(text))
    assert found is not None
    assert render(found) == text


def test_lossy_keeps_every_match_and_cuts_far_context():
    text = "".join(
        f"src/app.py{mark}{start + i}{mark}line {start + i} of code\n"
        for start in range(10, 900, 60)
        for i in range(13)
        for mark in (":" if i == 6 else "-")
    )
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    form = found.lossy.text
    assert all(f"{n}\tline {n} of code" in form for n in range(16, 900, 60))
    assert "line 15 of code" in form
    assert "line 10 of code" not in form
    assert found.lossy.omitted == (
        "omitted: 120 context lines, blank or over 2 lines from a match"
    )
    assert found.lossy.omitted in form


def test_lossy_of_very_many_matches_keeps_files_and_what_the_question_names():
    lines = [
        f"src/pkg{p}/mod.py:{n}:    value_{p}_{n} = compute({n})\n"
        for p in range(4)
        for n in range(1, 301)
    ]
    lines[700] = "src/pkg2/mod.py:101:    retry_backoff = compute(1)\n"
    call = ToolCall(id="c", name="Grep", input=b'{"pattern":"compute"}')
    context = Context(
        count=len, call=call, question="Where is retry_backoff set?", wants_lossy=True
    )
    found = settled(compress("".join(lines), context))
    assert found is not None
    assert found.lossy is not None
    form = found.lossy.text
    assert "retry_backoff = compute(1)" in form
    assert all(f"pkg{p}" in form for p in range(4))
    assert "more matches, lines" in form
    assert "matches" in found.lossy.omitted
    assert len(form) < len(found.lossless.text) / 2


def test_very_long_lines_are_cut_only_in_the_lossy_form():
    line = "a=1;" * 1000 + "needle_name()" + "b=2;" * 1000
    text = f"dist/app.js:1:{line}\ndist/app.js:2:needle_name\n" * 1
    text += "dist/other.js:1:needle_name\n"
    call = ToolCall(id="c", name="Grep", input=b'{"pattern":"needle_name"}')
    found = settled(compress(text, Context(count=len, call=call, wants_lossy=True)))
    assert found is not None
    assert line in found.lossless.text
    assert "needle_name()" in found.lossy.text
    assert len(found.lossy.text) < 800


NAMES = st.sampled_from(
    ["a.py", "b.py", "2to3.py", "x, y.py", "with space.txt", "Makefile", "c:1 d.py"]
)
DIRECTORIES = st.sampled_from(["", "src/", "src/app/", "./", "/abs/dir/", "lib-2-x/"])
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), max_size=30)
LINES = st.lists(
    st.tuples(DIRECTORIES, NAMES, st.integers(0, 99), st.sampled_from(":-="), TEXT),
    min_size=1,
    max_size=30,
)


@given(LINES)
def test_any_hits_come_back_or_are_left_alone(rows):
    text = "\n".join(f"{d}{n}{m}{i}{m}{t}" for d, n, i, m, t in rows)
    found = parse(normalise(text))
    if found is not None:
        assert render(found) == normalise(text)
    result = settled(compress(text, LOSSY))
    if result is not None and result.lossless is not None:
        assert len(result.lossless.text) < len(text)
        back = decode(result.lossless.text)
        assert back is not None
        assert render(back) == normalise(text)
        assert encode(back) == result.lossless.text


@given(st.text(max_size=300))
def test_any_text_is_survived(text):
    assert 0.0 <= detect(text) <= 1.0
    compress(text, LOSSY)
    decode(text)
    decode("[grep -C under x/]\n" + text)
    decode("[paths]\n" + text)


@pytest.mark.parametrize(
    "piece", ["a/b.c:1:", "a/b.c-1-", "a:1 ", "1:\n", "a/b.py:1:x\n", "\x1b[3", "1,"]
)
def test_time_is_linear_on_hostile_text(piece):
    text = piece * (200_000 // len(piece))
    start = time.perf_counter()
    detect(text)
    compress(text, LOSSY)
    assert time.perf_counter() - start < 2


def test_the_compressor_names_itself():
    assert (COMPRESSOR.name, COMPRESSOR.kind) == ("search_results", "search")
