import json
import random
import re
import time
from html import escape
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import headroom
from fakes import settled
from headroom.core.compressors.html import COMPRESSOR, decode, is_complete
from headroom.core.content.seal import sealed
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context, ToolCall

CTX = Context(count=estimate_tokens, wants_lossy=True)

STYLE = "<style>body { color: red } .a .b { margin: 0 }</style>" * 3
HEAD = f"<!DOCTYPE html>\n<html><head><title>The page</title>{STYLE}</head><body>"
TAIL = "</body></html>\n"


def form_of(body, head=HEAD):
    found = settled(COMPRESSOR.compress(head + body + TAIL, CTX))
    assert found is not None
    return found.lossless.text


def lines_of(body):
    return form_of(body).rstrip("\n").split("\n")[1:]


class Oracle(HTMLParser):
    """The visible words and link targets of a page, read by another parser."""

    INLINE = frozenset({"a", "b", "em", "span", "code"})

    def __init__(self, page):
        super().__init__()
        self.pieces, self.targets, self.hidden = [], [], 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.hidden += tag in {"script", "style", "title"}
        if tag not in self.INLINE:
            self.pieces.append(" ")
        href = dict(attrs).get("href", "")
        if tag == "a" and href and not href.startswith("#"):
            self.targets.append(href)

    def handle_endtag(self, tag):
        self.hidden -= tag in {"script", "style", "title"}
        if tag not in self.INLINE:
            self.pieces.append(" ")

    def handle_data(self, data):
        if not self.hidden:
            self.pieces.append(data)

    def words(self):
        return "".join(self.pieces).split()


WORDS = st.sampled_from(
    ["alpha", "beta", "- x", "# y", "1. z", "a|b", "`tick`", "[x](y)", "![z]", "<&>",
     "\\", "| c", "```", "two  blanks", "x\\`", "]\\(", "[left out: 3 rows]", "é"]
)  # fmt: skip
TEXT = st.lists(WORDS, min_size=1, max_size=4).map(lambda w: escape(" ".join(w)))
HREFS = st.sampled_from(["/a", "b.html#c", "#here", "https://x.example/?q=1&amp;r=2"])
INLINE = st.one_of(
    TEXT,
    TEXT.map(lambda t: f"<b>{t}</b>"),
    st.sampled_from(["<code>simple</code>", "<code>a_b()</code>", "<em>so</em>"]),
    st.builds(
        lambda h, t: f'<a href="{h}">{t}</a>',
        HREFS,
        st.sampled_from(["one", "the two"]),
    ),
)
FLOW = st.lists(INLINE, min_size=1, max_size=3).map(" ".join)


def wrap(children):
    inner = st.lists(children, min_size=1, max_size=3)
    return st.one_of(
        inner.map(lambda c: "<div>" + "".join(c) + "</div>"),
        inner.map(lambda c: "<ul>" + "".join(f"<li>{x}</li>" for x in c) + "</ul>"),
        inner.map(lambda c: "<ol>" + "".join(f"<li>{x}" for x in c) + "</ol>"),
        inner.map(lambda c: "<dl>" + "".join(f"<dt>t<dd>{x}" for x in c) + "</dl>"),
        inner.map(lambda c: "<blockquote>" + "".join(c) + "</blockquote>"),
        inner.map(
            lambda c: "<table><tr>" + "".join(f"<td>{x}</td>" for x in c) + "</table>"
        ),
    )


BODIES = st.lists(
    st.recursive(
        st.one_of(
            FLOW.map(lambda t: f"<p>{t}</p>"),
            FLOW.map(lambda t: f"<h2>{t}</h2>"),
            FLOW,
            TEXT.map(lambda t: f"<pre>{t}\n  more</pre>"),
        ),
        wrap,
        max_leaves=8,
    ),
    min_size=1,
    max_size=4,
).map("".join)


@settings(max_examples=150, deadline=None)
@example("<p>alpha</p>\\<code>simple</code>")
@given(BODIES)
def test_every_visible_word_and_link_is_read_back_in_order(body):
    oracle = Oracle(HEAD + body + TAIL)
    decoded = decode(form_of(body))
    assert decoded.title == "The page"
    words = [w for text in decoded.texts for w in text.split() if w not in {"/", "^"}]
    assert words == [w for w in oracle.words() if w not in {"/", "^"}]
    assert set(decoded.targets) == set(oracle.targets)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(
    ["<div>", "</div>", "<p", "<a href='", "'>", "</a>", "<td>", "<table>", "</table>",
     "<!--", "-->", "<pre>", "</pre>", "<ul><li>", "</ul>", "&lt", "&#", "text ", "<",
     ">", "<script>", "</script>", "<code>", "<br>", "\"", "=", "<dd>"]
), max_size=40).map("".join))  # fmt: skip
def test_broken_markup_loses_no_text(body):
    found = settled(COMPRESSOR.compress(HEAD + body, CTX))
    if found is not None:
        assert is_complete(HEAD + body, found.lossless.text)
        decode(found.lossless.text)


def test_a_page_becomes_its_text():
    assert lines_of(
        '<h1 id="t">Title<a href="#t">¶</a></h1>'
        "<p>Some <em>text</em>,\n   wrapped. See <a href='/x'>this</a>"
        " and <a href='/x'>that</a>.</p>"
        "<ul><li>one<ul><li>deep</ul><li>two</ul>"
        "<ol start=3><li>three<li>four</ol>"
        "<dl><dt>term<dd><p>meaning<p>more</dl>"
        "<pre>a\n  b &lt; c</pre><pre>one line</pre>"
        "<img src=x.png alt='a chart'><button>Copy</button>"
    ) == [
        "# Title",
        "Some text, wrapped. See [this](/x) and that.",
        "- one",
        " - deep",
        "- two",
        "3. three",
        "4. four",
        "term",
        " meaning",
        " more",
        "```",
        "a",
        "  b < c",
        "```",
        "`one line`",
        "![a chart]",
        "Copy",
    ]


def test_tables_keep_their_head_and_what_spans():
    assert lines_of(
        "<table><caption>Prices</caption><tr><th>name<th>price"
        "<tr><td rowspan=2>tea<td>3<tr><td>4|5<tr><td colspan=2>none</table>"
    ) == ["Prices", "| name | price", "|-", "| tea | 3",
          "| ^ | 4|5", "| none |"]  # fmt: skip


def test_a_table_that_arranges_a_page_is_read_as_its_blocks():
    assert lines_of("<table><tr><td><pre>a\nb</pre><td><h2>Side</h2>x</table>") == [
        "```",
        "a",
        "b",
        "```",
        "## Side",
        "x",
    ]


def test_only_code_that_reads_as_words_is_marked():
    assert lines_of(
        "<p><code>simple</code> <code>--all</code> <code>f()</code></p>"
    ) == ["`simple` --all f()"]


def test_scripts_comments_and_styles_are_gone():
    form = form_of("<script>if (a<b) x()</script><!-- note --><p>word</p>")
    assert form == sealed("html", " The page\nword\n")


def test_the_address_of_the_page_is_told_once():
    head = HEAD.replace("<style>", '<base href="https://x.example/d/"><style>', 1)
    assert form_of("<p>x</p>", head).split("\n")[1] == "[base] https://x.example/d/"


def test_response_headers_stay_in_front():
    text = f"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{HEAD}<p>x</p>{TAIL}"
    form = COMPRESSOR.compress(text, CTX).lossless.text
    head = " The page\n```\nHTTP/1.1 200 OK\nServer: x\n```\n"
    assert form.partition("]")[2].startswith(head)


FRAGMENT = (
    "<div class='a'><h2>Title</h2><p>Some text for people to read.</p><ul>"
    + "<li class='entry'><a href='/a'>An entry</a> of the list</li>" * 6
    + "</ul></div>"
)
NOT_PAGES = {
    "jsx": "import React from 'react';\nexport const A = () => (\n  <div>\n"
    + "    <p className='x'>hi</p>\n" * 8 + "  </div>\n);\n",
    "jsx alone": "<div className='x'>" + "<p className='x'>{name}</p>\n" * 8 + "</div>",
    "vue": "<template>\n" + "  <li v-for='x in xs'>{{ x }}</li>\n" * 8 + "</template>",
    "angular": "<div>" + "<li *ngFor=\"let x of xs\">{{x}}</li>\n" * 8 + "</div>",
    "jinja": "{% extends 'a.html' %}\n<div>" + "<p>{{ x }}</p>\n" * 8 + "</div>",
    "jinja page": "<!DOCTYPE html>\n<html><head><title>{{ title }}</title></head><body>"
    + "<p>x</p>" * 9 + "</body></html>",
    "php": "<?php echo 1; ?>\n<div>" + "<p>x</p>\n" * 9 + "</div>",
    "xml": "<?xml version='1.0'?>\n<settings>" + "<entry key='a'>b</entry>\n" * 9
    + "</settings>",
    "pom": "<project>" + "<dependency><version>1</version></dependency>\n" * 9
    + "</project>",
    "svg": "<svg viewBox='0 0 9 9'>" + "<path d='M0 0L9 9'/>\n" * 9 + "</svg>",
    "readme": "<p align='center'><img src='l.png'></p>\n<h1>Tool</h1>\n"
     "<p>a</p><p>b</p><p>c</p>\n\n## Install\n\n```\npip install tool\n```\n",
    "diff": "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n <!doctype html>\n"
    "-<p>x</p>\n+<p>y</p>\n" * 9,
    "log": "2025-01-01 00:00:00 INFO <div> rendered\n" * 9,
    "python": "PAGE = '''\n<html><body>" + "<p>x</p>" * 9 + "</body></html>'''\n",
}  # fmt: skip


def test_a_fragment_is_told_by_its_tags():
    assert COMPRESSOR.detect(FRAGMENT) >= 0.8
    assert (
        "- [An entry](/a) of the list\n"
        in COMPRESSOR.compress(FRAGMENT, CTX).lossless.text
    )


@pytest.mark.parametrize("name", NOT_PAGES)
def test_sources_that_only_look_alike_are_no_pages(name):
    assert COMPRESSOR.detect(NOT_PAGES[name]) == 0.0
    assert COMPRESSOR.compress(NOT_PAGES[name], CTX) is None


def test_xhtml_is_a_page():
    text = f"<?xml version='1.0'?>\n{HEAD}<p>x<br/>y</p>{TAIL}"
    form = sealed("html", " The page\nx\ny\n")
    assert COMPRESSOR.compress(text, CTX).lossless.text == form


def test_what_an_unseen_call_returned_stays_as_it_is():
    call = ToolCall("c1", "", b"")
    text = f"{HEAD}<p>x</p>{TAIL}"
    assert COMPRESSOR.compress(text, Context(count=len, call=call)) is None


NAV = (
    "<nav>"
    + "".join(f"<a href='/n{i}'>Place {i}</a><br>" for i in range(30))
    + "</nav>"
)
ROWS = "".join(f"<tr><td>item{i}<td>{i * 7}" for i in range(60))
SAMPLE = "<pre>" + "\n".join(f"step {i} of the job" for i in range(90)) + "</pre>"
FOOT = (
    "<footer><p>All of this may be copied by anyone under the terms below.</p></footer>"
)
LONG = (
    HEAD + NAV + "<h1>Prices</h1><table><tr><th>name<th>price" + ROWS + "</table>"
    + SAMPLE + FOOT + TAIL
)  # fmt: skip


def test_the_lossy_form_says_in_place_what_is_missing():
    found = settled(COMPRESSOR.compress(LONG, CTX))
    lossy = found.lossy.text
    assert "[left out: 30 items of navigation]\n# Prices\n" in lossy
    assert "| item7 | 49\n[left out: rows 9-57 of 60]\n| item57 | 399\n" in lossy
    assert "\n```\n[left out: lines 19-84 of 90]\n```\nstep 84 of the job\n" in lossy
    assert "All of this may be copied by anyone" in lossy
    assert found.lossy.omitted == (
        "left out: 30 items of navigation; 49 rows; 66 lines of samples"
    )


def test_what_was_asked_for_and_trouble_stay():
    page = LONG.replace("step 40 of", "step 40 failed in")
    context = Context(count=len, question="what does item33 cost?", wants_lossy=True)
    lossy = COMPRESSOR.compress(page, context).lossy.text
    assert "| item33 | 231\n" in lossy
    assert "step 40 failed in the job" in lossy


def lossy_of(body, question):
    context = Context(count=len, question=question, wants_lossy=True)
    found = COMPRESSOR.compress(HEAD + body + TAIL, context)
    return found.lossy.text if found.lossy else None


def _linked(count):
    return "".join(
        f'<p>Part {n} works with <a href="../mod/core.html#part{n}">its neighbour</a>'
        f" and the <a href='https://example.org/rfc/{n}'>standard {n}</a>, at"
        f" least {n}.</p><pre>part {n}\npart on</pre>"
        for n in range(count)
    )


NAMES = ("modules", "directives", "glossary", "questions", "sitemap", "bugs")
MENU = "".join(f'<a href="/{name}.html">{name}</a> | ' for name in NAMES)


def test_running_text_loses_targets_of_the_same_site_but_no_words():
    form = lossy_of(f"<p>{MENU}</p>{_linked(40)}", "What does the page say?")
    assert "[left out: 6 items of link bars]" in form
    assert "Part 7 works with its neighbour and the" in form
    assert "[standard 7](https://example.org/rfc/7), at least 7." in form
    assert form.endswith("\n[left out: targets of 40 links in running text]\n")


def test_links_that_are_asked_for_keep_their_targets():
    form = lossy_of(f"<p>{MENU}</p>{_linked(40)}", "Which URL is part 9 linked to?")
    assert form is None or "(../mod/core.html#part9)" in form


def test_a_page_of_links_keeps_its_links():
    links = "".join(f"<li><a href='/d/{i}'>Document {i}</a>" for i in range(20))
    found = settled(
        COMPRESSOR.compress(f"{HEAD}<nav><ul>{links}</ul></nav>{TAIL * 60}", CTX)
    )
    assert found.lossy is None or "Document 19" in found.lossy.text


def test_own_output_is_left_alone():
    found = settled(COMPRESSOR.compress(LONG, CTX))
    assert COMPRESSOR.compress(found.lossless.text, CTX) is None
    assert COMPRESSOR.compress(found.lossy.text, CTX) is None


def test_a_forged_header_does_not_switch_compression_off():
    body = COMPRESSOR.compress(f"[html] mine\n{LONG}", CTX)
    assert body is not None


@pytest.mark.parametrize(
    "unit",
    ["<div>", "<ul><li>x", "<a href='", "<!--", "<table><tr><td>", "<b a=1>x", "<pre>x",
     "</", "&#", "<td rowspan=9>x", "\\`[x](", "<x =\"", "<select><option>"],
)  # fmt: skip
def test_work_is_linear_in_the_size_of_the_text(unit):
    text = HEAD + unit * (400_000 // len(unit))
    start = time.process_time()
    COMPRESSOR.detect(text)
    COMPRESSOR.compress(text, CTX)
    assert time.process_time() - start < 4


def test_indentation_ends_at_some_depth():
    form = form_of("<ul class=nested><li>x" * 200)
    assert max(len(re.match(" *", line)[0]) for line in form.split("\n")) <= 8


def test_an_empty_line_that_is_left_of_a_sample_between_asked_ones_stands_alone():
    lines = [f"value = compute({i})" for i in range(300)]
    lines[58:61] = ["zebra = 1", "", "zebra = 2"]
    lines[57] = lines[61] = ""
    body = "<p>A page of samples.</p><pre>{}</pre>".format("\n".join(lines))
    form = lossy_of(body, "what is zebra?")
    assert "zebra = 1" in form
    assert "zebra = 2" in form
    assert "[left out: lines " in form


def test_a_page_whose_samples_would_shrink_is_sent_as_a_page():
    rows = [{"name": f"part {n}", "state": "done", "took": n * 7} for n in range(40)]
    sample = escape(json.dumps(rows, indent=2))
    page = f"{HEAD}<h1>Jobs</h1><p>What the call returns:</p><pre>{sample}</pre>{TAIL}"
    found = headroom.compress_text(page)
    assert found.text.startswith("[html ")
    assert headroom.compress_text(found.text).text == found.text


def test_a_page_that_names_placeholders_has_a_lossy_form():
    draw = random.Random(5)
    words = [
        "river",
        "stone",
        "light",
        "garden",
        "window",
        "letter",
        "copper",
        "winter",
        "market",
        "signal",
    ]

    def sentence():
        return f"The {' '.join(draw.choices(words, k=14))} stays where it was. "

    said = "It takes a &lt;branch-name&gt; as its only word. "
    parts = [
        f"<h2>Part {n}</h2><p>{sentence()}{said}{''.join(sentence() for _ in range(6))}"
        f"{'&lt;file-name&gt; ends it.' if n % 2 else ''}</p>"
        for n in range(40)
    ]
    page = f"{HEAD}{''.join(parts)}{TAIL}"
    found = headroom.compress_text(page, lossy=True)
    assert "<branch-name>" in found.text
    assert not found.lossless
