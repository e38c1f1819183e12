import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors import log
from headroom.core.compressors.table_text import COMPRESSOR
from headroom.core.compressors.table_text.decode import decode
from headroom.core.compressors.table_text.form import write
from headroom.core.compressors.table_text.grid import Grid
from headroom.core.compressors.table_text.parse import parse_grid
from headroom.core.content.tokens import estimate_tokens
from headroom.core.types import Context, ToolCall

CTX = Context(count=estimate_tokens, wants_lossy=True)

PS = """\
USER         PID %CPU %MEM    VSZ   RSS TTY   STAT START   TIME COMMAND
root           1  0.0  0.1 167744 11520 ?     Ss   08:01   0:02 /sbin/init splash
root           2  0.0  0.0      0     0 ?     S    08:01   0:00 [kthreadd]
postgres     812  0.1  1.2 218440 29112 ?     Ss   08:01   0:11 pg: writer  process
www         1290 88.3  4.0 901244 98120 ?     Rl   08:02  31:07 node --label "a b"
"""
DF = """\
Filesystem     1K-blocks     Used Available Use% Mounted on
tmpfs             803716     1340    802376   1% /run
/dev/sda2      479079112 81243020 373427212  18% /
/dev/sdb1      960380628 91230120 820366772  11% /srv/media archive
"""
KUBECTL = """\
NAMESPACE     NAME                        READY   STATUS             RESTARTS      AGE
default       api-6f7c9d5b8-x2x7k         1/1     Running            0             3d
default       api-6f7c9d5b8-zz81q         0/1     CrashLoopBackOff   12 (3m ago)   3d
kube-system   coredns-5d78c9869d-4kq2v    1/1     Running            0             41d
"""
MARKDOWN = """\
Results of the run:

| Case | Time | Note |
|------|-----:|:----:|
| load | 12.1 | uses a \\| b |
| save | 9.4  |  |
| scan | 30.0 | slow |
"""
MYSQL = """\
+----+-------+-----------+
| id | name  | city      |
+----+-------+-----------+
|  1 | Aoife | Cork      |
|  2 | Bram  | Den Bosch |
|  3 | Chloe | Aix       |
+----+-------+-----------+
3 rows in set (0.00 sec)
"""
PSQL = """\
 id | city  | active
----+-------+--------
  1 | Turku | t
  2 | Espoo | f
(2 rows)

"""


def orders(n):
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["order", "sku", "title", "qty", "note", "state"])
    for i in range(n):
        title = ["Widget, large", 'Gadget "Pro"', "Bolt M4"][i % 3]
        note = ["", "gift wrap\nleave at the door", "call first"][i % 3]
        state = "failed" if i == 57 else "shipped"
        rows.writerow([f"ORD-{7000 + i}", f"SKU-{i % 3}", title, i % 7, note, state])
    return out.getvalue()


def same(one, other):
    return (one.before, one.names, one.columns, one.after, one.between) == (
        other.before,
        other.names,
        other.columns,
        other.after,
        other.between,
    )


KUBECTL_WIDE = """\
NAME            READY   STATUS    IP          NODE     NOMINATED NODE   READINESS GATES
api-x2x7k       1/1     Running   10.1.0.7    node-1   <none>           <none>
api-zz81q       0/1     Pending   <none>      node-2   <none>           <none>
coredns-5d78c   1/1     Running   10.1.0.21   node-2   <none>           <none>
"""
PS_TWICE = """\
  PID  PPID USER     COMMAND         COMMAND
    1     0 root     init            /sbin/init splash
    2     0 root     kthreadd        [kthreadd]
  812     1 postgres postgres        postgres: writer process
"""


def test_columns_may_have_names_of_two_words():
    names = parse_grid(KUBECTL_WIDE).names
    assert names[-2:] == ("NOMINATED NODE", "READINESS GATES")
    assert parse_grid(KUBECTL_WIDE).columns[3] == ["10.1.0.7", "<none>", "10.1.0.21"]


def test_two_columns_may_have_one_name():
    grid = parse_grid(PS_TWICE)
    assert grid.names == ("PID", "PPID", "USER", "COMMAND", "COMMAND")
    assert grid.columns[-1][-1] == "postgres: writer process"


def test_rows_of_equally_many_words_are_a_table_without_a_header():
    rows = [f"lib{i}/stable {i}.2-1 amd64 [installed]" for i in range(20)]
    rows[7] = "lib7/stable 7.2-1 amd64 [upgradable from: 7.1-1]"
    grid = parse_grid("\n".join(["Listing...", *rows]))
    assert (grid.before, grid.names, grid.height) == (("Listing...",), (), 20)
    assert grid.columns[3][7] == "[upgradable from: 7.1-1]"


def test_lines_of_words_that_never_repeat_are_no_table():
    phrases = [f"{a}{i} {b}{i} {i}end" for i in range(20) for a, b in [("ab", "cd")]]
    assert parse_grid("\n".join(phrases)) is None


@pytest.mark.parametrize(
    "text",
    [PS, PS_TWICE, DF, KUBECTL, KUBECTL_WIDE, MARKDOWN, MYSQL, PSQL, orders(60)],
)
def test_every_kind_of_table_is_recognised_and_decodes_to_its_cells(text):
    assert COMPRESSOR.detect(text) >= 0.8
    grid = parse_grid(text)
    form, _, _ = write(grid, estimate_tokens)
    assert same(decode(form), grid)


def test_the_command_of_ps_is_kept_exactly():
    grid = parse_grid(PS)
    assert grid.columns[-1][2] == "pg: writer  process"
    form, _, _ = write(grid, estimate_tokens)
    assert 'node --label "a b"' in form
    assert "pg: writer  process" in form


def test_a_csv_keeps_commas_quotes_and_line_ends_in_cells():
    grid = parse_grid(orders(6))
    assert grid.columns[2][:2] == ["Widget, large", 'Gadget "Pro"']
    assert grid.columns[4][1] == "gift wrap\nleave at the door"
    assert grid.names[0] == "order"


def test_the_header_of_a_csv_stands_as_it_was():
    result = settled(COMPRESSOR.compress(orders(80), CTX))
    assert "\norder,sku,title,qty,note,state\n" in result.lossless.text


def test_dates_are_never_rewritten():
    days = [f"2024-02-{d:02d}" for d in range(1, 29)]
    text = "day,shop,sold\n" + "".join(
        f"{day},Harbour street,{n * 37 % 101}\n" for n, day in enumerate(days)
    )
    form = COMPRESSOR.compress(text, CTX).lossless.text
    assert all(day in form for day in days)


def test_a_constant_column_is_said_once():
    text = "host,zone,load\n" + "".join(
        f"web{i:02d},eu-north-1a,{i * 7 % 13}\n" for i in range(30)
    )
    form = COMPRESSOR.compress(text, CTX).lossless.text
    assert form.count("eu-north-1a") == 1


def test_a_column_that_another_determines_is_listed_once_per_value():
    cities = [("HEL", "Helsinki-Vantaa airport"), ("TMP", "Tampere-Pirkkala airport")]
    text = "flight,code,airport\n" + "".join(
        "AY{},{},{}\n".format(500 + i * i, *cities[i * i % 7 % 2]) for i in range(60)
    )
    form = COMPRESSOR.compress(text, CTX).lossless.text
    assert form.count("Helsinki-Vantaa airport") == 1


def test_objects_in_cells_come_back_as_they_were_written():
    cells = ['{"size": "S", "n": 1.50}', '{"size": "12", "n": null}', '{"a b": true}']
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["id", "opts"])
    rows.writerows([i, cells[i % 3]] for i in range(30))
    grid = parse_grid(out.getvalue())
    form, _, _ = write(grid, estimate_tokens)
    assert decode(form).columns[1] == [cells[i % 3] for i in range(30)]


def test_comment_lines_of_a_table_keep_their_place():
    more = "".join(f"svc{i}\t{i * i}\n" for i in range(9))
    text = f"# made by hand\nname\tport\nssh\t22\n# web\nhttp\t80\n{more}"
    grid = parse_grid(text)
    assert grid.before == ("# made by hand",)
    assert grid.between == ((1, "# web"),)
    form, _, _ = write(grid, estimate_tokens)
    assert same(decode(form), grid)


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01 10:00:00,123 INFO start\n2024-05-01 10:00:01,001 WARN slow\n" * 5,
        "def f(a, b):\n    x = a + b\n    return x\n\n\ndef g():\n    pass\n" * 4,
        "Well, this is prose.\nIt has commas, too.\nAnd lines, of course.\n" * 4,
        "src/a.py:10: import os\nsrc/a.py:12: import sys\nsrc/b.py:3: import re\n" * 3,
        "@@ -1,3 +1,3 @@\n-old line here\n+new line here\n context line\n" * 3,
        "#define A_MAJOR 4\n#define A_MINOR 13\n#define A_PATCH 0\n#define A_X 1\n",
        "drwxr-xr-x 2 root root 4096 Nov 21 10:33 docs\n" * 6,
        '{"a": 1}\n{"a": 2}\n{"a": 3}\n{"a": 4}\n',
    ],
)
def test_logs_code_prose_search_results_and_diffs_are_no_tables(text):
    assert COMPRESSOR.detect(text) == 0.0
    assert COMPRESSOR.compress(text, CTX) is None


def test_the_lossy_form_keeps_identities_extremes_errors_and_what_was_asked():
    lines = ["id,name,price,comment"]
    for i in range(200):
        price = 9999.5 if i == 120 else 10 + i % 50
        words = "payment failed twice" if i == 77 else f"nothing odd about number {i}"
        lines.append(f"{i * i + 1000},item {i},{price},{words}")
    call = ToolCall("1", "Bash", b'{"command": "grep -w 20600 items.csv"}')
    ctx = Context(count=estimate_tokens, wants_lossy=True, call=call)
    lossy = COMPRESSOR.compress("\n".join(lines) + "\n", ctx).lossy
    assert all(str(i * i + 1000) in lossy.text for i in range(200))
    assert "9999.5" in lossy.text
    assert "payment failed twice" in lossy.text
    assert "nothing odd about number 140" in lossy.text
    assert "nothing odd about number 90" not in lossy.text
    assert "comment in " in lossy.omitted
    assert "ordinary rows of 200" in lossy.text


def test_a_very_long_table_states_the_rows_it_leaves_out():
    text = "n,a,b\n" + "".join(
        f"{i * 3 % 7001},{i * i % 977},{i % 89}\n" for i in range(3000)
    )
    lossy = COMPRESSOR.compress(text, CTX).lossy
    assert "rows of 3000" in lossy.omitted
    gaps = [s for s in lossy.text.split("\n") if s.endswith(" omitted")]
    left = 0
    for gap in gaps:
        first, _, last = gap.split()[2].partition("-")
        left += int(last or first) - int(first) + 1
    shown = [s for s in lossy.text.split("\n") if s[:1].isdigit()]
    assert left + len(shown) == 3000


def test_own_forms_are_left_alone_and_forged_headers_are_not():
    text = "id,name,zone,remark\n" + "".join(
        f"{i * i},box{i},eu-north,the remark of box {i} is rather long\n"
        for i in range(150)
    )
    result = settled(COMPRESSOR.compress(text, CTX))
    assert COMPRESSOR.compress(result.lossless.text, CTX) is None
    assert COMPRESSOR.compress(result.lossy.text, CTX) is None
    with pytest.raises(ValueError, match="table"):
        decode("#table of contents\n" + orders(3))


def test_the_lossless_form_is_never_longer():
    for text in (PS, DF, KUBECTL, MARKDOWN, MYSQL, PSQL, orders(40)):
        result = settled(COMPRESSOR.compress(text, CTX))
        if result is not None and result.lossless is not None:
            assert len(result.lossless.text) < len(text)


CELL = st.one_of(
    st.sampled_from(["", "^", "@1", "#x", '"', '""', "a b", " x", "1", "## a=b", "\t"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), max_size=8),
    st.sampled_from(
        ['{"k": 1}', '{"k": "v w"}', '{"k":[1]}', "long repeated cell text"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda width: st.tuples(
            st.lists(CELL, min_size=width, max_size=width, unique=True),
            st.lists(
                st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=30
            ),
        )
    ),
    st.lists(st.sampled_from(["", "#codes 3", "## a=b", "text"]), max_size=3),
    st.sampled_from([",", "|", " ", "\t"]),
)
def test_any_grid_is_written_so_that_it_decodes(table, around, delimiter):
    names, rows = table
    columns = tuple(list(c) for c in zip(*rows, strict=True))
    grid = Grid(tuple(around), tuple(names), columns, tuple(around), delimiter)
    form, _, _ = write(grid, estimate_tokens)
    assert same(decode(form), grid)


@settings(max_examples=100, deadline=None)
@given(st.text(st.sampled_from("ab1,|\t \n\"'-+#^@{}:é"), max_size=300))
def test_no_text_raises_and_nothing_grows(text):
    COMPRESSOR.detect(text)
    result = settled(COMPRESSOR.compress(text, CTX))
    for form in (result.lossless, result.lossy) if result else ():
        if form is not None:
            assert len(form.text) < len(text)


def test_json_values_keep_their_digits():
    cells = [json.dumps({"n": i, "x": i / 8}) for i in range(20)]
    grid = Grid((), ("c", "o"), ([str(i % 3) for i in range(20)], cells), (), ",")
    form, _, _ = write(grid, estimate_tokens)
    assert decode(form).columns[1] == cells


SIZES = [f'{{"size": "{"SML"[i % 3]}", "n": {i}}}' for i in range(12)]


def with_objects(cells, *names):
    out = io.StringIO()
    rows = [[str(i), f"n{i % 5}", cell] for i, cell in enumerate(cells)]
    csv.writer(out, lineterminator="\n").writerows([names, *rows] if names else rows)
    return out.getvalue()


@pytest.mark.parametrize("names", [("id", "name", "options"), ()])
@pytest.mark.parametrize(
    "cell", ['{"size": "S", "n":', '{"size": S}', '"', "{", '{"n": 01}', "^", "@1"]
)
def test_damaged_objects_are_cells_like_others(cell, names):
    for cells in (SIZES, [*SIZES[:5], cell, *SIZES[6:]]):
        grid = parse_grid(with_objects(cells, *names))
        assert grid.columns[2] == cells
        assert same(decode(write(grid, len)[0]), grid)


@pytest.mark.parametrize("end", ['12,n2,"{""size"": ""S"", ""', "12,n2", "12 rows"])
def test_a_last_line_that_is_cut_off_stands_as_it_is(end):
    grid = parse_grid(with_objects(SIZES, "id", "name", "options") + end)
    assert (grid.height, grid.after) == (12, (end,))
    assert same(decode(write(grid, len)[0]), grid)


def test_columns_without_names_may_stand_between_the_rows_alone():
    rows = [f"{i % 3}-x,{i},{'on' if i < 20 else 'off'}" for i in range(40)]
    grid = parse_grid("\n".join(rows))
    form = write(grid, len)[0]
    assert "c3=off\n" in form
    assert same(decode(form), grid)


def test_lines_of_a_log_are_no_table_under_a_header():
    rows = [f"INFO worker {i % 7} finished job-{i:04}" for i in range(400)]
    assert COMPRESSOR.detect("\n".join(rows)) < log.detect("\n".join(rows))
    assert parse_grid("\n".join(rows)).names == ()


def test_the_column_that_names_the_rows_stays_wherever_it_stands():
    rows = [
        f"{n % 7:>9}  2024-05-{n % 9 + 10}  org/example/ledger/Posting{n}Map.class"
        for n in range(90)
    ]
    text = "\n".join(["   length  date        entry of the archive", *rows]) + "\n"
    found = COMPRESSOR.compress(text, CTX)
    assert found is not None
    assert "entry of the archive in" not in (found.lossy.omitted if found.lossy else "")


def test_values_of_two_rows_stay_in_a_column_of_few_values():
    states = {7: "Evicted", 31: "Draining", 64: "Draining"}
    rows = [f"node-{n},{states.get(n, 'Ready')},zone-{n % 3}" for n in range(160)]
    lossy = COMPRESSOR.compress("\n".join(["name,state,zone", *rows]) + "\n", CTX).lossy
    assert "rows of 160" in lossy.omitted
    assert all(f"node-{n}" in lossy.text for n in states)
    assert lossy.text.count("Draining") >= 1


def test_a_cell_that_speaks_of_trouble_keeps_its_row_whatever_others_say():
    notes = {17: "unknown sender", 40: "disk quota exceeded on volume 17"}
    rows = [
        f"job-{n},{'unknown host' if n % 3 else 'nightly copy of all postings'},"
        f"{notes.get(n, 'nothing to say about this run of the job')}"
        for n in range(160)
    ]
    lossy = COMPRESSOR.compress("\n".join(["job,kind,note", *rows]) + "\n", CTX).lossy
    assert "rows of 160" in lossy.omitted
    assert all(note in lossy.text for note in notes.values())


def test_amounts_stay_in_a_column_where_nearly_all_rows_have_one():
    odd = {11: "4.35", 33: "6.25", 58: "2.10", 90: "71.4"}
    rows = [
        f"s{n},{(n * 37) % 101}.{n % 10},{(n * 53) % 97}.{n % 7},{odd.get(n, '0.00')}"
        for n in range(160)
    ]
    lossy = COMPRESSOR.compress("\n".join(["site,a,b,c", *rows]) + "\n", CTX).lossy
    assert "rows of 160" in lossy.omitted
    assert all(value in lossy.text for value in odd.values())


@pytest.mark.parametrize("name", ["id", "ID", "order_id"])
def test_ids_that_count_up_stay_where_row_numbers_are_said_once(name):
    rows = [f"{n + 101},{n},item {n * 37 % 89},eu-west-1" for n in range(40)]
    text = "\n".join([f"{name},row,what,region", *rows]) + "\n"
    form = COMPRESSOR.compress(text, CTX).lossless.text
    assert "#count row +1" in form
    assert all(f"\n{n} " in form or f"\n{n}\t" in form for n in range(101, 141))
