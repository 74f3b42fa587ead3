"""Taking documents: what a user sends becomes a request of the workflow that reads it."""

from collections.abc import Iterator
from typing import Annotated

import msgspec

from functions.api.http import HttpResponse
from functions.api.messages import accept
from functions.api.problems import Wrong, not_found, wrong
from functions.api.routing import Call
from functions.api.target import Target
from functions.events.ingest import MAX_DOCUMENTS, DocumentName, DocumentsReceived, SentDocument, TextFormat
from functions.ports.documents import Ingest
from functions.runtime.workflow import Plan


class NewDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document. The same name again takes the place of the one before."""

    name: DocumentName
    text: str
    format: TextFormat = "text"


class NewDocuments(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a user sends, no name twice."""

    documents: Annotated[tuple[NewDocument, ...], msgspec.Meta(min_length=1, max_length=MAX_DOCUMENTS)]


def post_documents(target: Target, call: Call) -> HttpResponse:
    """Take documents, durably."""
    collection = call.path["collection"]
    plan = next((plan for plan in target.plans.values() if collection in filled_by_users(plan)), None)
    if plan is None:
        raise not_found()
    sent: NewDocuments = call.body
    if repeated := list(_repeated(sent)):
        raise wrong(422, "the body", repeated)
    event = DocumentsReceived(
        documents=tuple(SentDocument(name=each.name, text=each.text, format=each.format) for each in sent.documents)
    )
    return accept(target, call, plan, event, conversation_of(collection))


def conversation_of(collection: str) -> str:
    """The conversation of everything that is sent into a collection: so it is read one after the other."""
    return f"collection:{collection}"


def filled_by_users(plan: Plan) -> set[str]:
    """The collections that documents can be sent to: their workflow begins with them, and an agent may read them in."""
    if plan.workflow.entry is not DocumentsReceived:
        return set()
    return {grant.resource for node in plan.nodes.values() for grant in node.spec.grants if grant.capability is Ingest}


def _repeated(sent: NewDocuments) -> Iterator[Wrong]:
    seen = set()
    for number, document in enumerate(sent.documents):
        if document.name in seen:
            yield Wrong(pointer=f"/documents/{number}/name", detail="stands there twice: one document of a name")
        seen.add(document.name)
