import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import settled
from headroom.core.compressors.trace import COMPRESSOR, decode
from headroom.core.folding import normalise
from headroom.core.types import Candidate, Context

LOSSLESS = Context(count=lambda text: len(text) // 4)
LOSSY = Context(count=lambda text: len(text) // 4, wants_lossy=True)

EXPRESS = "/srv/shop/node_modules/express/lib/router"
NODE = f"""TypeError: Cannot read properties of undefined (reading 'total')
    at computeInvoice (/srv/shop/src/invoice.ts:42:27)
    at /srv/shop/src/orders.ts:88:19
    at Layer.handle [as handle_request] ({EXPRESS}/layer.js:95:5)
    at next ({EXPRESS}/route.js:149:13)
    at Route.dispatch ({EXPRESS}/route.js:119:3)
    at Function.process_params ({EXPRESS}/index.js:346:12)
    at next ({EXPRESS}/index.js:280:10)
    at process.processTicksAndRejections (node:internal/process/task_queues:95:5)"""
SPRING = "org.springframework.beans.factory.support"
JAVA = f"""Exception in thread "main" {SPRING}.BeanCreationException: no bean 'orders'
\tat {SPRING}.ConstructorResolver.createArgumentArray(ConstructorResolver.java:800)
\tat {SPRING}.ConstructorResolver.autowireConstructor(ConstructorResolver.java:229)
\tat {SPRING}.AbstractBeanFactory.lambda$doGetBean$0(AbstractBeanFactory.java:335)
\tat {SPRING}.AbstractBeanFactory.getBean(AbstractBeanFactory.java:208)
\tat com.shop.Application.main(Application.java:12)
Caused by: java.lang.IllegalStateException: missing property shop.currency
\tat com.shop.OrderService.init(OrderService.java:44)
\tat java.base/java.lang.reflect.Method.invoke(Method.java:566)
\t... 24 common frames omitted"""
SITE = "/srv/app/venv/lib/python3.11/site-packages/sqlalchemy"
PYTHON = f"""Traceback (most recent call last):
  File "/srv/app/jobs/sync.py", line 40, in run
    self.push(batch)
    ^^^^^^^^^^^^^^^^
  File "{SITE}/orm/session.py", line 1428, in commit
    self._transaction.commit(_to_root=self.future)
  File "{SITE}/orm/session.py", line 829, in commit
    self._prepare_impl()
  File "{SITE}/engine/default.py", line 736, in do_execute
    cursor.execute(statement, parameters)
psycopg2.errors.UniqueViolation: duplicate key value violates "users_email_key\""""
GO = """panic: runtime error: index out of range [5] with length 3

goroutine 1 [running]:
main.(*Store).Get(0xc000012345, 0x5)
\t/home/me/app/store.go:41 +0x1c
net/http.HandlerFunc.ServeHTTP(0xc00007e000, {0x7a9d60, 0xc0000ee000}, 0x0)
\t/usr/local/go/src/net/http/server.go:2136 +0x29
net/http.(*conn).serve(0xc0000c2000, {0x7aa108, 0xc00009e0f0})
\t/usr/local/go/src/net/http/server.go:2009 +0x5f4
net/http.(*Server).Serve.func3()
\t/usr/local/go/src/net/http/server.go:3086 +0x5cb
main.main()
\t/home/me/app/main.go:15 +0x85"""
RUST = """thread 'main' panicked at src/config.rs:57:10:
called `Result::unwrap()` on an `Err` value: NotFound
stack backtrace:
   0: rust_begin_unwind
             at /rustc/07dca489/library/std/src/panicking.rs:645:5
   1: core::panicking::panic_fmt
             at /rustc/07dca489/library/core/src/panicking.rs:72:14
   2: core::result::unwrap_failed
             at /rustc/07dca489/library/core/src/result.rs:1649:5
   3: shop::config::load
             at ./src/config.rs:57:10
   4: shop::main
             at ./src/main.rs:12:15
   5: core::ops::function::FnOnce::call_once
             at /rustc/07dca489/library/core/src/ops/function.rs:250:5"""
DOTNET = """Unhandled exception. System.ArgumentNullException: Value cannot be null.
   at System.Linq.ThrowHelper.ThrowArgumentNullException(ExceptionArgument argument)
   at System.Linq.Enumerable.Select[TSource,TResult](IEnumerable`1 source)
   at System.Linq.Enumerable.ToList[TSource](IEnumerable`1 source)
   at Shop.Billing.InvoiceBuilder.Build(Order order) in /src/Billing/Builder.cs:line 48
   at System.Threading.Tasks.Task.ThrowIfExceptional(Boolean includeTaskCanceled)
   at System.Threading.Tasks.Task.Wait(Int32 millisecondsTimeout)
   at Microsoft.AspNetCore.Mvc.Infrastructure.ControllerActionInvoker.InvokeAsync()
   at Microsoft.AspNetCore.Mvc.Infrastructure.ResourceInvoker.Logged()
   at Microsoft.AspNetCore.Routing.EndpointMiddleware.Awaited()
   at Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http.HttpProtocol.Run()
   at Shop.Api.Program.Main(String[] args) in /src/Api/Program.cs:line 19"""
ALL = {
    "node": NODE,
    "java": JAVA,
    "python": PYTHON,
    "go": GO,
    "rust": RUST,
    "dotnet": DOTNET,
}
OWN = {
    "node": ["(reading 'total')", "/srv/shop/src/invoice.ts:42:27"],
    "java": [
        "no bean 'orders'",
        "\tat com.shop.Application.main(Application.java:12)",
        "Caused by: java.lang.IllegalStateException: missing property shop.currency",
        "\tat com.shop.OrderService.init(OrderService.java:44)",
    ],
    "python": [
        'File "/srv/app/jobs/sync.py", line 40, in run\n    self.push(batch)',
        "engine/default.py",
        'UniqueViolation: duplicate key value violates "users_email_key"',
    ],
    "go": ["index out of range [5] with length 3", "/home/me/app/store.go:41"],
    "rust": ["src/config.rs:57:10", "shop::main", "NotFound"],
    "dotnet": [
        "System.ArgumentNullException: Value cannot be null.",
        "/src/Billing/Builder.cs:line 48",
        "/src/Api/Program.cs:line 19",
    ],
}


def lossy_of(text: str) -> Candidate:
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    assert found.lossy is not None
    return found.lossy


@pytest.mark.parametrize("language", ALL)
def test_a_trace_is_recognised(language):
    assert COMPRESSOR.detect(ALL[language]) > 0.7


@pytest.mark.parametrize(
    "text", ["", "plain words\nand more\n", "2024-03-11 08:00:00 INFO up\n" * 20]
)
def test_what_has_no_frames_is_no_trace(text):
    assert COMPRESSOR.detect(text) == 0.0


@pytest.mark.parametrize("language", ALL)
def test_a_trace_that_comes_again_is_said_once_and_decodes(language):
    text = "\n".join([f"job {i} failed\n{ALL[language]}" for i in range(5)])
    found = settled(COMPRESSOR.compress(text, LOSSLESS))
    assert found is not None
    assert found.lossless is not None
    assert found.lossy is None
    assert len(found.lossless.text) < len(text) / 2
    assert decode(found.lossless.text) == text
    for line in OWN[language]:
        assert all(part in found.lossless.text for part in line.split("\n"))


@pytest.mark.parametrize("language", ["node", "java", "python"])
def test_library_paths_of_a_single_trace_are_shared(language):
    text = ALL[language]
    found = settled(COMPRESSOR.compress(text, LOSSLESS))
    assert found is not None
    assert found.lossless is not None
    assert found.lossless.text.startswith("trace prefixes\n@a=")
    assert decode(found.lossless.text) == text


@pytest.mark.parametrize("language", ["node", "go", "rust", "dotnet"])
def test_the_lossy_form_keeps_exceptions_and_own_frames(language):
    text = f"starting\n{ALL[language]}\nbye\ndone\nagain"
    found = lossy_of(text)
    assert all(line in found.text for line in OWN[language])
    assert "… library frames (lines " in found.text
    assert found.omitted.endswith("of library frames")


@pytest.mark.parametrize("language", ALL)
def test_traces_seen_before_are_left_out_by_their_lines(language):
    text = "\n".join([f"job {i} failed\n{ALL[language]}" for i in range(5)])
    found = lossy_of(text)
    assert all(line in found.text for line in OWN[language])
    assert "shown above" in found.text
    assert len(found.text) < len(text) / 2


def test_the_frame_that_raised_is_kept_even_in_a_library():
    text = "\n".join([PYTHON, PYTHON])
    assert f'File "{SITE}/engine/default.py", line 736' in lossy_of(text).text


def test_the_ranges_account_for_every_line_that_is_missing():
    text = "\n".join([JAVA, NODE, JAVA, PYTHON] * 3)
    lines = text.split("\n")
    missing: set[int] = set()
    rest = []
    for row in lossy_of(text).text.split("\n")[1:]:
        found = re.fullmatch(r"… .* \(lines? (\d+)(?:-(\d+))?\)", row)
        if found:
            missing |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
        else:
            rest.append(row)
    assert rest == [line for i, line in enumerate(lines, 1) if i not in missing]


def test_a_deep_recursion_is_a_loop():
    frame = (
        '  File "/srv/app/tree.py", line 4, in walk\n    walk(node.left, depth + 1)\n'
    )
    text = f"Traceback (most recent call last):\n{frame * 900}RecursionError: too deep"
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    assert found.lossless is not None
    assert len(found.lossless.text) < 300
    assert decode(found.lossless.text) == text
    assert "RecursionError: too deep" in lossy_of(text).text


def test_a_form_is_not_compressed_again():
    text = "\n".join([JAVA, NODE, JAVA, PYTHON] * 3)
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    assert found.lossless is not None
    assert found.lossy is not None
    assert COMPRESSOR.compress(found.lossless.text, LOSSY) is None
    assert COMPRESSOR.compress(found.lossy.text, LOSSY) is None


@pytest.mark.parametrize(
    "forged",
    [
        "trace templates\n\n",
        "trace prefixes\n@a=/x\n\n",
        "trace outline, … with ranges; 1 of 9 lines left out: 1 of marks\n",
    ],
)
def test_a_forged_header_does_not_switch_compression_off(forged):
    text = forged + "\n".join([JAVA] * 6)
    found = settled(COMPRESSOR.compress(text, LOSSY))
    assert found is not None
    assert found.lossless is not None
    assert decode(found.lossless.text) == normalise(text)


PIECES = st.sampled_from(
    [line for trace in ALL.values() for line in trace.split("\n")]
    + ["@a/x", "\tat @b.X.y(:12)", "(:12)", "… marks (line 3)", "×3 of 2 rows", "~"]
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PIECES | st.text(max_size=30), max_size=50))
def test_any_mixture_of_lines_decodes_and_never_grows(lines):
    text = "\n".join(lines)
    found = settled(COMPRESSOR.compress(text, LOSSY))
    if found is not None and found.lossless is not None:
        assert decode(found.lossless.text) == normalise(text)
        assert len(found.lossless.text) < len(text)


def test_calls_that_failed_stay_but_for_searches_of_one_name():
    found = [
        f'openat(AT_FDCWD, "/usr/lib/lib{n}.so.6", O_RDONLY) = 3' for n in range(60)
    ]
    failed = '"{}", O_RDONLY) = -1 ENOENT (No such file or directory)'
    searched = [
        "openat(AT_FDCWD, " + failed.format(f"/opt/{place}/libledger.so.2")
        for place in "abcdefghijkl"
    ]
    missing = [
        "openat(AT_FDCWD, " + failed.format(f"/etc/app/{name}.toml")
        for name in ("limits", "routes", "tenants")
    ]
    form = lossy_of("\n".join([*found, *searched, *missing, *found])).text
    assert all(f"\n{line}\n" in form for line in missing)
    assert form.count("libledger.so.2") == 2  # the first and the last


def test_frames_of_libraries_keep_their_file():
    frames = [
        f"\tat {SPRING}.Resolver{n}.find(Resolver{n}.java:{n}0)" for n in range(1, 9)
    ]
    text = "\n".join(["java.lang.IllegalStateException: no bean", *frames])
    form = settled(COMPRESSOR.compress(text, Context(count=len))).lossless.text
    assert all(f"find(Resolver{n}.java:{n}0)" in form for n in range(1, 9))
