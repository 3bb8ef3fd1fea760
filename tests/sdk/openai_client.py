"""The OpenAI SDK for Python: what its user gets from BASE, as one JSON object on standard output."""

import asyncio
import json
import os

import openai

BASE, KEY = os.environ["BASE"] + "/openai", os.environ["KEY"]
CLIENT = openai.OpenAI(base_url=BASE, api_key=KEY, max_retries=0)
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CHAT_TOOLS = [{"type": "function", "function": WEATHER}]


def asking(kind, **more):
    return {"model": "a-model", "messages": [{"role": "user", "content": kind}], **more}


def chunks(stream):
    return [chunk.model_dump() for chunk in stream]


def helper(kind, **more):
    with CLIENT.chat.completions.stream(**asking(kind, **more)) as stream:
        kinds = [event.type for event in stream]
        return {"events": kinds, "final": stream.get_final_completion().model_dump()}


def responses_helper(kind):
    with CLIENT.responses.stream(model="a-model", input=kind) as stream:
        kinds = [event.type for event in stream if event.type != "keepalive"]
        return {"events": kinds, "final": stream.get_final_response().model_dump()}


def response_events(kind):
    stream = CLIENT.responses.create(model="a-model", input=kind, stream=True)
    return [event.model_dump() for event in stream if event.type != "keepalive"]


def left_early():
    stream = CLIENT.chat.completions.create(**asking("text", stream=True))
    first = next(iter(stream)).model_dump()
    stream.close()
    return first


async def asynchronous():
    async with openai.AsyncOpenAI(base_url=BASE, api_key=KEY, max_retries=0) as client:
        stream = await client.chat.completions.create(**asking("text", stream=True))
        return [chunk.choices[0].delta.content async for chunk in stream]


SCENARIOS = {
    "chat": lambda: CLIENT.chat.completions.create(**asking("text")).model_dump(),
    "chat with a tool": lambda: CLIENT.chat.completions.create(**asking("tool", tools=CHAT_TOOLS)).model_dump(),
    "chat stream": lambda: chunks(CLIENT.chat.completions.create(**asking("text", stream=True))),
    "every chunk has a choice": lambda: [
        chunk.choices[0].delta.content for chunk in CLIENT.chat.completions.create(**asking("text", stream=True))
    ],
    "chat stream with usage": lambda: chunks(
        CLIENT.chat.completions.create(**asking("text", stream=True, stream_options={"include_usage": True}))
    ),
    "chat stream with a tool": lambda: chunks(CLIENT.chat.completions.create(**asking("tool", stream=True))),
    "chat helper": lambda: helper("text", stream_options={"include_usage": True}),
    "chat helper with a tool": lambda: helper("tool", tools=CHAT_TOOLS),
    "chat stream, left early": left_early,
    "chat stream, asynchronous": lambda: asyncio.run(asynchronous()),
    "chat stream with an error in it": lambda: chunks(CLIENT.chat.completions.create(**asking("breaks", stream=True))),
    "chat, raw": lambda: CLIENT.chat.completions.with_raw_response.create(**asking("text")).status_code,
    "responses": lambda: CLIENT.responses.create(model="a-model", input="text").model_dump(),
    "responses with a tool": lambda: CLIENT.responses.create(model="a-model", input="tool").model_dump(),
    "responses stream": lambda: response_events("text"),
    "responses stream with a tool": lambda: response_events("tool"),
    "responses helper": lambda: responses_helper("text"),
    "embeddings": lambda: CLIENT.embeddings.create(model="a-model", input="text").model_dump(),
    "completions": lambda: CLIENT.completions.create(model="a-model", prompt="text").model_dump(),
    "completions stream": lambda: chunks(CLIENT.completions.create(model="a-model", prompt="text", stream=True)),
    "wrong": lambda: CLIENT.chat.completions.create(**asking("wrong")),
    "limited": lambda: CLIENT.chat.completions.create(**asking("limited")),
    "broken": lambda: CLIENT.chat.completions.create(**asking("broken", stream=True)),
}


def result(scenario):
    try:
        return scenario()
    except openai.APIError as error:
        return {
            "error": type(error).__name__,
            "message": error.message,
            "status": getattr(error, "status_code", None),
            "code": error.code,
            "body": error.body,
        }


print(json.dumps({name: result(scenario) for name, scenario in SCENARIOS.items()}))
