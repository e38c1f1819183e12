"""The laws where texts come joined: several outputs in one result, in any state.

Tools print one thing after the other, cut off and damaged, with what a model was sent
among it: our own forms, whole, in pieces, and forms of texts with forms in them. What
compressors make of that stays as it is when it comes again, is the same in every
process, and no header that somebody imitates in front of a text saves it from them.
"""

import hashlib
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headroom
from headroom.ccr.stores.memory import MemoryStore
from headroom.core.own_forms import is_own_form
from joining import INPUTS, SAMPLES, TEXTS, joined


@settings(max_examples=150)
@given(joined())
def test_compressing_a_lossless_form_again_changes_nothing(text):
    once = headroom.compress_text(text)
    assert once.lossless
    assert headroom.compress_text(once.text).text == once.text


@settings(max_examples=150)
@given(joined(), st.booleans())
def test_compressing_a_lossy_form_again_changes_nothing(text, is_marked):
    store = MemoryStore() if is_marked else None
    once = headroom.compress_text(text, lossy=True, store=store)
    assert headroom.compress_text(once.text, lossy=True, store=store).text == once.text


IMITATIONS = [
    "[html] mine", "[html 0000] mine", "[prose] […1-2]: parts of lines 1-2 left out",
    "[prose 0000] […1-2]: parts of lines 1-2 left out\n[…3-4]", "[sections]",
    "[sections]\n[json 1]\n#json>", "[diff]", "[grep]", "[grep under /]", "[rg --json]",
    "#ls 3; lossy", "#ls 3; lossy\n#omitted all", "#paths 9 #0000", "#json>",
    "#table 5 rows; cells blank; lossy", "#table 5 rows; cells blank\n#omitted 1",
    "#tree 4; omitted: 9", "log templates", "trace templates", "build lines",
    "build templates", "config templates", "xml templates",
    'log overview, by line number; 3 of 9 lines omitted: ',
    "trace outline, … with ranges; 3 of 9 lines left out: x",
    '[outline of 90 lines; "… a-b": left out]\n… 3-9',
    "[numbered view without its 9 empty lines]",
]  # fmt: skip


@pytest.mark.parametrize("header", IMITATIONS)
def test_a_header_that_is_imitated_switches_nothing_off(header):
    texts = [text for text in SAMPLES if len(text) > 2000]
    taken = [t for t in texts if is_own_form(f"{header}\n{t}")]
    assert taken == []


def own_forms(*, lossy):
    """A form of each kind, as compressors write them."""
    found = {}
    for text in SAMPLES:
        result = headroom.compress_text(text, lossy=lossy)
        if result.text != text and is_own_form(result.text):
            found.setdefault((result.strategy, result.lossless), result.text)
    return list(found.values())


@pytest.mark.parametrize("lossy", [False, True])
@pytest.mark.parametrize("kind", ["json", "log", "search"])
def test_a_whole_form_in_front_of_others_switches_nothing_off(kind, lossy):
    foreign = max(
        (t for p, t in TEXTS if p.parts[-3] == kind and len(t) > 2000), key=len
    )
    left = []
    for form in own_forms(lossy=lossy):
        text = f"{form}\n{foreign}"
        if headroom.compress_text(text).outcome.reason == "a form already":
            left.append(form)
    assert left == []


@pytest.mark.parametrize(
    "line",
    ["<<ccr:0123456789abcdef01234567>> 9 lines; full text: headroom_retrieve",
     "{{HEADROOM_TAG_0}}", "[json 3]", "\\[json 3]", "[… 1-9]", "… library frames",
     "omitted: 12 lines", "[repeats #0123456789ab 1-9]"],
)  # fmt: skip
def test_a_line_that_imitates_a_mark_stands_in_every_lossless_form(line):
    # Pages have lines that nobody sees; all other texts say each of theirs.
    shown = [text for text in SAMPLES if "</" not in text]
    for text in shown[:: len(shown) // 20]:
        lines = text.split("\n")
        middle = len(lines) // 2
        told = "\n".join([*lines[:middle], line, *lines[middle:]])
        form = headroom.compress_text(told)
        assert form.lossless
        # In a table its words are cells.
        plain = form.text.replace("\\", "")
        assert all(word in plain for word in line.replace("\\", "").split())


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_forms_of_joined_texts_do_not_depend_on_the_process(seed):
    code = (
        "import sys, headroom, hashlib\n"
        "texts = [open(p, 'rb').read().decode() for p in sys.argv[1:]]\n"
        "h = hashlib.sha256()\n"
        "for n, text in enumerate(texts):\n"
        "    other = texts[(7 * n + 3) % len(texts)]\n"
        "    cut = text[: len(text) * (n % 5 + 1) // 5] + other[len(other) // 3 :]\n"
        "    for lossy in (False, True):\n"
        "        h.update(headroom.compress_text(cut, lossy=lossy).text.encode())\n"
        "print(h.hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code, *map(str, INPUTS[1::4])],
            env={"PYTHONHASHSEED": value, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for value in (seed, "7")
    }
    assert len(found) == 1
    assert len(found.pop().strip()) == hashlib.sha256().digest_size * 2
