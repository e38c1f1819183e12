"""Outlines of source code: what stays, what goes, and what is never outlined."""

import random
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.core.compressors import outline
from headroom.core.compressors.outline import grammars
from headroom.core.content.languages import (
    language_of_path,
    language_of_text,
)
from headroom.core.types import Context, ToolCall

# Per language: the file's start, a function {n} with its body, what must stay of it.
SOURCES = {
    "python": (
        "import os\nfrom typing import Any\n\nLIMIT = 12\n",
        '''
@cached
def load_{n}(
    path: str,
    depth: int = {n},
) -> Any:
    """Load one file and follow what it includes.

    :param path: where to begin, which can be a long story
        that goes on for some lines.
    """
    total = 0
    for index in range(depth):
        total += index
        if total > LIMIT:
            total = total - index
    if not path:
        raise ValueError("no path was given to loader {n}")
    total += depth
    total *= depth
    return os.path.join(path, str(total))
''',
        (
            "def load_{n}(\n    path: str,\n    depth: int = {n},\n) -> Any:",
            '"no path was given to loader {n}"',
            "return os.path.join(path, str(total))",
            "@cached",
            '"""Load one file and follow what it includes.',
        ),
    ),
    "javascript": (
        "'use strict';\nconst fs = require('fs');\nconst limit = 12;\n",
        """
/**
 * Load one file and follow what it includes.
 * @param {string} path
 * @return {object}
 */
function load{n}(path, depth) {
  let total = 0;
  for (let i = 0; i < depth; i++) {
    total += i;
    total = total * 2;
  }
  if (!path) {
    throw new Error('no path was given to loader {n}');
  }
  total += limit;
  return fs.join(path, total);
}
""",
        ("function load{n}(path, depth) {", "no path was given to loader {n}"),
    ),
    "typescript": (
        "import { A } from './a';\nexport interface Options {\n  deep: boolean;\n}\n",
        """
export class Loader{n} {
  private readonly path: string;
  async load(path: string, depth: number): Promise<string> {
    let total = 0;
    for (let i = 0; i < depth; i++) {
      total += i;
      total = total * 2;
    }
    total += 1;
    total += 2;
    return this.join(path, total);
  }
}
""",
        (
            "export class Loader{n} {",
            "  private readonly path: string;",
            "async load(path: string, depth: number): Promise<string> {",
        ),
    ),
    "go": (
        'package loader\n\nimport (\n\t"fmt"\n)\n\nconst limit = 12\n',
        """
// Load{n} loads one file.
func (l *Loader) Load{n}(path string, depth int) (string, error) {
\ttotal := 0
\tfor i := 0; i < depth; i++ {
\t\ttotal += i
\t\ttotal = total * 2
\t}
\ttotal += limit
\tif path == "" {
\t\treturn "", fmt.Errorf("no path was given to loader {n}")
\t}
\tl.total = total
\treturn fmt.Sprint(total), nil
}
""",
        (
            "func (l *Loader) Load{n}(path string, depth int) (string, error) {",
            '"no path was given to loader {n}"',
        ),
    ),
    "rust": (
        "use std::fs;\n\npub struct Loader {\n    total: usize,\n}\n",
        """
impl Loader{n} {
    /// Loads one file.
    pub fn load(&mut self, path: &str, depth: usize) -> Result<String, Error> {
        let mut total = 0;
        for i in 0..depth {
            total += i;
            total = total * 2;
        }
        self.total += total;
        if path.is_empty() {
            panic!("no path was given to loader {n}");
        }
        self.total += 1;
        fs::read_to_string(path)
    }
}
""",
        (
            "impl Loader{n} {",
            "pub fn load(&mut self, path: &str, depth: usize) -> Result<String,",
            "no path was given to loader {n}",
        ),
    ),
    "java": (
        "package org.example.loader;\n\nimport java.util.List;\n\nclass Outer {\n",
        """
    @Override
    public String load{n}(String path, int depth) throws LoadException {
        int total = 0;
        for (int i = 0; i < depth; i++) {
            total += i;
            total = total * 2;
        }
        if (path == null) {
            throw new LoadException("no path was given to loader {n}");
        }
        total += 1;
        return String.join(path, total);
    }
""",
        ("public String load{n}(String path, int depth) throws", "@Override"),
    ),
    "c": (
        "#include <stdio.h>\n#define LIMIT 12\n\nstruct loader { int total; };\n",
        """
/* Load one file. */
static int load_{n}(struct loader *l, const char *path,
                    int depth)
{
    int total = 0;
    for (int i = 0; i < depth; i++) {
        total += i;
        total = total * 2;
    }
    if (!path)
        fprintf(stderr, "no path was given to loader {n}");
    l->total = total;
    total += LIMIT;
    return total;
}
""",
        (
            "static int load_{n}(struct loader *l, const char *path,",
            "\n                    int depth)",
            "no path was given to loader {n}",
        ),
    ),
    "cpp": (
        "#include <string>\nnamespace loading {\ntemplate <typename T> class Store;\n",
        """
class Loader{n} : public Base {
public:
    std::string load(const std::string &path, int depth) override {
        int total = 0;
        for (int i = 0; i < depth; i++) {
            total += i;
            total = total * 2;
        }
        if (path.empty()) throw Error("no path was given to loader {n}");
        total_ = total;
        total_ += 1;
        return std::to_string(total);
    }
};
""",
        (
            "class Loader{n} : public Base {",
            "std::string load(const std::string &path, int depth) override {",
        ),
    ),
    "ruby": (
        "require 'json'\n\ninclude Loading\n",
        """
  class Loader{n} < Base
    attr_reader :path
    def load(path, depth = {n})
      total = 0
      depth.times do |i|
        total += i
        total *= 2
      end
      total += 1
      raise ArgumentError, 'no path was given to loader {n}' unless path
      @total = total
      return File.join(path, total)
    end
  end
""",
        ("class Loader{n} < Base", "attr_reader :path", "def load(path, depth = {n})"),
    ),
    "php": (
        "<?php\nnamespace Example\\Loading;\n\nuse Example\\Base;\n",
        """
class Loader{n} extends Base
{
    public function load(string $path, int $depth = {n}): string
    {
        $total = 0;
        for ($i = 0; $i < $depth; $i++) {
            $total += $i;
            $total = $total * 2;
        }
        if (!$path) {
            throw new LoadError('no path was given to loader {n}');
        }
        $this->total = $total;
        return join($path, $total);
    }
}
""",
        (
            "class Loader{n} extends Base",
            "public function load(string $path, int $depth = {n}): string",
        ),
    ),
    "c_sharp": (
        "using System;\n\nnamespace Example.Loading;\n",
        """
public class Loader{n} : Base
{
    public string Path { get; set; }
    public async Task<string> Load(string path, int depth)
    {
        var total = 0;
        for (var i = 0; i < depth; i++)
        {
            total += i;
            total = total * 2;
        }
        if (path == null) throw new LoadError("no path was given to loader {n}");
        this.total = total;
        return string.Join(path, total);
    }
}
""",
        (
            "public class Loader{n} : Base",
            "public string Path { get; set; }",
            "public async Task<string> Load(string path, int depth)",
        ),
    ),
    "bash": (
        "#!/usr/bin/env bash\nset -eu\n\nLIMIT=12\n",
        """
load_{n}() {
  local path="$1"
  local total=0
  for i in 1 2 3 4; do
    total=$((total + i))
    total=$((total * 2))
  done
  if [ -z "$path" ]; then
    echo "no path was given to loader {n}" >&2
    exit 1
  fi
  total=$((total + LIMIT))
}
""",
        ("load_{n}() {", "no path was given to loader {n}", "LIMIT=12"),
    ),
}


def source(language, functions=14):
    head, body, _ = SOURCES[language]
    lines = body.split("\n")
    # The first statement of the loop some times over, to make it a body worth a gap.
    body = "\n".join(ln for ln in lines for _ in range(5 if " += i" in ln else 1))
    return head + "".join(body.replace("{n}", str(n)) for n in range(functions))


def words(text):
    return len(text.split())


def outlined(text, call=None, *, lossy=True):
    found = outline.compress(text, Context(count=words, call=call, wants_lossy=lossy))
    return None if found is None else found.lossy


def reading(path, tool="Read"):
    return ToolCall("1", tool, msgspec.json.encode({"file_path": path}))


@pytest.mark.parametrize("language", SOURCES)
def test_signatures_and_messages_stay_and_bodies_go(language):
    text = source(language)
    assert language_of_text(text) == language
    assert outline.detect(text) >= 0.5
    found = outlined(text)
    for n in range(14):
        for part in SOURCES[language][2]:
            assert part.replace("{n}", str(n)) in found.text
    assert found.text.count("total") < text.count("total") / 2
    assert len(found.text) < 0.75 * len(text)


@pytest.mark.parametrize("language", SOURCES)
def test_kept_lines_are_the_files_and_gaps_number_the_rest(language):
    text = source(language)
    lines = text.split("\n")
    number = 0
    for line in outlined(text).text.split("\n")[1:]:
        if line.startswith("… "):
            first, last = map(int, line[2:].split("-"))
            assert first == number + 1 <= last
            number = last
        else:
            assert line == lines[number]
            number += 1
    assert number == len(lines)


def test_nothing_is_outlined_unless_asked_for():
    assert outlined(source("python"), lossy=False) is None


@pytest.mark.parametrize(
    "path",
    [
        "/home/dev/app/src/loader.py",
        "src/loader.py",
        "distribution/loader.py",
        "/home/dev/app/building/loader.py",
    ],
)
def test_a_file_of_the_project_is_never_outlined(path):
    text = source("python")
    assert outlined(text, reading(path)) is None
    shell = ToolCall("1", "Bash", msgspec.json.encode({"command": f"cat {path}"}))
    assert outlined(text, shell) is None


def test_an_unknown_call_is_no_permission():
    assert outlined(source("python"), ToolCall("1", "", b"")) is None
    assert outlined(source("python"), ToolCall("1", "Read", b"[")) is None
    both = {"command": "cat src/a.py node_modules/b/index.js"}
    shell = ToolCall("1", "Bash", msgspec.json.encode(both))
    assert outlined(source("python"), shell) is None


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/python3/dist-packages/loader.py",
        "/home/dev/app/.venv/lib/python3.12/site-packages/loader/core.py",
        "node_modules/loader/core.py",
        "third_party/loader.py",
        "vendor/loader.py",
        "proto/loader_pb2.py",
        "C:\\app\\node_modules\\x\\loader.py",
    ],
)
def test_installed_and_vendored_files_are_outlined(path):
    text = source("python")
    assert outlined(text, reading(path)) is not None
    command = {"command": f"sed -n '1,400p' {path}"}
    shell = ToolCall("1", "Bash", msgspec.json.encode(command))
    assert outlined(text, shell) is not None or "\\" in path


def test_a_file_that_says_it_was_generated_is_outlined_wherever_it_lies():
    text = "// Code generated by protoc-gen-go. DO NOT EDIT.\n" + source("go")
    assert outlined(text, reading("api/loader.go")) is not None
    late = source("go") + "// Code generated by protoc-gen-go. DO NOT EDIT.\n"
    assert outlined(late, reading("api/loader.go")) is None


def numbered(text, start=1):
    return "\n".join(f"{n:6}\t{line}" for n, line in enumerate(text.split("\n"), start))


def test_a_view_of_a_project_file_loses_its_empty_lines_at_most():
    text = source("python")
    view = numbered(text, start=101)
    assert outlined(view, reading("src/loader.py")) is None
    assert outlined(view, ToolCall("1", "", b"")) is None
    assert outlined(view, lossy=False) is None
    found = outlined(view)
    header, *shown = found.text.split("\n")
    lines = text.split("\n")
    empty = len(lines) - len(shown)
    assert header == f"[numbered view without its {empty} empty lines]"
    assert found.omitted.startswith(f"{empty} empty lines of {len(lines)}")
    told = {int(row.partition("\t")[0]): row.partition("\t")[2] for row in shown}
    assert [told.get(n, "") for n in range(101, 101 + len(lines))] == lines
    assert outline.is_form(found.text)
    assert outlined(found.text) is None
    assert not outline.is_form(f"[numbered view without its 3 empty lines]\n{view}")


def test_numbered_views_keep_their_numbers():
    view = numbered(source("python"), start=101)
    assert 0.99 < outline.detect(view) < 1.0
    found = outlined(view, reading("/x/site-packages/loader.py")).text
    assert "\n106\t@cached\n107\tdef load_0(\n" in found
    assert "\n… " in found
    assert not found.endswith("\n")


def test_views_that_name_their_file_are_believed():
    body = "\n".join(
        f"{n}:{line}" for n, line in enumerate(source("python").split("\n"), 1)
    )
    for path, expected in (("node_modules/x/a.py", True), ("src/a.py", False)):
        view = f"[File: {path} (300 lines total)]\n{body}\n(2 more lines below)"
        found = outlined(view)
        assert found.text.startswith("[outline of ") == expected
        if expected:
            assert f"\n[File: {path} (300 lines total)]\n" in found.text
            assert found.text.endswith("\n(2 more lines below)")


def test_an_outline_is_recognised_and_a_forged_header_is_not():
    form = outlined(source("python")).text
    assert outline.is_form(form)
    assert outline.detect(form) == 1.0
    assert outlined(form) is None
    forged = '[outline of 9 lines; "… a-b": left out]\n' + source("python")
    assert not outline.is_form(forged)


def test_lines_that_look_like_gaps_are_marked():
    text = 'X = """\n… 5-9\n"""\n' + source("python")
    assert "\n\\… 5-9\n" in outlined(text).text


def test_without_the_grammar_nothing_is_outlined(monkeypatch):
    def absent(name):
        raise ImportError(name)

    grammars._load.cache_clear()
    monkeypatch.setattr(grammars.importlib, "import_module", absent)
    assert outlined(source("python")) is None
    grammars._load.cache_clear()


def test_a_wrapped_module_is_looked_into():
    inner = source("javascript").replace("\n", "\n  ")
    text = f"(function (root) {{\n  {inner}\n}})(this);\n"
    found = outlined(text).text
    assert "function load7(path, depth) {" in found
    assert "const limit = 12;" in found


@pytest.mark.parametrize(
    "text",
    [
        "The quick brown fox jumps over the lazy dog.\n" * 90,
        '{"a": [1, 2, 3], "return": true}\n' * 90,
        "2026-01-01 12:00:00 INFO return value (3) of worker\n" * 90,
        "diff --git a/x.py b/x.py\n@@ -1,3 +1,4 @@\n" + source("python"),
    ],
)
def test_other_texts_are_no_code(text):
    assert outline.detect(text) == 0.0


def test_names_of_files_tell_languages():
    assert language_of_path("a/b.test.tsx") == "tsx"
    assert language_of_path("C:\\x\\a.CS") == "c_sharp"
    assert language_of_path("Makefile") == ""
    assert language_of_path("a.pl") == ""


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(SOURCES)),
    st.integers(0, 2**32),
    st.integers(0, 40),
)
def test_damaged_code_gives_lines_of_the_file_or_nothing(language, seed, damage):
    chance = random.Random(seed)
    characters = list(source(language, 9))
    for _ in range(damage):
        at = chance.randrange(len(characters))
        characters[at : at + chance.randrange(3)] = chance.choice(
            ["(", "}", '"', "'''", "/*", "\n", "é", "\u2028", ""]
        )
    text = "".join(characters)
    found = outlined(text)
    if found is not None:
        number = 0
        lines = text.split("\n")
        for line in found.text.split("\n")[1:]:
            if line.startswith("… "):
                number = int(line.partition("-")[2])
            else:
                assert line == lines[number]
                number += 1
        assert number == len(lines)


@pytest.mark.parametrize("unit", ["(", "{\n", '"', "/*", "def a(x):\n", "x = [", "\n"])
def test_no_text_takes_long(unit):
    outlined(source("python"))
    text = "#!/usr/bin/env python\n" + unit * (390_000 // len(unit))
    start = time.process_time()
    outline.detect(text)
    outlined(text)
    assert time.process_time() - start < 3
