import pytest

from headroom.core.folding.times import TIME_MARK, find_notation


@pytest.mark.parametrize(
    ("name", "is_leading", "line"),
    [
        ("iso", True, "2024-03-11T08:14:{:02}.113Z INFO up"),
        ("iso", True, "2024-03-11 08:14:{:02},113 - INFO - up"),
        ("syslog", True, "Mar  3 10:00:{:02} web1 kernel: up"),
        ("ctime", True, "[Sun Dec 04 04:47:{:02} 2005] [notice] up"),
        ("short", True, "03-17 16:13:{:02}.811  1702  2395 D Tag: up"),
        ("short", True, "17/06/09 20:10:{:02} INFO spark: up"),
        ("packed", True, "081109 2036{:02} 148 INFO dfs.DataNode: up"),
        ("packed", True, "20171223-22:15:{:02}:606|Step|up"),
        ("packed", True, "20171224-0:7:{:02}:9|Step|up"),
        ("dmy", True, "11-Mar-2024 08:14:{:02}.113 up"),
        ("clock", True, "08:14:{:02} INFO up"),
        ("uptime", True, "[    0.0000{:02}] usb: up"),
        ("access", False, '10.0.0.1 - - [10/Oct/2000:13:55:{:02} -0700] "GET /"'),
        ("glog", False, "I0311 08:14:{:02}.113000       1 main.go:12] up"),
        ("iso", False, "web-1  | 2024-03-11T08:14:{:02}.113Z up"),
        ("dotted", False, "- 1117838570 R02 2005-06-03-15.42.{:02}.675872 up"),
        ("epoch", False, "type=USER msg=audit(17101448{:02}.113:77): up"),
    ],
)
def test_a_notation_is_found_and_cut_off(name, is_leading, line):
    lines = [line.format(i) for i in range(20)]
    found = find_notation(lines)
    assert found is not None
    assert (found.name, found.is_leading) == (name, is_leading)
    cut = found.cut(lines[3])
    assert cut is not None
    stamp, rest = cut
    time = "".join(stamp)
    whole = time + rest if is_leading else rest.replace(f" {TIME_MARK} ", time)
    assert whole == lines[3]


def test_lines_without_times_have_no_notation():
    assert find_notation(["one 1:2", "two", "three 12:30", "four"]) is None


def test_times_whose_date_changes_with_every_line_are_shown_as_clocks_or_not_at_all():
    lines = [f"20{i:02}-03-11 08:14:{i:02} up" for i in range(40)]
    found = find_notation(lines)
    assert found is None or found.name == "clock"
