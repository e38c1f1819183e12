import base64
import json
import random
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.core.content.tokens import estimate_tokens
from headroom.inference.vocabulary import load_encoding

RNG = random.Random(3)
WORDS = [
    "the", "connection", "to", "database", "was", "refused",
    "while", "worker", "waiting", "for", "request", "timeout",
    "value", "returned", "from", "service", "after", "retry",
    "please", "check", "configuration", "file", "and", "restart",
    "process", "because", "memory", "limit", "exceeded", "during",
    "build", "step",
]  # fmt: skip


def sentence(length):
    return " ".join(RNG.choice(WORDS) for _ in range(length)).capitalize() + "."


def records(count):
    return [
        {
            "id": str(uuid.UUID(int=RNG.getrandbits(128))),
            "createdAt": 1_700_000_000 + i,
            "is_active": bool(i % 3),
            "score": round(RNG.random(), 4),
            "tags": ["alpha", "production"],
            "email": f"user{i}@example.com",
            "note": sentence(6),
        }
        for i in range(count)
    ]


CODE = '''
class RequestPool:
    """Keeps connections that can be used again."""

    def __init__(self, max_size: int = 10, timeout_s: float = 2.5) -> None:
        self._idle: list[Connection] = []
        self.max_size = max_size
        self.timeout_s = timeout_s

    def acquire(self, host: str) -> "Connection":
        for index, connection in enumerate(self._idle):
            if connection.host == host and not connection.is_closed():
                return self._idle.pop(index)
        if len(self._idle) >= self.max_size:
            raise PoolExhaustedError(f"no free connection for {host!r}")
        return Connection(host, timeout=self.timeout_s)
'''
LOG_LEVELS = ("INFO", "WARN", "ERROR", "DEBUG")
CHINESE = (
    "数据库连接失败,请检查网络配置后重试。用户登录成功,会话已创建。该领域的研究包括机器人、"
    "语言识别和自然语言处理等。系统将在今晚十点进行维护,预计持续两个小时。"
)
SAMPLES = {
    "code": CODE * 10,
    "json": json.dumps(records(60)),
    "json_indented": json.dumps(records(60), indent=2),
    "logs": "\n".join(
        f"2024-03-{i % 28 + 1:02} 10:{i % 60:02}:07,{i % 1000:03} "
        f"{RNG.choice(LOG_LEVELS)} [worker-{i % 8}] com.acme.Pool - {sentence(8)}"
        for i in range(150)
    ),
    "prose": " ".join(sentence(14) for _ in range(80)),
    "chinese": CHINESE * 8,
    "base64": base64.b64encode(RNG.randbytes(6_000)).decode(),
    "base64_lines": base64.encodebytes(RNG.randbytes(6_000)).decode(),
    "hex": "\n".join(RNG.randbytes(32).hex() for _ in range(150)),
    "uuids": "\n".join(str(uuid.UUID(int=RNG.getrandbits(128))) for _ in range(150)),
    "csv": "\n".join(
        f"{i},{RNG.choice(WORDS)},{RNG.randrange(10**6)},{RNG.random():.3f},ok"
        for i in range(200)
    ),
    "markdown_table": "\n".join(
        f"| {RNG.choice(WORDS)}-{i} | {RNG.randrange(10**5)} | {RNG.random():.2f} |"
        for i in range(150)
    ),
    "aligned_table": "\n".join(
        f"{RNG.choice(WORDS):<16}{RNG.randrange(10**5):>10}  Running   {i}h"
        for i in range(150)
    ),
    "html": '<div class="row"><a href="/users/42">Ada Lovelace</a></div>\n' * 60,
    "diff": "".join(
        f"@@ -{i},4 +{i},4 @@\n-    return self.value\n+    return self._value or 0\n"
        for i in range(1, 60)
    ),
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_estimate_is_within_ten_percent_of_o200k(kind):
    text = SAMPLES[kind]
    exact = load_encoding("o200k_base").count(text)
    assert 0.9 <= estimate_tokens(text) / exact <= 1.1


def test_only_the_empty_text_has_no_tokens():
    assert estimate_tokens("") == 0
    for text in (" ", "\n", "a", "\x00", "\x80", "\ud800", "漢", "😀", "·"):
        assert estimate_tokens(text) >= 1


@given(st.text(max_size=300))
def test_any_text_is_estimated_the_same_way_each_time(text):
    first = estimate_tokens(text)
    assert first == estimate_tokens(text)
    assert 0 <= first <= 4 * len(text) + 1


@pytest.mark.parametrize(
    "unit",
    ["a", "A", "aB", "0", " ", "\n", " \n", "-", "Aa0/", "漢", "é", "😀", "─", "\x80"],
)
def test_a_million_bytes_of_one_thing_take_less_than_a_second(unit):
    text = unit * (1_000_000 // len(unit.encode()))
    start = time.process_time()
    assert estimate_tokens(text) > 0
    assert time.process_time() - start < 1.0


def test_longer_texts_of_a_kind_cost_in_proportion():
    for text in SAMPLES.values():
        assert estimate_tokens(text * 3) == pytest.approx(
            3 * estimate_tokens(text), rel=0.02
        )
