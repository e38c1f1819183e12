from headroom.cachelab.script import Script, stop_reason, turn_of

ONE, TWO = "0123456789abcdef01234567", "fedcba987654321001234567"
TOOL = {
    "name": "headroom_retrieve",
    "input_schema": {"type": "object", "required": ["hash"]},
}


def text(words):
    return {"type": "text", "text": words}


def result(content, name="a"):
    block = {"type": "tool_result", "tool_use_id": name, "content": content}
    return {"role": "user", "content": [block]}


def model(*blocks):
    return {"role": "assistant", "content": list(blocks)}


def request(*messages, tools=(TOOL,)):
    first = {"role": "user", "content": "Go."}
    return {"messages": [first, *messages], "tools": list(tools)}


def call(name="Bash"):
    return {"type": "tool_use", "id": "a", "name": name, "input": {}}


def script(**options):
    made = Script(**options)
    made.register("c", [[text("first")], [text("second")]])
    return made


def test_the_answer_goes_by_the_number_of_answers_in_the_request():
    made = script()
    assert made.answer("c", request()) == [text("first")]
    later = request(model(call()), result("x"))
    assert made.answer("c", later) == [text("second")]
    assert made.answer("c", request()) == [text("first")]


def test_a_conversation_nobody_registered_gets_a_short_text():
    (block,) = script().answer("unknown", request())
    assert block["type"] == "text"
    assert stop_reason([block]) == "end_turn"


def test_every_nth_lossy_block_is_asked_back_once():
    made = script(retrieve_every=2)
    shown = f"rows <<ccr:{ONE}>> more <<ccr:{TWO}>>"
    asked = request(model(call()), result([text(shown)]))
    (block,) = made.answer("c", asked)
    assert block["name"] == "headroom_retrieve"
    assert block["input"] == {"hash": TWO}
    assert stop_reason([block]) == "tool_use"
    assert made.answer("c", asked) == [text("second")]


def test_after_a_retrieval_the_model_goes_on_with_its_answer():
    made = script(retrieve_every=1)
    asked = request(model(call()), result(f"<<ccr:{ONE}>>"))
    (block,) = made.answer("c", asked)
    continued = request(
        *asked["messages"][1:], model(block), result("the original", block["id"])
    )
    assert turn_of(continued) == 1
    assert made.answer("c", continued) == [text("second")]


def test_nothing_is_asked_back_without_the_tool_or_the_wish():
    shown = (model(call()), result(f"<<ccr:{ONE}>>"))
    without = request(*shown, tools=())
    assert script(retrieve_every=1).answer("c", without) == [text("second")]
    assert script().answer("c", request(*shown)) == [text("second")]


def test_the_argument_is_named_as_the_tool_names_it():
    tool = {"name": "headroom_retrieve", "input_schema": {"required": ["key"]}}
    asked = request(model(call()), result(f"<<ccr:{ONE}>>"), tools=[tool])
    (block,) = script(retrieve_every=1).answer("c", asked)
    assert block["input"] == {"key": ONE}


def test_a_thinking_model_thinks_before_each_answer():
    blocks = script(thinks=True).answer("c", request())
    assert [b["type"] for b in blocks] == ["thinking", "text"]
