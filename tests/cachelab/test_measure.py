"""What is a prefix break, told by records alone."""

from headroom.cachelab import measure
from headroom.cachelab.automatic import AutomaticCache
from headroom.cachelab.lab import Record
from headroom.cachelab.measure import Exchange
from headroom.cachelab.prefix import Unit
from headroom.core.digest import chain_key
from headroom.providers.models import CacheRules

RULES = CacheRules(1024, 128, 1.0, 1.0, 0.1, 600, 600)


def side(*requests):
    """Requests as lists of ``(words, tokens)``, billed one after the other."""
    cache = AutomaticCache()
    exchanges = []
    for request in requests:
        units, key = [], b""
        for number, (words, tokens) in enumerate(request):
            key = chain_key(key, words.encode())
            units.append(
                Unit("messages", number, 0, -1, number, "text", "", tokens,
                     key, key, key, None)
            )  # fmt: skip
        bill = cache.bill("", units, RULES, 0.0)
        exchanges.append(Exchange((Record("c", "m", tuple(units), bill),), 1.0))
    return exchanges


FRONT = ("front", 1100)


def test_a_turn_sent_again_is_no_break_however_steps_fall():
    """Directly a step ends in front of what is new in the second turn, here in it."""
    short = [FRONT, ("a", 52)]
    direct = side(short, [*short, ("b", 100)], short)
    less = [FRONT, ("a'", 50)]
    target = side(less, [*less, ("b'", 130)], less)
    assert direct[1].records[0].cached_tokens == 1152
    assert target[1].records[0].cached_tokens == 1280
    assert measure.result("c", direct, target).breaks == ()


def test_a_proxy_that_drops_the_end_of_a_request_breaks_the_prefix():
    long = [FRONT, ("a", 52), ("b", 200)]
    direct = side(long, [*long, ("c", 10)])
    target = side(long, long[:2])
    (found,) = measure.result("c", direct, target).breaks
    assert (found.turn, found.lost_tokens) == (1, 128)


def test_a_turn_sent_again_otherwise_is_a_break():
    short = [FRONT, ("a", 52)]
    direct = side(short, [*short, ("b", 100)], short)
    target = side(short, [*short, ("b", 130)], [FRONT, ("a again", 52)])
    assert len(measure.result("c", direct, target).breaks) == 1
