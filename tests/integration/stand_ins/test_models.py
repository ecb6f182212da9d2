"""The SDKs of Anthropic and OpenAI against their stand-ins, with every script of a bad day."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anthropic
import httpx2
import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.support.stand_in_process import StandIns

CLAUDE, GPT = "claude-haiku-4-5", "gpt-5"


@pytest.fixture
async def claude(stand_ins: StandIns) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = f"{stand_ins.url}/anthropic"
    async with anthropic.AsyncAnthropic(api_key="k", base_url=url, max_retries=0) as client:
        yield client


@pytest.fixture
async def gpt(stand_ins: StandIns) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"{stand_ins.url}/openai/v1"
    async with openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0) as client:
        yield client


async def _ask(
    client: anthropic.AsyncAnthropic, text: str, most: int = 256
) -> anthropic.types.Message:
    return await client.messages.create(
        model=CLAUDE, max_tokens=most, messages=[{"role": "user", "content": text}]
    )


async def _heard(
    client: anthropic.AsyncAnthropic, text: str, pieces: list[str]
) -> anthropic.types.Message:
    async with client.messages.stream(
        model=CLAUDE, max_tokens=256, messages=[{"role": "user", "content": text}]
    ) as stream:
        async for piece in stream.text_stream:
            pieces += [piece]  # kept when the stream breaks
        return await stream.get_final_message()


async def _read(stream: openai.AsyncStream[ChatCompletionChunk], said: list[str]) -> None:
    async for chunk in stream:
        said += [chunk.choices[0].delta.content or ""]  # kept when the stream breaks


async def test_claude_answers_with_its_usage(claude: anthropic.AsyncAnthropic) -> None:
    message = await _ask(claude, "Hello there")
    assert [block.text for block in message.content if block.type == "text"] == [
        "heard: Hello there"
    ]
    assert (message.stop_reason, message.usage.input_tokens) == ("end_turn", 3)
    assert message.usage.output_tokens == 5


async def test_claude_stops_at_the_most_tokens(claude: anthropic.AsyncAnthropic) -> None:
    message = await _ask(claude, "Hello there", most=2)
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 2)


async def test_claude_thinks_before_its_text(claude: anthropic.AsyncAnthropic) -> None:
    message = await _ask(claude, "[[think]] Hello")
    assert [block.type for block in message.content] == ["thinking", "text"]
    pieces: list[str] = []
    streamed = await _heard(claude, "[[think]] Hello", pieces)
    assert [block.type for block in streamed.content] == ["thinking", "text"]
    assert "".join(pieces) == "heard: Hello"


async def test_claude_streams_pieces_between_pings(
    claude: anthropic.AsyncAnthropic, stand_ins: StandIns
) -> None:
    pieces: list[str] = []
    message = await _heard(claude, "[[slow]] Hello there friend", pieces)
    assert pieces == ["heard:", " Hello", " there", " friend"]
    assert message.stop_reason == "end_turn"
    body = {"model": CLAUDE, "max_tokens": 9, "stream": True}
    asked = body | {"messages": [{"role": "user", "content": "[[slow]] Hello"}]}
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}
    async with httpx2.AsyncClient() as http:
        raw = await http.post(f"{stand_ins.url}/anthropic/v1/messages", json=asked, headers=headers)
    assert raw.text.count("event: ping") == 2
    assert raw.text.rstrip().splitlines()[-2] == "event: message_stop"


async def test_claude_breaks_off_in_the_middle_with_an_error(
    claude: anthropic.AsyncAnthropic,
) -> None:
    pieces: list[str] = []
    with pytest.raises(anthropic.APIStatusError) as caught:
        await _heard(claude, "[[fail-mid]] one two three", pieces)
    assert pieces == ["heard:", " one"]
    assert caught.value.type == "overloaded_error"


async def test_claude_cuts_the_line(claude: anthropic.AsyncAnthropic) -> None:
    pieces: list[str] = []
    with pytest.raises((httpx2.RemoteProtocolError, anthropic.APIConnectionError)):
        await _heard(claude, "[[disconnect]] one two three", pieces)
    assert pieces == ["heard:", " one"]


@pytest.mark.parametrize(("marker", "status"), [("fail", 500), ("overloaded", 529), ("limit", 429)])
async def test_claude_refuses_as_the_prompt_wants(
    claude: anthropic.AsyncAnthropic, marker: str, status: int
) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        await _ask(claude, f"[[{marker}]] Hello")
    assert caught.value.status_code == status
    assert ("retry-after" in caught.value.response.headers) == (status == 429)


async def test_claude_does_not_answer_in_time(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.APITimeoutError):
        await _ask(claude.with_options(timeout=0.3), "[[timeout]] Hello")


async def test_gpt_answers_with_its_usage(gpt: openai.AsyncOpenAI) -> None:
    made = await gpt.chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": "Hello there"}]
    )
    assert made.choices[0].message.content == "heard: Hello there"
    assert made.choices[0].finish_reason == "stop"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (3, 5)


@pytest.mark.parametrize("wants_usage", [True, False])
async def test_gpt_streams_and_counts_only_when_asked(
    gpt: openai.AsyncOpenAI, wants_usage: bool
) -> None:
    stream = await gpt.chat.completions.create(
        model=GPT,
        messages=[{"role": "user", "content": "Hello there"}],
        stream=True,
        stream_options={"include_usage": wants_usage},
    )
    chunks = [chunk async for chunk in stream]
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices]
    assert "".join(piece for piece in said if piece) == "heard: Hello there"
    counted = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    assert counted == ([8] if wants_usage else [])
    assert (chunks[-1].choices == []) == wants_usage


async def test_a_raw_stream_of_gpt_ends_with_done(stand_ins: StandIns) -> None:
    asked = {"model": GPT, "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}) as http:
        raw = await http.post(f"{stand_ins.url}/openai/v1/chat/completions", json=asked)
    assert raw.headers["content-type"].startswith("text/event-stream")
    assert raw.text.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("marker", "kind"),
    [
        ("limit", openai.RateLimitError),
        ("fail", openai.InternalServerError),
        ("overloaded", openai.InternalServerError),
    ],
)
async def test_gpt_refuses_as_the_prompt_wants(
    gpt: openai.AsyncOpenAI, marker: str, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind):
        await gpt.chat.completions.create(
            model=GPT, messages=[{"role": "user", "content": f"[[{marker}]]"}]
        )


@pytest.mark.parametrize(
    ("marker", "kinds"),
    [
        ("fail-mid", (openai.APIError,)),
        ("disconnect", (httpx2.RemoteProtocolError, openai.APIConnectionError)),
    ],
)
async def test_a_stream_of_gpt_breaks_after_two_pieces(
    gpt: openai.AsyncOpenAI, marker: str, kinds: tuple[type[Exception], ...]
) -> None:
    stream = await gpt.chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": f"[[{marker}]] one two"}], stream=True
    )
    said: list[str] = []
    with pytest.raises(kinds):
        await _read(stream, said)
    assert [piece for piece in said if piece] == ["heard:", " one"]


async def test_sound_becomes_text_and_text_becomes_sound(gpt: openai.AsyncOpenAI) -> None:
    heard = await gpt.audio.transcriptions.create(
        model="whisper-1", file=("speech.mp3", b"12345", "audio/mpeg")
    )
    assert heard.text == "transcript of 5 bytes"
    spoken = await gpt.audio.speech.create(model="tts-1", voice="alloy", input="Hello")
    other = await gpt.audio.speech.create(model="tts-1", voice="echo", input="Hello")
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    assert await spoken.aread() != await other.aread()


async def test_pictures_are_made_unless_the_prompt_is_rejected(gpt: openai.AsyncOpenAI) -> None:
    made = await gpt.images.generate(model="gpt-image-1", prompt="A cat", n=2)
    assert made.data is not None
    assert [str(one.b64_json).startswith("iVBORw0KGgo") for one in made.data] == [True, True]
    with pytest.raises(openai.BadRequestError) as caught:
        await gpt.images.generate(model="gpt-image-1", prompt="[[reject]] A cat")
    assert caught.value.code == "moderation_blocked"


async def test_moderation_flags_what_is_marked(gpt: openai.AsyncOpenAI) -> None:
    judged = await gpt.moderations.create(input=["fine", "[[reject]] not fine"])
    assert [one.flagged for one in judged.results] == [False, True]
