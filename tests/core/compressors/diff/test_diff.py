"""Diffs and logs come back byte for byte, apply afterwards, and keep every change."""

import difflib
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.diff import (
    COMPRESSOR,
    compress,
    detect,
    normalise,
    shorten,
    unshorten,
)
from headroom.core.types import Context

CONTEXT = Context(count=len)
LOSSY = Context(count=len, wants_lossy=True)

GIT = """\
diff --git a/src/shop/cart.py b/src/shop/cart.py
index 35176c7..16774ef 100644
--- a/src/shop/cart.py
+++ b/src/shop/cart.py
@@ -12,7 +12,8 @@ class Cart:
     def total(self):
\x20
         rate = 1
-        return sum(self.prices) \x20
+        total = sum(self.prices)
+        return total * rate
\x20
     def clear(self):
         self.prices = []
@@ -40,6 +41,5 @@ class Cart:
\x20
         one()
         two()
-        three()
         four()
         five()
diff --git a/src/shop/tax.py b/src/shop/tax.py
new file mode 100644
index 0000000..7b18f2a
--- /dev/null
+++ b/src/shop/tax.py
@@ -0,0 +1,2 @@
+RATE = 1
+NAME = "tax"
\\ No newline at end of file
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
diff --git a/old name.txt b/old name.txt
deleted file mode 100644
index 1111111..0000000
--- a/old name.txt\t
+++ /dev/null
@@ -1 +0,0 @@
-gone
diff --git a/src/a.py b/src/shop/b.py
similarity index 96%
rename from src/a.py
rename to src/shop/b.py
index aaaaaaa..bbbbbbb 100755
--- a/src/a.py
+++ b/src/shop/b.py
@@ -1,3 +1,3 @@
-import x
+import y
\x20
 y()
diff --git a/logo.png b/logo.png
index 1234567..89abcde 100644
Binary files a/logo.png and b/logo.png differ
"""

COMBINED = """\
diff --cc src/app.py
index aaa1111,bbb2222..ccc3333
--- a/src/app.py
+++ b/src/app.py
@@@ -1,4 -1,4 +1,5 @@@
  import os
- import re
 -import io
++import ast
 +import sys
  x = 1
"""

STAT = """\
 src/shop/cart.py             |  59 ++++++++-----
 src/shop/models/order.py     |   4 +-
 src/shop/models/user.py      | 120 +++++++++++++++++
 src/shop/static/logo.png     | Bin 8196 -> 0 bytes
 src/shop/{old => new}/tax.py |   0
 tests/test_cart.py           |  12 --
 6 files changed, 160 insertions(+), 35 deletions(-)
 rename src/shop/{old => new}/tax.py (100%)
"""

LOG = """\
commit 481df7ff6d78a8ccf919984d27f27201b081bd53 (HEAD -> main)
Merge: 1111111 2222222
Author: Ann Example <ann@example.com>
Date:   Tue Jul 14 09:31:28 2026 -0700

    Merge branch 'tax'

commit 2ffd8a860e84ff58922e633c8e85e9a8e088ca93
Author: Bob Roe <bob@example.com>
Date:   Tue Jul 14 09:28:29 2026 -0700

    Release 1.2
   \x20
    Refs #12, #14
      - indented

 setup.cfg | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

commit 8b7c942d5e5ada887aa89c4d58567af39d5a3e07
Author: Ann Example <ann@example.com>
Date:   Mon Jul 13 09:18:51 2026 -0700

    Faster totals

 src/shop/cart.py | 12 ++++++------
 src/shop/tax.py  |  3 +++
 2 files changed, 9 insertions(+), 6 deletions(-)
"""

SVN = """\
Index: src/cart.py
===================================================================
--- src/cart.py\t(revision 1204)
+++ src/cart.py\t(working copy)
@@ -1,5 +1,5 @@
 import os
\x20
-x = 1
+x = 2
\x20
 y = 1
@@ -90,4 +90,4 @@ def last():
\x20
     a()
-    b()
+    c()
     d()
"""

TEXTS = {
    "git": GIT,
    "combined": COMBINED,
    "stat": STAT,
    "log": LOG,
    "svn": SVN,
    "log with patches": LOG + "\n" + GIT,
    "shown commit": LOG.partition("\n\ncommit 2ffd")[0] + "\n\n" + GIT,
    "stripped blanks": GIT.replace("\n \n", "\n\n"),
    "cut off": GIT[:900],
    "no prefixes": GIT.replace("a/src", "src").replace("b/src", "src"),
    "two trees": GIT.replace("a/src", "a/v1/src").replace("b/src", "b/v2/src"),
    "carriage returns": GIT.replace("\n", "\r\n"),
    "imitated binary": GIT.replace("+++ b/src/shop/cart.py", "+## x binary"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_layout_comes_back_byte_for_byte(name):
    assert unshorten(shorten(TEXTS[name])) == TEXTS[name]


@pytest.mark.parametrize("name", TEXTS)
def test_every_layout_is_detected(name):
    assert detect(TEXTS[name]) >= 0.7


@pytest.mark.parametrize("name", TEXTS)
def test_own_output_is_left_alone(name):
    form = shorten(TEXTS[name])
    assert compress(form, LOSSY) is None
    assert compress(f"{form}\n<<ccr:0123456789abcdef01234567>> lines", LOSSY) is None


def test_headers_become_one_line_and_changes_stay_as_they_are():
    lines = shorten(GIT).split("\n")
    assert lines[:6] == [
        "[diff]",
        "## src/shop/cart.py 35176c7..16774ef",
        "@12 class Cart:",
        "     def total(self):",
        "",
        "         rate = 1",
    ]
    assert '@41 "' in lines
    assert "## src/shop/tax.py new 7b18f2a" in lines
    assert "## run.sh mode 100644..100755" in lines
    assert "## src/shop/b.py renamed from src/a.py 96% aaaaaaa..bbbbbbb 100755" in lines
    assert "## logo.png 1234567..89abcde binary" in lines
    for line in GIT.split("\n"):
        if line[:1] in {"+", "-"} and line[:3] not in {"+++", "---"}:
            assert line in lines


BINARIES = """\
diff --git a/pkg-1.0/ui/logo.png b/pkg-1.1/ui/logo.png
index 1234567..89abcde 100644
Binary files a/pkg-1.0/ui/logo.png and b/pkg-1.1/ui/logo.png differ
diff --git a/pkg-1.1/ui/new.ico b/pkg-1.1/ui/new.ico
new file mode 100644
index 0000000..7b18f2a
Binary files /dev/null and b/pkg-1.1/ui/new.ico differ
diff --git a/pkg-1.0/ui/old.ico b/pkg-1.0/ui/old.ico
deleted file mode 100644
index 7b18f2a..0000000
Binary files a/pkg-1.0/ui/old.ico and /dev/null differ
diff --git a/pkg-1.0/run.py b/pkg-1.1/run.py
index 1111111..2222222 100755
--- a/pkg-1.0/run.py
+++ b/pkg-1.1/run.py
@@ -1 +1 @@
-x = 1
+x = 2
diff --git a/pkg-1.0/odd.bin b/pkg-1.1/odd.bin
index 3333333..4444444 100644
Binary files a/elsewhere and b/pkg-1.1/odd.bin differ
"""


def test_binary_files_are_named_once():
    form = shorten(BINARIES)
    assert unshorten(form) == BINARIES
    assert form.splitlines() == [
        "[diff a/pkg-1.0/ b/pkg-1.1/]",
        "## ui/logo.png 1234567..89abcde binary",
        "## ui/new.ico new 7b18f2a binary",
        "## ui/old.ico deleted 7b18f2a binary",
        "## run.py 1111111..2222222 100755",
        "@1",
        "-x = 1",
        "+x = 2",
        "## odd.bin 3333333..4444444",
        "Binary files a/elsewhere and b/pkg-1.1/odd.bin differ",
    ]


def test_the_roots_of_two_trees_stand_once():
    form = shorten(TEXTS["two trees"])
    assert form.startswith("[diff a/v1/ b/v2/]\n## src/shop/cart.py ")


def test_stat_blocks_lose_padding_and_one_sided_bars():
    lines = shorten(STAT).split("\n")
    assert lines[1:7] == [
        "src/shop/",
        "cart.py 59 ++++++++-----",
        "models/order.py 4 +-",
        "models/user.py 120 +++++++++++++++++",
        "static/logo.png Bin 8196 -> 0 bytes",
        "{old => new}/tax.py 0",
    ]
    assert "6 files changed, 160 insertions(+), 35 deletions(-)" in lines


def test_logs_keep_ids_dates_and_messages():
    form = shorten(LOG)
    assert "commit 481df7ff6d78a8ccf919984d27f27201b081bd53 (HEAD -> main)" in form
    assert "\nTue Jul 14 09:28:29 2026 -0700\n Release 1.2\n\n Refs #12, #14\n" in form
    assert form.count("ann@example.com") == 1
    assert "\nAuthor: Ann Example\n" in form
    assert "1 file changed" not in form
    assert "2 files changed, 9 insertions(+), 6 deletions(-)" in form


def test_colours_of_git_are_folded_and_other_escapes_stay():
    coloured = GIT.replace("diff --git", "\x1b[1mdiff --git").replace(
        "@@ -12,7 +12,8 @@", "\x1b[36m@@ -12,7 +12,8 @@\x1b[m"
    )
    found = settled(compress(coloured, CONTEXT))
    assert found is not None
    assert unshorten(found.lossless.text) == normalise(coloured)
    assert "\x1b" not in found.lossless.text
    plain = GIT.replace('NAME = "tax"', 'NAME = "\x1b[1mtax"')
    assert normalise(plain) == plain


def test_carriage_returns_of_a_terminal_are_folded_and_those_of_files_stay():
    found = settled(compress(GIT.replace("\n", "\r\n"), CONTEXT))
    assert found is not None
    assert unshorten(found.lossless.text) == GIT
    mixed = GIT.replace("+        return total * rate", "+        return total\r")
    assert normalise(mixed) == mixed


def test_text_that_imitates_the_notation_comes_back():
    text = (
        "## not a heading\n@12 not a hunk\n|bar\ncommit to it\nsrc/\nname 12\n"
        " 3 files changed, 1 insertion(+)\n[width 9]\n[diff]\n" + GIT + "\n \n+x\n-y\n"
        "\\ z\n" + LOG + "\nAuthor: x\n\n    indented\n"
    )
    assert unshorten(shorten(text)) == text


def test_a_forged_header_does_not_switch_compression_off():
    for header in ("[diff]", "[diff bare]", "[diff a/x/ b/y/]"):
        found = settled(compress(f"{header}\n{GIT}", CONTEXT))
        assert found is not None
        assert len(found.lossless.text) < len(GIT)


NOT_DIFFS = {
    "prose": "Some text.\n\nCommit to it, + or -.\n" * 20,
    "yaml": "---\nname: x\n- a\n- b\n+ c\n" * 20,
    "markdown": "# Title\n\n- item\n- item\n\n---\n\n+ more\n" * 20,
    "table": " a.py | 12 |\n b.py | 13 |\n c | x |\n",
    "log": "2026-01-01 12:00:00 commit abc done\n" * 30,
    "listing": "-rw-r--r-- 1 a a 12 Jan 1 12:00 x\n" * 20,
}


@pytest.mark.parametrize("name", NOT_DIFFS)
def test_other_texts_are_not_taken_for_diffs(name):
    assert detect(NOT_DIFFS[name]) == 0.0
    assert compress(NOT_DIFFS[name], LOSSY) is None


def git(directory, *arguments, text=None):
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@example.com"]
    command += ["-c", "core.autocrlf=false", "-c", "commit.gpgsign=false", *arguments]
    done = subprocess.run(
        command, cwd=directory, input=text, capture_output=True, check=True
    )
    return done.stdout.decode()


@pytest.fixture
def repository(tmp_path):
    """A repository whose working tree differs from its one commit in many ways."""
    git(tmp_path, "init", "-q")
    code = [f"def f{i}(x):\n    y = x + {i}\n\n    return y\n\n\n" for i in range(60)]
    (tmp_path / "code.py").write_text("".join(code))
    (tmp_path / "moved.py").write_text("".join(code[:20]))
    (tmp_path / "gone.txt").write_text("a\n\nb\n")
    (tmp_path / "bytes.bin").write_bytes(bytes(range(256)))
    (tmp_path / "no newline.txt").write_text("one\ntwo")
    (tmp_path / "crlf.txt").write_bytes(b"one\r\ntwo\r\nthree\r\n")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "First\n\nWith a body.")
    code[5] = "def f5(x):\n    return x  \n\n\n"
    code[30:33] = []
    code[50] += "# trailing\t\n"
    (tmp_path / "code.py").write_text("".join(code))
    (tmp_path / "moved.py").rename(tmp_path / "kept.py")
    (tmp_path / "gone.txt").unlink()
    (tmp_path / "bytes.bin").write_bytes(bytes(range(255, -1, -1)))
    (tmp_path / "no newline.txt").write_text("one\n2\nthree")
    (tmp_path / "crlf.txt").write_bytes(b"one\r\n2\r\nthree\r\n")
    (tmp_path / "code.py").chmod(0o755)
    (tmp_path / "empty").write_text("")
    git(tmp_path, "add", "-A")
    return tmp_path


@pytest.mark.parametrize("options", [[], ["-U0"], ["-U10"], ["--no-renames"]])
def test_a_diff_that_applied_before_applies_after(repository, options):
    text = git(repository, "diff", "--cached", "--binary", *options)
    back = unshorten(shorten(text))
    assert back == text
    tree = git(repository, "write-tree")
    git(repository, "reset", "-q", "--hard")
    flags = ["--unidiff-zero"] if options == ["-U0"] else []
    git(repository, "apply", "--index", *flags, text=back.encode())
    assert git(repository, "write-tree") == tree


def test_a_lossy_diff_still_applies(repository):
    text = git(repository, "diff", "--cached", "-U60", "--", "code.py")
    text += git(repository, "diff", "--cached", "-U6", "--", "crlf.txt")
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    body = found.lossy.text.replace(found.lossy.omitted, "").rstrip("\n")
    tree_text = unshorten(body) + "\n"
    git(repository, "reset", "-q", "--hard")
    git(repository, "apply", "--unidiff-zero", text=tree_text.encode())
    assert git(repository, "diff", "-U60", "--", "code.py") in text


@pytest.mark.parametrize(
    "command",
    [
        ["show"],
        ["show", "--stat"],
        ["log", "-p"],
        ["log", "--stat", "-p"],
        ["diff", "--stat", "HEAD~1"],
        ["diff", "--color", "HEAD~1"],
        ["diff", "--no-prefix", "HEAD~1"],
        ["log", "--format=fuller"],
        ["format-patch", "-1", "--stdout"],
    ],
    ids=" ".join,
)
def test_what_git_prints_comes_back(repository, command):
    git(repository, "commit", "-qm", "Second\n\nTwo\n\n  lines")
    text = git(repository, *command)
    assert unshorten(shorten(normalise(text))) == normalise(text)
    assert "\x1b" not in normalise(text)


def test_lossy_keeps_every_change_and_says_what_is_missing():
    old = [f"line {i} of the file\n" for i in range(200)]
    new = list(old)
    new[50] = "changed\n"
    new[120:120] = ["added 1\n", "added 2\n"]
    del new[160]
    text = "diff --git a/x.py b/x.py\n" + "".join(
        difflib.unified_diff(old, new, "a/x.py", "b/x.py", n=20)
    )
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    lines = found.lossy.text.split("\n")
    for line in text.split("\n"):
        if line[:1] in {"+", "-"}:
            assert line in lines or line[:3] in {"+++", "---"}
    assert " line 119 of the file" in lines
    assert " line 118 of the file" not in lines
    assert lines[-1] == found.lossy.omitted
    assert found.lossy.omitted.startswith("omitted: ")
    assert found.lossy.omitted.endswith(" context lines")


def test_lossy_leaves_lock_files_to_their_numbers():
    lock = "".join(f'+  "p{i}": "1.0.{i}",\n' for i in range(300))
    text = (
        "diff --git a/package-lock.json b/package-lock.json\n"
        "index 1111111..2222222 100644\n--- a/package-lock.json\n"
        "+++ b/package-lock.json\n@@ -1,0 +1,300 @@\n" + lock + GIT
    )
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    form = found.lossy.text
    assert "\n## package-lock.json 1111111..2222222\n" in form
    assert "hunks omitted: 300 lines added, 0 removed" in form
    assert '"p7"' not in form
    assert "+        return total * rate" in form
    assert "300 changed lines of 1 generated or lock files" in found.lossy.omitted


def test_lossy_shows_moved_lines_once():
    moved = [f"    value_{i} = compute_something({i})" for i in range(40)]
    text = "\n".join(
        [
            "diff --git a/new.py b/new.py",
            "new file mode 100644",
            "index 0000000..2222222",
            "--- /dev/null",
            "+++ b/new.py",
            "@@ -0,0 +1,41 @@",
            "+import os",
            *("+" + line for line in moved),
            "diff --git a/old.py b/old.py",
            "index 1111111..3333333 100644",
            "--- a/old.py",
            "+++ b/old.py",
            "@@ -10,42 +10,2 @@ def f():",
            " import os",
            *("-" + line for line in moved),
            " end()",
            "",
        ]
    )
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    form = found.lossy.text
    assert "40 added lines: those removed at old.py 11-50" in form
    assert all(form.count(line) == 1 for line in moved)
    assert "+import os" in form
    assert "40 moved lines" in found.lossy.omitted


def test_lossy_logs_keep_subjects_and_references():
    body = "".join(f"    Sentence {i} about it.\n" for i in range(12))
    text = "\n".join(
        f"commit {i:040x}\nAuthor: A <a@example.com>\nDate:   Mon Jul 13 09:18:51 2026"
        f" -0700\n\n    Subject {i}\n    \n{body}    Closes #{i}1\n"
        for i in range(8)
    )
    found = settled(compress(text, LOSSY))
    assert found is not None
    assert unshorten(found.lossless.text) == text
    form = found.lossy.text
    assert all(f" Subject {i}\n" in form and f"Closes #{i}1" in form for i in range(8))
    assert all(f"commit {i:040x}"[:19] in form for i in range(8))
    assert "[10 lines omitted]" in form
    assert found.lossy.omitted == (
        "omitted: 80 lines of commit messages, 224 digits of commit ids behind 12"
    )


def test_lossy_logs_keep_the_numbers_of_stat_lines_but_no_bars_of_both_signs():
    text = "\n".join(
        f"commit {i:040x}\nAuthor: A <a@example.com>\nDate:   Mon Jul 13 09:18:51 2026"
        f" -0700\n\n    Subject {i}\n\n src/app/module{i}.py | 59 {'+' * 40}-----\n"
        f" src/app/more{i}.py   |  3 +++\n 2 files changed, 50 insertions(+), 12"
        " deletions(-)\n"
        for i in range(12)
    )
    found = settled(compress(text, LOSSY))
    assert unshorten(found.lossless.text) == text
    form = found.lossy.text
    assert all(f"module{i}.py 59\n" in form for i in range(12))
    assert all(f"more{i}.py 3 +\n" in form for i in range(12))
    assert form.count("2 files changed, 50 insertions(+), 12 deletions(-)") == 12
    assert found.lossy.omitted == (
        "omitted: 336 digits of commit ids behind 12, 12 bars of stat lines"
    )


LINE = st.sampled_from(
    ["", " ", "a", "b = 1", "  x", "\t", "+", "-", "@1", "|", "## x", "\\", "a | 1 +"]
)
FILE = st.lists(LINE, max_size=14)


@given(FILE, FILE, st.integers(0, 4), st.booleans())
def test_any_diff_comes_back(old, new, context, is_git):
    lines = difflib.unified_diff(old, new, "a/x.py", "b/x.py", n=context, lineterm="")
    text = "\n".join([*(["diff --git a/x.py b/x.py"] if is_git else []), *lines])
    assert not text or unshorten(shorten(text)) == text
    compress(text, LOSSY)


PIECES = [
    *GIT.split("\n"),
    *LOG.split("\n"),
    *STAT.split("\n"),
    *("[diff]", "@4", "## a b", "|x", "src/", "", " "),
]


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_shuffled_pieces_come_back_or_are_left_alone(lines):
    text = "\n".join(lines)
    found = settled(compress(text, LOSSY))
    if found is not None and found.lossless is not None:
        assert unshorten(found.lossless.text) == normalise(text)
        assert len(found.lossless.text) < len(text)
        assert compress(found.lossless.text, LOSSY) is None


@given(st.text(max_size=300))
def test_any_text_is_survived(text):
    assert 0.0 <= detect(text) <= 1.0
    compress(text, LOSSY)
    unshorten("[diff]\n" + text)
    unshorten("[diff a/x/ b/y/ bare]\n" + text)


@pytest.mark.parametrize(
    "piece",
    [
        "@@ -1,999 +1,999 @@\n \n",
        "diff --git a/x b/x\n",
        "commit abcdef1\nAuthor: a\nDate:   b\n\n    m\n\n",
        " a/b/c.py | 12 ++++\n",
        "@1 x\n+a\n",
    ],
)
def test_time_is_linear_on_hostile_text(piece):
    text = piece * (200_000 // len(piece))
    start = time.process_time()
    for whole in (text, "diff --git a/x b/x\n" + text, "[diff]\n" + text):
        detect(whole)
        compress(whole, LOSSY)
    assert time.process_time() - start < 4


def test_the_compressor_names_itself():
    assert (COMPRESSOR.name, COMPRESSOR.kind) == ("diff", "diff")
