import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.cachelab.cache import PromptCache, Usage, cost
from headroom.cachelab.prefix import lay_out
from headroom.providers.models import model_named

MARK = {"type": "ephemeral"}
LONG = {"type": "ephemeral", "ttl": "1h"}
RULES = model_named("claude-sonnet-4-5").cache


def count(_digest, text):
    return int(text.partition(" ")[0])


def block(tokens, name="x", marker=None):
    made = {"type": "text", "text": f"{tokens} {name}"}
    return {**made, "cache_control": marker} if marker else made


def units(*blocks):
    return lay_out({"messages": [{"role": "user", "content": list(blocks)}]}, count)


class Provider:
    def __init__(self, rules=RULES):
        self.cache = PromptCache()
        self.rules = rules
        self.now = 0.0

    def send(self, *blocks, scope="one"):
        return self.cache.bill(scope, units(*blocks), self.rules, self.now).usage


def test_without_markers_nothing_is_cached():
    assert Provider().send(block(5000)) == Usage(uncached=5000)


def test_a_marked_prefix_is_written_then_read():
    provider = Provider()
    request = (block(2000, marker=MARK), block(100))
    assert provider.send(*request) == Usage(uncached=100, write_5m=2000)
    assert provider.send(*request) == Usage(uncached=100, read=2000)


def test_a_conversation_reads_what_the_turn_before_wrote():
    provider = Provider()
    provider.send(block(1000), block(500, marker=MARK))
    found = provider.send(block(1000), block(500), block(30), block(70, marker=MARK))
    assert found == Usage(read=1500, write_5m=100)


def test_what_changes_in_the_prefix_is_written_again_with_all_that_follows():
    provider = Provider()
    provider.send(block(1000), block(500, "a"), block(500, marker=MARK))
    found = provider.send(block(1000), block(499, "b"), block(500, marker=MARK))
    assert found == Usage(write_5m=1999)


def test_an_earlier_breakpoint_saves_what_is_before_the_change():
    provider = Provider()
    provider.send(block(2000, marker=MARK), block(500, "a", marker=MARK))
    found = provider.send(block(2000, marker=MARK), block(400, "b", marker=MARK))
    assert found == Usage(read=2000, write_5m=400)


@pytest.mark.parametrize(("tokens", "is_cached"), [(1023, False), (1024, True)])
def test_a_prefix_below_the_models_minimum_is_not_cached(tokens, is_cached):
    provider = Provider()
    first = provider.send(block(tokens, marker=MARK))
    second = provider.send(block(tokens, marker=MARK))
    assert first.write_5m == (tokens if is_cached else 0)
    assert second.read == (tokens if is_cached else 0)
    assert second.uncached == (0 if is_cached else tokens)


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-opus-5", 512),
        ("claude-sonnet-4-5-20250929", 1024),
        ("claude-opus-4-7", 2048),
        ("claude-haiku-4-5", 4096),
    ],
)
def test_the_minimum_goes_by_the_model(model, minimum):
    rules = model_named(model).cache
    assert Provider(rules).send(block(minimum, marker=MARK)).write_5m == minimum
    assert Provider(rules).send(block(minimum - 1, marker=MARK)).write_5m == 0


def test_the_look_back_ends_after_twenty_blocks():
    def turn(extra):
        provider = Provider()
        provider.send(block(2000, marker=MARK))
        added = [block(10, f"{n}") for n in range(extra - 1)]
        return provider.send(block(2000), *added, block(10, "end", marker=MARK))

    assert turn(19).read == 2000
    assert turn(20).read == 0
    assert turn(20).write_5m == 2200


@pytest.mark.parametrize(
    ("marker", "lifetime"), [(MARK, 300), ({**MARK, "ttl": "5m"}, 300), (LONG, 3600)]
)
def test_entries_die_after_their_lifetime(marker, lifetime):
    provider = Provider()
    provider.send(block(2000, marker=marker))
    provider.now = lifetime - 1
    assert provider.send(block(2000, marker=marker)).read == 2000
    provider.now += lifetime
    assert provider.send(block(2000, marker=marker)).read == 0


def test_reading_starts_the_lifetime_again():
    provider = Provider()
    for _ in range(5):
        provider.send(block(2000, marker=MARK))
        provider.now += 299
    assert provider.send(block(2000, marker=MARK)).read == 2000


def test_organisations_and_models_do_not_share():
    provider = Provider()
    provider.send(block(2000, marker=MARK), scope="a")
    assert provider.send(block(2000, marker=MARK), scope="b").read == 0


def test_both_lifetimes_in_one_request_are_billed_apart():
    provider = Provider()
    request = (
        block(2000, marker=LONG),
        block(300, marker=LONG),
        block(40, marker=MARK),
        block(5),
    )
    assert provider.send(*request) == Usage(uncached=5, write_5m=40, write_1h=2300)
    provider.now = 1800
    assert provider.send(*request) == Usage(uncached=5, write_5m=40, read=2300)


def test_the_price_table():
    usage = Usage(uncached=1000, write_5m=1000, write_1h=1000, read=1000)
    assert cost(usage, RULES) == pytest.approx(1000 + 1250 + 2000 + 100)
    cheaper = model_named("claude-opus-5-5").cache
    assert cost(Usage(read=1000), cheaper) == pytest.approx(50)


def test_the_rates_of_the_units_add_up_to_the_bill():
    found = units(block(2000, marker=LONG), block(300, marker=MARK), block(7))
    bill = PromptCache().bill("one", found, RULES, 0.0)
    priced = sum(u.tokens * bill.rate(n, RULES) for n, u in enumerate(found))
    assert priced == pytest.approx(cost(bill.usage, RULES))


blocks = st.lists(
    st.tuples(st.integers(1, 3000), st.sampled_from("ab"), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(blocks, min_size=1, max_size=6))
def test_every_token_is_billed_once_and_only_what_was_written_is_read(requests):
    provider = Provider()
    written: set[bytes] = set()
    for request in requests:
        found = units(*(block(t, n, MARK if m else None) for t, n, m in request))
        bill = provider.cache.bill("one", found, RULES, 0.0)
        assert bill.usage.total == sum(u.tokens for u in found)
        if bill.read_end:
            assert found[bill.read_end - 1].key in written
        written |= {u.key for u in found if u.marker}
