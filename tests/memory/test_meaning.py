import sys

import pytest

from headroom.errors import ConfigError
from headroom.memory.facts import MemoryConfig, Owner
from headroom.memory.meaning import load_embedder, merged
from headroom.memory.store import MemoryStore
from headroom.memory.transfer import export, load

ANN = Owner("", "ann")

PACKAGE = """
MEANINGS = [{"car", "automobile", "vehicle"}, {"dog", "hound"}, {"lunch", "meal"}]

class Tiny:
    name = "tiny-1"

    def embed(self, texts):
        return [
            [float(len(set(text.split()) & group)) for group in MEANINGS]
            for text in texts
        ]

def load():
    return Tiny()
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    def make(name, source):
        folder = tmp_path / "site" / name
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return make


def test_facts_are_found_by_meaning_with_an_installed_package(package, tmp_path):
    embedder = load_embedder(package("tiny_meanings", PACKAGE))
    store = MemoryStore(tmp_path / "m", MemoryConfig(embedder=embedder))
    store.put(ANN, "the automobile is red")
    store.put(ANN, "the hound is old")
    assert [f.id for f in store.search(ANN, "which car")] == [1]
    store.update(ANN, 1, "the meal is cold")
    assert store.search(ANN, "which car") == []
    store.close()
    plain = MemoryStore(tmp_path / "m")
    assert plain.search(ANN, "dog") == []
    plain.close()


def test_vectors_of_another_model_are_not_compared(package, tmp_path):
    first = load_embedder(package("tiny_one", PACKAGE))
    store = MemoryStore(tmp_path / "m", MemoryConfig(embedder=first))
    store.put(ANN, "the automobile is red")
    store.close()
    other = load_embedder(package("tiny_two", PACKAGE.replace("tiny-1", "tiny-2")))
    store = MemoryStore(tmp_path / "m", MemoryConfig(embedder=other))
    assert store.search(ANN, "which car") == []
    store.close()


@pytest.mark.parametrize(
    "body", ["raise RuntimeError('x')", "return []", "return [[float('nan')]]", "pass"]
)
def test_a_model_that_fails_leaves_the_words_to_decide(package, tmp_path, body):
    source = (
        f"class B:\n    name='b'\n    def embed(self, t):\n        {body}\nload = B\n"
    )
    embedder = load_embedder(package(f"broken_{abs(hash(body))}", source))
    store = MemoryStore(tmp_path / "m", MemoryConfig(embedder=embedder))
    store.put(ANN, "the automobile is red")
    assert len(store.search(ANN, "automobile")) == 1
    store.close()


@pytest.mark.parametrize(
    ("source", "match"),
    [
        ("", "no function load"),
        ("def load():\n    return 3\n", "returned int"),
        ("def load():\n    raise OSError('no weights')\n", "no weights"),
        ("import no_such_module_at_all\n", "installed package"),
    ],
)
def test_a_package_that_makes_no_embedder_stops_the_start(package, source, match):
    with pytest.raises(ConfigError, match=match):
        load_embedder(package("no_embedder", source))


def test_a_package_that_is_not_installed_stops_the_start():
    with pytest.raises(ConfigError, match="expected an installed package"):
        load_embedder("no_such_package_at_all")


def test_two_rankings_become_one_with_ties_by_id():
    assert merged([1, 2], [2, 1]) == [1, 2]
    assert merged([5, 4], [4, 3]) == [4, 5, 3]


def test_facts_that_came_before_the_model_get_vectors_when_they_are_kept_again(
    package, tmp_path
):
    plain = MemoryStore(tmp_path / "m")
    plain.put(ANN, "the automobile is red")
    lines = list(export(plain, [ANN]))
    plain.close()
    embedder = load_embedder(package("tiny_later", PACKAGE))
    store = MemoryStore(tmp_path / "m", MemoryConfig(embedder=embedder))
    assert store.search(ANN, "which car") == []
    load(store, lines, now=1)
    assert [f.id for f in store.search(ANN, "which car")] == [1]
    store.close()
