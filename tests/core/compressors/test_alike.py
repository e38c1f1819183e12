"""Lines of unknown kinds: folded, or left alone."""

from pathlib import Path

import msgspec
import pytest

import headroom
from headroom.core import pipeline
from headroom.core.compressors import alike
from headroom.core.folding import normalise
from headroom.core.types import Candidate, Compressed, Context, ToolCall

CASES = sorted((Path(__file__).parents[2] / "golden" / "lines").glob("*/input.txt"))
VOTES = [f"vote B from node-{n % 7} term={n} granted=yes" for n in range(60)]


def context(call=None):
    return Context(count=lambda text: len(text) // 4, call=call)


def folded(text, call=None):
    found = alike.compress(text, context(call))
    return None if found is None or found.lossless is None else found.lossless.text


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.parent.name)
def test_a_form_decodes_to_its_lines(path):
    text = path.read_bytes().decode()
    assert alike.detect(text) == 0.5
    form = folded(text)
    assert alike.decode(form) == normalise(text)
    assert alike.detect(form) == 1.0


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.parent.name)
def test_there_is_no_lossy_form(path):
    text = path.read_bytes().decode()
    found = headroom.compress_text(text, lossy=True)
    assert found.lossless


def test_lines_about_trouble_stand_in_full():
    lines = [*VOTES]
    for place in (9, 19, 29, 39):
        lines[place] = f"vote B from node-{place} term={place} rejected: timeout"
    form = folded("\n".join(lines)).split("\n")
    assert [line for line in lines if "timeout" in line] == [
        line for line in form if "timeout" in line
    ]
    assert form.count(lines[0]) == 1
    assert form[-2:] == lines[-2:]


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"    total += load(path, {n});" for n in range(60)),
        "\n".join(f"{n}\tvote B from node-{n} granted=yes" for n in range(1, 60)),
        "\n".join(f"Version: 1.{n}\nSection: utils\nSize: {n}00" for n in range(30)),
        "*" * 15 + "\n" + "\n".join(f"! x{n}" for n in range(199)),
        "5c5\n" + "\n".join(f"< vote B from node-{n} granted=yes" for n in range(60)),
        "\n".join(f"{n}. The cat sat on the mat and slept well." for n in range(60)),
        '{"a": [\n' + "\n".join(f"vote B from node-{n} yes" for n in range(60)),
        "\n".join(VOTES[:11]),
        "x\n" * 20,
        "",
    ],
)  # fmt: skip
def test_what_may_be_edited_or_read_by_people_is_left_alone(text):
    assert alike.detect(text) == 0.0


@pytest.mark.parametrize(
    ("call", "is_folded"),
    [
        (None, True),
        (ToolCall("c1", "", b""), False),
        (ToolCall("c1", "bash", b'{"command": "./votes"}'), True),
    ],
)
def test_a_result_whose_call_cannot_be_seen_may_be_a_file(call, is_folded):
    assert (folded("\n".join(VOTES), call) is not None) == is_folded


def test_what_people_wrote_stays():
    found = alike.compress("\n".join(VOTES), Context(count=len, is_tool=False))
    assert found is None


def test_a_header_alone_is_no_form():
    assert alike.detect("lines templates\n$a=nonsense\n" + "\n".join(VOTES)) == 0.0


def test_a_compressor_that_gains_next_to_nothing_does_not_have_the_last_word(
    monkeypatch,
):
    text = "\n".join(VOTES)
    tiny = msgspec.structs.replace(
        alike.COMPRESSOR,
        name="tiny",
        kind="prose",
        detect=lambda _: 0.6,
        compress=lambda text, _: Compressed(Candidate(text[:-1], "tiny")),
        most=0.6,
    )
    monkeypatch.setattr(pipeline, "COMPRESSORS", (tiny, alike.COMPRESSOR))
    assert headroom.compress_text(text).text.startswith("lines templates")
