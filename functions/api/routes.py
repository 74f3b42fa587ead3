"""The table of what can be called: dispatch and the OpenAPI document are both made from it."""

from typing import Annotated

import msgspec

from functions.api.conversations import MAX_MESSAGES, History, get_messages
from functions.api.documents import NewDocuments, post_documents
from functions.api.events import Streamed, watch_request
from functions.api.health import Health, get_health
from functions.api.messages import Accepted, NewMessage, post_message
from functions.api.passages import get_passage
from functions.api.requests import MAX_WAIT_S, get_request
from functions.api.rights import delete_conversation, get_export
from functions.api.routing import VISIBLE, Answer, Parameter, Route
from functions.api.views import Request
from functions.api.workflows import WorkflowShown, WorkflowsShown, get_workflow, get_workflows
from functions.events.common import Passage
from functions.ports.rights import Export, Holdings

EVENT_STREAM = "text/event-stream"

IDEMPOTENCY_KEY = Parameter(
    name="Idempotency-Key",
    type=Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=VISIBLE)],
    expected="1 to 255 visible ASCII characters",
    description="The same key, within the tenant and the conversation or the collection, is the same request.",
)
ACCEPTED = Answer(status=202, description="It was taken.", type=Accepted, headers=("Location",))

ROUTES: tuple[Route, ...] = (
    Route(
        name="postMessage",
        method="POST",
        path="/conversations/{conversation}/messages",
        handler=post_message,
        summary="Take a message",
        headers=(IDEMPOTENCY_KEY,),
        body=NewMessage,
        answers=(ACCEPTED,),
        problems=(408, 409, 413, 415, 422, 429, 507),
    ),
    Route(
        name="getMessages",
        method="GET",
        path="/conversations/{conversation}/messages",
        handler=get_messages,
        summary="What was said, oldest first",
        query=(
            Parameter(
                name="limit",
                type=Annotated[int, msgspec.Meta(ge=1, le=MAX_MESSAGES)],
                expected=f"a whole number from 1 to {MAX_MESSAGES}",
                description="How many of the last messages.",
            ),
        ),
        answers=(Answer(status=200, description="The last messages.", type=History),),
    ),
    Route(
        name="exportConversation",
        method="GET",
        path="/conversations/{conversation}/export",
        handler=get_export,
        summary="Everything that is held about a conversation",
        answers=(Answer(status=200, description="All of it.", type=Export),),
        problems=(404,),
    ),
    Route(
        name="eraseConversation",
        method="DELETE",
        path="/conversations/{conversation}",
        handler=delete_conversation,
        summary="Erase a conversation",
        answers=(Answer(status=202, description="It is erased; this is how much it was.", type=Holdings),),
        problems=(404, 408, 413),
    ),
    Route(
        name="getRequest",
        method="GET",
        path="/requests/{request}",
        handler=get_request,
        summary="How a request stands",
        query=(
            Parameter(
                name="wait",
                type=Annotated[float, msgspec.Meta(ge=0, le=MAX_WAIT_S)],
                expected=f"a number from 0 to {MAX_WAIT_S}",
                description="Seconds to wait for it to be settled.",
            ),
        ),
        answers=(Answer(status=200, description="As it stands.", type=Request),),
        problems=(404,),
    ),
    Route(
        name="watchRequest",
        method="GET",
        path="/requests/{request}/events",
        handler=watch_request,
        summary="How a request stands, as it happens",
        headers=(
            Parameter(
                name="Last-Event-ID",
                type=Annotated[str, msgspec.Meta(max_length=255)],
                expected="the id of an event of this request",
                description="Where to go on: the id of the last event that was received.",
            ),
        ),
        answers=(
            Answer(status=200, description="Server-sent events.", type=Streamed, media=EVENT_STREAM),
            Answer(status=204, description="Everything was received already."),
        ),
        problems=(404,),
    ),
    Route(
        name="postDocuments",
        method="POST",
        path="/collections/{collection}/documents",
        handler=post_documents,
        summary="Take documents",
        headers=(IDEMPOTENCY_KEY,),
        body=NewDocuments,
        answers=(ACCEPTED,),
        problems=(404, 408, 409, 413, 415, 422, 429, 507),
    ),
    Route(
        name="getPassage",
        method="GET",
        path="/collections/{collection}/passages/{passage}",
        handler=get_passage,
        summary="A passage that a citation names",
        answers=(Answer(status=200, description="The passage.", type=Passage),),
        problems=(404,),
    ),
    Route(
        name="getWorkflows",
        method="GET",
        path="/workflows",
        handler=get_workflows,
        summary="The workflows",
        answers=(Answer(status=200, description="Every workflow.", type=WorkflowsShown),),
    ),
    Route(
        name="getWorkflow",
        method="GET",
        path="/workflows/{workflow}",
        handler=get_workflow,
        summary="Who consumes what from whom",
        answers=(Answer(status=200, description="The workflow.", type=WorkflowShown),),
        problems=(404,),
    ),
    Route(
        name="getHealth",
        method="GET",
        path="/healthz",
        handler=get_health,
        summary="Whether it can take requests",
        answers=(Answer(status=200, description="It can.", type=Health),),
        open=True,
    ),
)
