"""The automatic prefix cache."""

import pytest

from headroom.cachelab.automatic import AutomaticCache
from headroom.cachelab.cache import cost
from headroom.cachelab.prefix import Unit
from headroom.providers.models import cache_rules

OLD = cache_rules("gpt-5")
BILLED = cache_rules("gpt-5.6")


def units(*tokens, salt=""):
    """A prefix of units; equal sizes and salt mean equal content."""
    found, key = [], salt.encode()
    for number, size in enumerate(tokens):
        key += b"%d," % size
        found.append(
            Unit(
                section="messages", message=number, index=0, part=-1, block=number,
                kind="text", name="", tokens=size, content=key, key=key, bound=key,
                marker=None,
            )
        )  # fmt: skip
    return found


def bill(cache, prefix, *, rules=OLD, scope="a", now_s=0.0):
    return cache.bill(scope, prefix, rules, now_s).usage


@pytest.mark.parametrize(
    ("tokens", "kept"), [(1023, 0), (1024, 1024), (1151, 1024), (1152, 1152)]
)
def test_prompts_are_kept_from_the_minimum_on_in_whole_steps(tokens, kept):
    cache = AutomaticCache()
    first = bill(cache, units(tokens))
    assert (first.read, first.write_5m, first.uncached) == (0, kept, tokens - kept)
    assert bill(cache, units(tokens)).read == kept


def test_the_longest_shared_prefix_is_read_without_any_marker():
    cache = AutomaticCache()
    bill(cache, units(1000, 500, 300))
    assert bill(cache, units(1000, 500, 301)).read == 1408
    assert bill(cache, units(1000, 501)).read == 0
    grown = bill(cache, units(1000, 500, 300, 700))
    assert grown.read == 1792
    assert grown.total == 2500


def test_a_change_at_the_front_loses_everything():
    cache = AutomaticCache()
    bill(cache, units(5000, 5000))
    assert bill(cache, units(4999, 5000)).read == 0


def test_entries_live_as_long_as_they_are_read():
    cache = AutomaticCache()
    bill(cache, units(2048))
    assert bill(cache, units(2048), now_s=299).read == 2048
    assert bill(cache, units(2048), now_s=500).read == 2048
    assert bill(cache, units(2048), now_s=801).read == 0


def test_scopes_never_meet():
    cache = AutomaticCache()
    bill(cache, units(2048))
    assert bill(cache, units(2048), scope="b").read == 0


def test_older_models_bill_writes_as_any_other_token():
    cache = AutomaticCache()
    assert cost(bill(cache, units(2048)), OLD) == 2048
    assert cost(bill(cache, units(2048)), OLD) == pytest.approx(204.8)


def test_newer_models_bill_writes_and_keep_every_token():
    cache = AutomaticCache()
    first = bill(cache, units(2000), rules=BILLED)
    assert (first.write_5m, first.uncached) == (2000, 0)
    assert cost(first, BILLED) == 2500
    assert bill(cache, units(2000), rules=BILLED, now_s=1700).read == 2000


def test_the_shares_of_all_units_add_up_to_the_bill():
    cache = AutomaticCache()
    bill(cache, units(1000, 300))
    prefix = units(1000, 300, 777)
    found = cache.bill("a", prefix, OLD, 1.0)
    shares = [u.tokens * found.rate(n, OLD) for n, u in enumerate(prefix)]
    assert found.usage.read == 1280
    assert sum(shares) == pytest.approx(cost(found.usage, OLD))


def test_a_request_without_tokens_costs_nothing():
    assert bill(AutomaticCache(), []).total == 0
