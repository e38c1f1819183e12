"""Shortened diffs name no contents whose changes are shown."""

from fakes import settled
from headroom.core.compressors.diff import COMPRESSOR
from headroom.core.types import Context

LOSSY = Context(count=len, wants_lossy=True)

AROUND = "".join(f"     line_{i} = of_the_file({i})\n" for i in range(120))
CHANGED = (
    "--- a/cart.py\n+++ b/cart.py\n@@ -1,121 +1,121 @@\n"
    f"{AROUND}-    old()\n+    new()\n"
)
LOCK = "".join(f'+  "p{i}": "1.0.{i}",\n' for i in range(60))


def reduced(text):
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    return found.lossy


def test_ids_go_where_the_changes_stand_below_them():
    head = "diff --git a/cart.py b/cart.py\nindex 35176c7..16774ef 100644\n"
    lossy = reduced(head + CHANGED)
    assert lossy is not None
    assert lossy.text.startswith("[diff]\n## cart.py\n@121\n-    old()\n+    new()\n")
    assert lossy.omitted == "omitted: 120 context lines, 2 blob ids"


def test_ids_stay_with_another_mode_and_where_nothing_else_is_shown():
    mode = "diff --git a/cart.py b/cart.py\nindex 35176c7..16774ef 100755\n"
    lock = (
        "diff --git a/yarn.lock b/yarn.lock\nindex 1111111..2222222 100644\n"
        f"--- a/yarn.lock\n+++ b/yarn.lock\n@@ -1,0 +1,60 @@\n{LOCK}"
    )
    binary = (
        "diff --git a/logo.png b/logo.png\nindex 1234567..89abcde 100644\n"
        "Binary files a/logo.png and b/logo.png differ\n"
    )
    lossy = reduced(mode + CHANGED + lock + binary)
    assert lossy is not None
    assert "\n## cart.py 35176c7..16774ef 100755\n" in lossy.text
    assert "\n## yarn.lock 1111111..2222222\nhunks omitted: 60 lines" in lossy.text
    assert "\n## logo.png 1234567..89abcde binary\n" in lossy.text
    assert "blob ids" not in lossy.omitted


def test_ids_alone_are_no_reason_to_leave_something_out():
    files = "".join(
        f"diff --git a/f{i}.py b/f{i}.py\nindex 111{i + 1000}..222{i + 1000} 100644\n"
        f"--- a/f{i}.py\n+++ b/f{i}.py\n@@ -1 +1 @@\n-old_name = {i}\n+name = {i}\n"
        for i in range(90)
    )
    assert reduced(files) is None
