"""Texts to measure, wherever they come from."""

import json

import pytest

from headroom.errors import ConfigError
from headroom.workbench.items import load


def corpus(folder, *entries):
    lines = []
    for entry in entries:
        text = entry.pop("text")
        path = folder / entry["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        lines.append(json.dumps(entry))
    (folder / "items.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_corpus_gives_texts_with_kinds_and_facts(tmp_path):
    corpus(
        tmp_path,
        {
            "id": "a",
            "kind": "log",
            "path": "items/a.txt",
            "bytes": 9,
            "facts": [{"q": "?", "a": ["x 1", "y"], "type": "error"}],
            "text": "x 1\r\ny é\n",
        },
    )
    for path in (tmp_path, tmp_path / "items.jsonl"):
        (item,) = load([path])
        assert (item.id, item.kind, item.text) == ("a", "log", "x 1\r\ny é\n")
        assert (item.facts[0].a, item.facts[0].type) == (("x 1", "y"), "error")


def test_other_folders_are_read_file_by_file(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("two")
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "image.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / ".hidden").write_text("no")
    (tmp_path / "empty").write_text("")
    told = []
    items = load([tmp_path], tell=told.append)
    found = [(item.id, item.text, item.kind) for item in items]
    assert told == [
        f"{tmp_path / 'empty'}: empty",
        f"{tmp_path / 'image.bin'}: not UTF-8 text",
    ]
    assert found == [("a.txt", "one", ""), ("sub/b.txt", "two", "")]
    assert [item.id for item in load([tmp_path / "a.txt"])] == ["a.txt"]


def test_without_paths_the_shipped_conversation_is_taken():
    found = load([])
    assert len(found) > 10
    assert all(item.text for item in found)
    assert len({item.id for item in found}) == len(found)


def test_what_is_missing_or_no_index_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="found nothing"):
        load([tmp_path / "absent"])
    (tmp_path / "items.jsonl").write_text('{"id": 1}\n')
    with pytest.raises(ConfigError, match="line 1"):
        load([tmp_path])


def test_blank_lines_of_an_index_are_nothing(tmp_path):
    entry = {"id": "a", "kind": "log", "path": "a.txt", "text": "x"}
    index = corpus(tmp_path, entry) / "items.jsonl"
    index.write_text(f"\n{index.read_text()}\n\n")
    assert [item.id for item in load([tmp_path])] == ["a"]
