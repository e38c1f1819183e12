"""A corpus on a local Ray of two processors."""

import pytest
import ray

import headroom
from headroom.ccr.stores import open_store
from headroom.core import markers
from headroom.errors import ConfigError
from headroom.integrations.frames import TextOptions
from headroom.integrations.ray import compress_dataset
from jobs import log

TEXTS = [*(log(n) for n in range(6)), None, "short"]

# Ray's own modules warn of each other.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=80 * 1024 * 1024,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    yield
    ray.shutdown()


def corpus():
    rows = [{"id": i, "text": text} for i, text in enumerate(TEXTS)]
    return ray.data.from_items(rows, override_num_blocks=4)


def test_a_corpus_is_shortened_in_parallel():
    made = compress_dataset(corpus(), "text", into="short", batch_size=2)
    found = sorted(made.take_all(), key=lambda row: row["id"])
    assert [row["text"] for row in found] == TEXTS
    for row in found[:6]:
        assert row["short"] == headroom.compress_text(row["text"]).text
    assert [row["short"] for row in found[6:]] == TEXTS[6:]


def test_workers_share_a_store_of_originals(tmp_path):
    url = f"sqlite://{tmp_path}/originals.db"
    options = TextOptions(lossy=True, store=url)
    made = compress_dataset(corpus(), "text", options=options, batch_size=2)
    found = sorted(made.take_all(), key=lambda row: row["id"])
    store = open_store(url)
    for row in found[:6]:
        (marker,) = markers.find_markers(row["text"])
        assert headroom.retrieve(marker.digest, store=store) == TEXTS[row["id"]]
    store.close()


def test_a_store_in_memory_is_refused():
    options = TextOptions(lossy=True, store="memory://")
    with pytest.raises(ConfigError, match="workers share"):
        compress_dataset(corpus(), "text", options=options)
