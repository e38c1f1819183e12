"""Configuration and data in text: folded to its lines, blobs shortened."""

import base64
import hashlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.compressors import config_text
from headroom.core.folding import normalise
from headroom.core.types import Context
from headroom.inference.tokens import counter_for

COUNT = counter_for(None)
NAMES = ["amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath"] * 3


def sha(name):
    return hashlib.sha256(name.encode()).hexdigest()


def cargo():
    blocks = [
        f'[[package]]\nname = "{name}{i}"\nversion = "1.{i}.0"\n'
        'source = "registry+https://index.example.org/crates"\n'
        f'checksum = "{sha(name)}"\n'
        for i, name in enumerate(NAMES)
    ]
    return "\n".join(
        ["# This file is automatically @generated.\nversion = 3\n", *blocks]
    )


def pods():
    return "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"- kind: Pod\n  metadata:\n    name: {name}-{i}\n    namespace: default\n"
        f"  spec:\n    nodeName: node-{i % 3}\n    containers:\n"
        f"    - image: registry.example.org/{name}:1.{i}\n  status:\n"
        f"    phase: {'Running' if i != 9 else 'CrashLoopBackOff'}\n"
        for i, name in enumerate(NAMES)
    )


def pom():
    return (
        "<project>\n  <dependencies>\n"
        + "".join(
            f"    <dependency>\n      <groupId>org.example.{name}</groupId>\n"
            f"      <artifactId>{name}-core</artifactId>\n"
            f"      <version>2.{i}</version>\n    </dependency>\n"
            for i, name in enumerate(NAMES)
        )
        + "  </dependencies>\n</project>\n"
    )


def junit():
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<testsuite name="all" tests="24">\n'
        + "".join(
            f'  <testcase classname="tests.test_{name}" name="test_{i}" time="0.{i:03}"'
            + (
                f'>\n    <failure message="assert {i} == 3">line 4</failure>\n'
                "  </testcase>\n"
                if i == 11
                else " />\n"
            )
            for i, name in enumerate(NAMES)
        )
        + "</testsuite>\n"
    )


def ini():
    return "".join(
        f"[depot:{name}{i}]\naddress = 192.0.2.{i}\nretries = 3\ntimeout = 30s\n"
        "logging = /var/log/depot.log\n\n"
        for i, name in enumerate(NAMES)
    )


TEXTS = {"cargo": cargo, "pods": pods, "pom": pom, "junit": junit, "ini": ini}


def run(text, *, lossy=False):
    return config_text.compress(text, Context(count=COUNT, wants_lossy=lossy))


@pytest.mark.parametrize("name", TEXTS)
def test_what_comes_again_is_folded_and_decodes(name):
    text = TEXTS[name]()
    assert config_text.detect(text) > 0.5
    form = run(text).lossless.text
    assert config_text.decode(form) == normalise(text)
    assert COUNT(form) <= 0.9 * COUNT(text)


@pytest.mark.parametrize("name", TEXTS)
def test_a_form_is_recognised_by_decoding_it(name):
    form = run(TEXTS[name]()).lossless.text
    assert config_text.detect(form) == 1.0
    assert run(form) is None
    assert 0 < config_text.detect(f"config templates\n{cargo()}") < 1


def test_values_and_exceptions_stay_readable():
    form = run(pods()).lossless.text
    assert "CrashLoopBackOff" in form
    for i, name in enumerate(NAMES):
        assert f"registry.example.org/{name}:1.{i}" in form
    form = run(pom()).lossless.text
    assert form.startswith("xml templates\n")
    assert "org.example.birch" in form
    assert "<version>" in form


def test_texts_that_already_look_opened_keep_their_closing_tags():
    text = pom().replace("<project>\n", "<project>\n<note> plain\n", 1)
    form = run(text).lossless.text
    assert form.startswith("config templates\n")
    assert config_text.decode(form) == normalise(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "b": [1, 2, 3]}\n' * 60,
        "<!doctype html><html><body>\n" + "<p>Some words.</p>\n" * 60,
        "Note: this is prose. It has colons: two of them.\nMore of it follows.\n" * 30,
        "- item one\n- item two\n" * 60,
        "2026-01-01T10:00:00 INFO ready\n" * 60,
        "",
    ],
)
def test_other_texts_are_left_to_others(text):
    assert config_text.detect(text) == 0


def hexdump(data):
    rows = []
    for at in range(0, len(data), 16):
        part = data[at : at + 16]
        pairs = " ".join(f"{byte:02x}" for byte in part)
        shown = "".join(chr(b) if 32 <= b < 127 else "." for b in part)
        rows.append(f"{at:08x}: {pairs:<47}  {shown}")
    return "\n".join(rows) + "\n"


BLOBS = {
    "base64 lines": base64.encodebytes(cargo().encode()).decode(),
    "base64 run": "token " + base64.b64encode(cargo().encode()).decode() + " end",
    "hex dump": hexdump(bytes(range(256)) * 4),
    "minified": "!function(e){"
    + "".join(f"function f{i}(a,b){{return a.x{i}&&b?a.y:b}}" for i in range(150))
    + "}(window);",
}


@pytest.mark.parametrize("name", BLOBS)
def test_blobs_are_shortened_only_on_request_and_say_how(name):
    text = BLOBS[name]
    found = run(text)
    assert found is None
    lossy = run(text, lossy=True).lossy
    assert len(lossy.text) < len(text) / 2
    assert lossy.text[:30] == text[:30]
    assert " of " in lossy.omitted
    assert "digest " in lossy.text
    assert lossy.omitted in lossy.text


def test_equal_blobs_are_shortened_alike_and_others_not():
    one = run(BLOBS["base64 run"], lossy=True).lossy.text
    assert run(BLOBS["base64 run"], lossy=True).lossy.text == one
    other = BLOBS["base64 run"].replace("end", "x end").replace("W", "V")
    assert (
        run(other, lossy=True).lossy.text.split("digest")[1] != one.split("digest")[1]
    )


def test_a_long_line_of_data_is_not_cut():
    line = "jobs " + ", ".join(f"job-{i}: running" for i in range(400))
    assert run(line, lossy=True) is None
    assert (
        run('{"jobs": [' + '{"id": 1, "var x": "=>"},' * 300 + "]}", lossy=True) is None
    )


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(TEXTS)),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.sampled_from(
                ["", "$a x", "~", "<a> b", "<a>b</a>", "+x", "  k: v", "×2"]
            ),
        ),
        max_size=8,
    ),
)
def test_damaged_texts_decode_too(name, changes):
    lines = TEXTS[name]().split("\n")
    for at, line in changes:
        lines[at % len(lines)] = line
    text = "\n".join(lines)
    form = config_text.encode(text)
    if form is not None:
        assert config_text.decode(form) == normalise(text)


@pytest.mark.parametrize(
    "unit",
    [
        "a: b\n",
        "A" * 399 + " ",
        "<a>",
        "<a>b</a>\n",
        "00000000: ",
        "[a]\nb = c\n",
        "- ",
    ],
)
def test_a_megabyte_of_anything_takes_seconds_at_most(unit):
    text = unit * (1_000_000 // len(unit))
    start = time.perf_counter()
    config_text.detect(text)
    config_text.compress(text, Context(count=len, wants_lossy=True))
    assert time.perf_counter() - start < 4
