import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.listing import COMPRESSOR, same_entries
from headroom.core.compressors.listing.entries import (
    Entry,
    Group,
    Listing,
    parse_listing,
    regroup,
)
from headroom.core.compressors.listing.form import decode, encode, make_classes
from headroom.core.compressors.listing.tree import (
    Node,
    Tree,
    decode_tree,
    encode_tree,
    parse_tree,
)
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context

CTX = Context(count=estimate_tokens, wants_lossy=True)

LS = """\
shop:
total 40
drwxr-xr-x 3 dev  staff  4096 Mar  3 09:12 api
-rw-r--r-- 1 dev  staff  1204 Mar  3 09:12 README.md
-rwxr-xr-x 1 dev  staff   311 Mar  3 09:12 run.sh
lrwxrwxrwx 1 dev  staff    12 Mar  4 17:40 current -> releases/42
-rw------- 1 root wheel   911 Mar  4 17:41 my secret.txt

shop/api:
total 8
-rw-r--r-- 1 dev  staff  2048 Mar  3 09:12 app.py
-rw-r--r-- 1 dev  staff 20480 Mar  3 09:12 models.py

shop/api/empty:
total 0
"""
LS_NAMES = """\
web:
index.html
src

web/src:
app.ts
util.ts

web/src/none:
"""
FIND = """\
./shop
./shop/README.md
./shop/api
./shop/api/app.py
./shop/api/models.py
./shop/web
./shop/web/src
./shop/web/src/app.ts
./shop/setup.cfg
"""
FIND_PRINTF = """\
1204 2025-03-03 shop/README.md
2048 2025-03-03 shop/api/app.py
20480 2025-03-03 shop/api/models.py
77 2025-03-03 shop/web/src/my file.ts
91 2025-03-03 shop/web/src/app.ts
"""
DU = """\
12K\tshop/api
4.0K\tshop/web/src
8.0K\tshop/web
28K\tshop
"""
TAR = """\
drwxr-xr-x dev/dev           0 2025-03-03 09:12 shop/
-rw-r--r-- dev/dev        1204 2025-03-03 09:12 shop/README.md
-rw-r--r-- dev/dev        2048 2025-03-03 09:12 shop/api/app.py
-rw-r--r-- dev/dev       20480 2025-03-03 09:12 shop/api/models.py
"""
UNZIP = """\
Archive:  shop.zip
  Length      Date    Time    Name
---------  ---------- -----   ----
     1204  2025-03-03 09:12   shop/README.md
     2048  2025-03-03 09:12   shop/api/app.py
    20480  2025-03-03 09:12   shop/api/models.py
---------                     -------
    23732                     3 files
"""
STATUS = """\
 M src/app.py
M  src/models.py
MM src/views.py
?? notes.txt
"""
DU_LAST = """\
4.0K\tshop/api/v1
12K\tshop/api/v2
20K\tshop/api
8.0K\tshop/web/src
9.1M\tshop/web/static
9.2M\tshop/web
4.0K\tshop/docs
9.3M\tshop
"""
CUT = "\n".join(UNZIP.split("\n")[:-3])
TREE = """\
shop
├── api
│\u00a0\u00a0 ├── app.py
│\u00a0\u00a0 └── models.py
├── README.md
└── web
    └── src
        └── my app.ts

3 directories, 4 files
"""
NPM = """\
shop@2.0.0 /srv/shop
├─┬ express@4.19.2
│ ├── bytes@3.1.2 deduped
│ ├─┬ debug@2.6.9
│ │ └── ms@2.0.0 deduped
│ ├── vary@1.1.2 deduped
│ └── etag@1.8.1 deduped
└── ms@2.1.3
"""
AGENT = """\
- /srv/shop/
  - api/
    - app.py
    - models.py
  - README.md
"""


@pytest.mark.parametrize(
    "text", [LS, LS_NAMES, FIND, FIND_PRINTF, DU, DU_LAST, TAR, UNZIP, CUT, STATUS]
)
def test_every_kind_of_list_is_recognised_and_decodes_to_its_entries(text):
    assert COMPRESSOR.detect(text) >= 0.8
    listing = parse_listing(text.split("\n"))
    form = encode(listing, make_classes(listing))
    assert same_entries(decode(form), listing)


@pytest.mark.parametrize("text", [TREE, NPM, AGENT])
def test_every_kind_of_tree_is_recognised_and_decodes_to_its_nodes(text):
    assert COMPRESSOR.detect(text) >= 0.8
    tree = parse_tree(text.split("\n"))
    assert decode_tree(encode_tree(tree)) == tree.nodes


def test_a_tree_keeps_depths_and_labels():
    nodes = parse_tree(TREE.split("\n")).nodes
    assert nodes[2] == Node(2, "app.py")
    assert nodes[7] == Node(3, "my app.ts")
    assert nodes[-2].label == "3 directories, 4 files"


def test_modes_owners_and_dates_that_are_the_same_are_said_once():
    text = "total 8\n" + "".join(
        f"-rw-r--r-- 1 dev staff {i * i + 10:6d} Mar  3 09:12 part{i}.dat\n"
        for i in range(20)
    )
    form = COMPRESSOR.compress(text, CTX).lossless.text
    assert form.count("staff") == 1
    assert form.count("Mar") == 1
    assert all(f"{i * i + 10} part{i}.dat" in form for i in range(20))


def test_a_file_of_another_mode_shows_it():
    listing = parse_listing(LS.split("\n"))
    form = encode(listing, make_classes(listing))
    line = next(s for s in form.split("\n") if "my secret.txt" in s)
    assert "-rw-------" in line
    assert "root wheel" in line


def test_the_two_columns_of_git_status_stay_apart():
    listing = parse_listing(STATUS.split("\n"))
    words = [e.words[0] for g in listing.groups for e in g.entries]
    assert words == [".M", "M.", "MM", "??"]


def test_names_of_a_directory_stand_on_one_line_in_their_order():
    text = "".join(
        f"/srv/shop/{d}/{n}.py\n" for d in ("api", "web") for n in ["zeta", "alpha"]
    )
    form = COMPRESSOR.compress(text * 2, CTX).lossless.text
    assert "api/: zeta.py alpha.py" in form


@pytest.mark.parametrize(
    "text",
    [
        "src/a.py:10: import os\nsrc/a.py:12: import sys\nsrc/b.py:3: import re\n" * 3,
        "2024-05-01 10:00:00 INFO /srv/app started\n" * 8,
        "import os\nimport sys\nfrom a.b import c\nx = 1\n" * 3,
        "One sentence.\nAnother sentence.\nA third one.\nA fourth one.\n",
        "- buy milk\n- call the bank\n- water plants\n- sleep\n",
        "id,name\n1,a.txt\n2,b.txt\n3,c.txt\n4,d.txt\n",
        "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n",
    ],
)
def test_other_texts_are_no_listings(text):
    assert COMPRESSOR.detect(text) == 0.0
    assert COMPRESSOR.compress(text, CTX) is None


def big_listing():
    lines = ["/srv/data:", "total 9000"]
    for i in range(500):
        size = 88_123_456 if i == 150 else 1000 + i * 7
        lines.append(f"-rw-r--r-- 1 dev staff {size} Mar  3 09:12 chunk{i:03d}.bin")
    lines.append("-rw-r--r-- 1 dev staff 12 Mar  3 09:12 LICENSE")
    return "\n".join(lines) + "\n"


def test_the_lossy_form_keeps_the_largest_the_rare_and_what_was_asked():
    ctx = Context(count=estimate_tokens, wants_lossy=True, question="see chunk111?")
    lossy = COMPRESSOR.compress(big_listing(), ctx).lossy
    assert "88123456 chunk150.bin" in lossy.text
    assert "12 LICENSE" in lossy.text
    assert "1777 chunk111.bin" in lossy.text
    assert "more names here: .bin" in lossy.text
    assert "sizes" in lossy.omitted
    assert "names in crowded directories" in lossy.omitted


def test_directories_that_follow_what_they_hold_stand_on_its_head_line():
    listing = parse_listing(DU_LAST.split("\n"))
    form = encode(listing, make_classes(listing))
    assert form.rstrip("\n").split("\n")[2:] == [
        "#dirs-last -",
        "#under shop/",
        "20K api/:",
        "4.0K v1",
        "12K v2",
        "9.2M web/:",
        "8.0K src",
        "9.1M static",
        "9.3M :",
        "4.0K docs",
    ]
    assert same_entries(decode(form), listing)


def test_files_that_tools_made_are_counted_in_lossy_lists_and_trees():
    names = [f"worker_{n}_queue" for n in range(40)]
    paths = "\n".join(
        [f"/srv/shop/core/{name}.py" for name in names]
        + [f"/srv/shop/core/__pycache__/{name}.cpython-311.pyc" for name in names]
    )
    tree = "\n".join(
        ["core", *(f"├── {name}.py" for name in names), "└── __pycache__"]
        + [f"    ├── {name}.cpython-311.pyc" for name in names]
    )
    for text, said in (
        (paths, "# 40 more names here: .pyc 40"),
        (tree, " __pycache__: +40"),
    ):
        lossy = COMPRESSOR.compress(text, CTX).lossy
        assert said in lossy.text
        assert all(f"{name}.py" in lossy.text for name in names)
        assert "worker_7_queue.cpython" not in lossy.text
        asking = Context(count=len, wants_lossy=True, question="queue.cpython?")
        kept = COMPRESSOR.compress(text, asking)
        assert text == paths or kept.lossy is None


def test_deduped_packages_are_counted_in_the_lossy_tree():
    lines = ["shop@1.0.0 /srv/shop"]
    for i in range(40):
        lines += [f"├─┬ package-number{i}@1.0.{i}", "│ ├── ms@2.1.3 deduped"]
        lines += ["│ └── debug@4.3.4 deduped"]
    lines += ["├── ms@2.1.3", "└── debug@4.3.4"]
    lossy = COMPRESSOR.compress("\n".join(lines), CTX).lossy
    assert " package-number7@1.0.7: +2*" in lossy.text
    assert "80 deduped" in lossy.omitted


def test_own_forms_are_left_alone_and_forged_headers_are_not():
    result = settled(COMPRESSOR.compress(big_listing(), CTX))
    assert COMPRESSOR.compress(result.lossless.text, CTX) is None
    assert COMPRESSOR.compress(result.lossy.text, CTX) is None
    assert COMPRESSOR.detect("#ls 3\nnothing of the kind\n") == 0.0


def test_a_name_that_imitates_the_notation_is_quoted():
    names = ["#under x", "a/", "b:", '"q"', "two words", "plain.txt", "star*", "x@"]
    entries = [Entry((), n.replace("/", "")) for n in names]
    listing = Listing([], [Group("d/", "", entries)], [], is_blocks=False)
    assert same_entries(decode(encode(listing, make_classes(listing))), listing)


NAME = st.one_of(
    st.sampled_from(
        ["a", "b.py", "x y", "#dirs", "c:", '"', "d*", "e@", "::", "total"]
    ),
    st.text(st.sampled_from('ab. é"*@!~:#=$'), min_size=1, max_size=6),
)
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)
WORD = st.sampled_from(["1", "22", "Mar", "$", "4.0K", "-rw-r--r--"])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2).flatmap(
        lambda n: st.lists(
            st.tuples(st.tuples(*[WORD] * n), PATH), min_size=1, max_size=25
        )
    ),
    st.sampled_from(["", "/srv/long/prefix/", "./"]),
)
def test_any_list_of_paths_decodes_in_order(items, prefix):
    entries = [Entry(words, prefix + path) for words, path in items]
    listing = Listing([], [Group(None, "", entries)], [], is_blocks=False)
    regroup(listing)
    assert same_entries(decode(encode(listing, make_classes(listing))), listing)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from(["", "/srv/long/prefix/", "./"]))
def test_any_list_of_directories_behind_what_they_hold_decodes(data, prefix):
    entries = []

    def hold(path, depth):
        for name in data.draw(st.lists(NAME, max_size=3, unique=True)):
            if depth < 3 and data.draw(st.booleans()):
                hold(f"{path}{name}/", depth + 1)
            entries.append(Entry((data.draw(WORD),), prefix + path + name))

    hold("top/", 0)
    entries.append(Entry(("9M",), f"{prefix}top"))
    listing = Listing([], [Group(None, "", entries)], [], is_blocks=False)
    regroup(listing)
    assert same_entries(decode(encode(listing, make_classes(listing))), listing)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 1), NAME), min_size=1, max_size=30))
def test_any_tree_decodes(steps):
    depth = 0
    nodes = [Node(0, "root")]
    for step, label in steps:
        depth = max(1, depth + step)
        nodes.append(Node(depth, label))
    assert decode_tree(encode_tree(Tree(nodes, "branches"))) == nodes


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("ab1/. \n-:│├─└rwx#"), max_size=300))
def test_no_text_raises_and_nothing_grows(text):
    COMPRESSOR.detect(text)
    result = settled(COMPRESSOR.compress(text, CTX))
    for form in (result.lossless, result.lossy) if result else ():
        if form is not None:
            assert len(form.text) < len(text)


def test_a_tree_that_breaks_off_within_its_branches_is_none():
    lines = ["  │ │ │ └── types@8.9.0", "  │ │ └─┬ colours@8.1.1", "  │ │"]
    assert COMPRESSOR.compress("\n".join(lines * 20), CTX) is None
