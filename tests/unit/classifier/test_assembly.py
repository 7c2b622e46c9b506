from busted.classifier.assembly import MAX_CALLS, Answer, error_of


def test_texts_are_bounded_together_and_the_cut_is_told() -> None:
    answer = Answer(max_text_chars=5)
    answer.say("abc")
    assert not answer.truncated
    answer.think("defg")
    answer.argue(0, "x")

    assert (answer.text, answer.reasoning, answer.truncated) == ("abc", "de", True)


def test_tool_calls_are_bounded() -> None:
    answer = Answer()
    for index in range(MAX_CALLS + 1):
        answer.call(index, str(index), "f")
        answer.argue(index, "{}")

    assert len(answer.tool_calls(None, truncated=True)) == MAX_CALLS
    assert answer.truncated


def test_nothing_said_is_none() -> None:
    answer = Answer()
    answer.say("")
    answer.say(None)

    assert (answer.text, answer.reasoning, answer.started) == (None, None, False)


def test_errors_of_all_shapes() -> None:
    assert error_of({"error": {"message": "m", "type": "t"}}) == "t: m"
    assert error_of({"error": {"message": "m", "code": "c"}}) == "c: m"
    assert error_of({"error": "text"}) == "text"
    assert error_of({"object": "error", "message": "m"}) == "m"
    assert error_of({"error": None}) is None
    assert error_of([]) is None
