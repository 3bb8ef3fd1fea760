"""The Anthropic SDK for Python: what its user gets from BASE, as one JSON object on standard output.

The gateway's own event is handed on as one more of the type `ping`, which is no state of a message.
"""

import asyncio
import json
import os

import anthropic

BASE, KEY = os.environ["BASE"] + "/anthropic", os.environ["KEY"]
CLIENT = anthropic.Anthropic(base_url=BASE, auth_token=KEY, api_key=None, max_retries=0)
TOOLS = [{"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]


def asking(kind, **more):
    return {"model": "a-model", "max_tokens": 64, "messages": [{"role": "user", "content": kind}], **more}


def events(kind):
    stream = CLIENT.messages.create(**asking(kind, stream=True))
    return [event.model_dump() for event in stream if event.type != "ping"]


def text_stream(kind):
    with CLIENT.messages.stream(**asking(kind)) as stream:
        return {"pieces": list(stream.text_stream), "final": stream.get_final_message().model_dump()}


def helper_events(kind):
    with CLIENT.messages.stream(**asking(kind, tools=TOOLS)) as stream:
        kinds = [event.type for event in stream if event.type != "ping"]
        return {"events": kinds, "final": stream.get_final_message().model_dump()}


def left_early():
    with CLIENT.messages.stream(**asking("text")) as stream:
        return next(iter(stream.text_stream))


async def asynchronous():
    async with anthropic.AsyncAnthropic(base_url=BASE, auth_token=KEY, api_key=None, max_retries=0) as client:
        async with client.messages.stream(**asking("text")) as stream:
            return [piece async for piece in stream.text_stream]


SCENARIOS = {
    "message": lambda: CLIENT.messages.create(**asking("text")).model_dump(),
    "message with a tool": lambda: CLIENT.messages.create(**asking("tool", tools=TOOLS)).model_dump(),
    "stream": lambda: events("text"),
    "stream with a tool": lambda: events("tool"),
    "helper": lambda: text_stream("text"),
    "helper with a tool": lambda: helper_events("tool"),
    "stream, left early": left_early,
    "stream, asynchronous": lambda: asyncio.run(asynchronous()),
    "stream with an error in it": lambda: events("breaks"),
    "helper with an error in it": lambda: text_stream("breaks"),
    "wrong": lambda: CLIENT.messages.create(**asking("wrong")),
    "limited": lambda: CLIENT.messages.create(**asking("limited")),
    "broken": lambda: CLIENT.messages.create(**asking("broken", stream=True)),
}


def result(scenario):
    try:
        return scenario()
    except anthropic.APIError as error:
        return {"error": type(error).__name__, "message": error.message, "status": getattr(error, "status_code", None)}


print(json.dumps({name: result(scenario) for name, scenario in SCENARIOS.items()}))
