"""What each function of the emulated stack is given, by name, and why nothing here needs some of it.

Written out and not derived: a statement that is gone from the program is missing here, and a new one asks for a line.
"""

from collections.abc import Mapping
from typing import Final

import msgspec


class Unneeded(msgspec.Struct, frozen=True, kw_only=True):
    """Actions of one statement that no call here needs, of each of these functions.

    Attributes:
        by_chance: Whether some call needs them depends on what comes first.
    """

    functions: str
    sid: str
    actions: str
    because: str
    by_chance: bool = False

    def covers(self, function: str, sid: str) -> bool:
        """Whether it is about this statement."""
        return function in self.functions.split() and sid == self.sid


#: By function, its statements.
GIVEN: Final[Mapping[str, str]] = {
    "orchestrator": "Receive Emit OwnItems Requests LargeData OlderPlans Log Recall Say",
    "response_builder": "Receive Emit OwnItems Requests LargeData OlderPlans Log Say Originals",
    "caller": "Receive Emit OwnItems Requests LargeData OlderPlans Log Effects",
    "researcher": "Receive Emit CloseLater OwnItems Requests LargeData OlderPlans Log",
    "searcher": "Receive Emit OwnItems Requests LargeData OlderPlans Log VersionsDocuments Carries VersionsMemories",
    "collector": "Receive Emit CloseLater OwnItems Joins Requests LargeData OlderPlans Log PutOff",
    "citation": "Receive Emit OwnItems Requests LargeData OlderPlans Log",
    "synthesizer": "Receive Emit OwnItems Requests LargeData OlderPlans Log",
    "editor": (
        "Receive Emit OwnItems Joins Requests LargeData OlderPlans Log "
        "VersionsDocuments Carries VersionsMemories Say PutOff"
    ),
    "summarizer": "Receive Emit OwnItems Requests LargeData OlderPlans Log",
    "planner": "Receive Emit CloseLater OwnItems Requests LargeData OlderPlans Log",
    "retriever": "Receive Emit OwnItems Requests LargeData OlderPlans Log VersionsDocuments Carries VersionsMemories",
    "validator": (
        "Receive Emit OwnItems Joins Requests LargeData OlderPlans Log "
        "VersionsDocuments Carries VersionsMemories PutOff"
    ),
    "action": (
        "Receive Emit OwnItems Requests LargeData OlderPlans Log VersionsMemories Carries DropTexts Holds ListTexts"
    ),
    "intake": "Receive Emit OwnItems Requests LargeData OlderPlans Log Recall Say",
    "ingester": (
        "Receive Emit OwnItems Requests LargeData OlderPlans Log VersionsDocuments Carries DropTexts DocumentDocuments"
    ),
    "api": (
        "EmitAnswer EmitResearch EmitIngest Requests Due LargeData Messages Versions Held "
        "HeldBlobs ListBlobs Log AllPlans"
    ),
    "socket": "EmitAnswer EmitResearch EmitIngest Requests Due LargeData Connections Deliveries Post Log",
    "authorizer": "SecretApiKeys Log",
    "desk": "Receive Emit CloseLater Requests Await OlderPlans Park LargeData Log",
    "pusher": "Receive Connections Deliveries Park Requests LargeData Post Log",
    "sweeper": "Nets Emit CloseLater Requests Due OlderPlans Letters Connections Post LargeData Log",
    "keeper": "Versions Requests Due Held HeldBlobs ListBlobs Log AllPlans",
    "uploads": "Receive Documents EmitIngest Requests Due LargeData Park Log",
}

UNNEEDED: Final = (
    Unneeded(
        functions=(
            "orchestrator response_builder caller researcher searcher collector citation synthesizer editor "
            "summarizer planner retriever validator action intake ingester"
        ),
        sid="OwnItems",
        actions="dynamodb:BatchWriteItem",
        because="no request is erased just while an agent is at work on it",
    ),
    Unneeded(
        functions=(
            "orchestrator caller researcher searcher collector citation synthesizer summarizer planner retriever "
            "validator action intake"
        ),
        sid="Requests",
        actions="dynamodb:PutItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="response_builder",
        sid="Originals",
        actions="dynamodb:GetItem dynamodb:BatchGetItem",
        because="this stack keeps personal data where it is",
    ),
    Unneeded(
        functions="caller",
        sid="Effects",
        actions="dynamodb:GetItem dynamodb:PutItem dynamodb:BatchWriteItem",
        because="this stack declares no actions",
    ),
    Unneeded(
        functions="searcher collector editor retriever validator",
        sid="LargeData",
        actions="s3:GetObject",
        because="which data passes 48 KB, which outputs 4 KB, and who meets a blob that is gone, differs",
        by_chance=True,
    ),
    Unneeded(
        functions="citation synthesizer desk",
        sid="LargeData",
        actions="s3:PutObject",
        because="which data passes 48 KB, which outputs 4 KB, and who meets a blob that is gone, differs",
        by_chance=True,
    ),
    Unneeded(
        functions="editor validator",
        sid="Carries",
        actions="dynamodb:GetItem dynamodb:PutItem",
        because="another function of the same bundle has said it before",
        by_chance=True,
    ),
    Unneeded(
        functions="action ingester",
        sid="DropTexts",
        actions="s3:DeleteObject",
        because="no passage here is too long for a payload",
    ),
    Unneeded(
        functions="action",
        sid="Holds",
        actions="dynamodb:Query dynamodb:BatchWriteItem",
        because="this stack declares no actions, so that nothing is remembered of them",
    ),
    Unneeded(
        functions="action",
        sid="ListTexts",
        actions="s3:ListBucket",
        because="no passage here is too long for a payload",
    ),
    Unneeded(
        functions="api",
        sid="Requests",
        actions="dynamodb:UpdateItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="desk sweeper",
        sid="OlderPlans",
        actions="s3:GetObject",
        because="only a redrive of an older request needs it, begun by a person at a command",
    ),
    Unneeded(
        functions="api",
        sid="Versions",
        actions="dynamodb:BatchGetItem dynamodb:Query",
        because="nothing but passages is looked at; a switch of versions is a person's",
        by_chance=True,
    ),
    Unneeded(
        functions="api",
        sid="Held",
        actions="dynamodb:GetItem dynamodb:BatchGetItem",
        because="all of a conversation is queried, and single items are read as of requests",
        by_chance=True,
    ),
    Unneeded(
        functions="socket", sid="EmitIngest", actions="events:PutEvents", because="documents do not come this way"
    ),
    Unneeded(
        functions="socket",
        sid="Requests",
        actions="dynamodb:Query dynamodb:UpdateItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="socket pusher sweeper uploads",
        sid="LargeData",
        actions="s3:GetObject s3:PutObject",
        because="which data passes 48 KB, which outputs 4 KB, and who meets a blob that is gone, differs",
        by_chance=True,
    ),
    Unneeded(
        functions="socket",
        sid="Connections",
        actions="dynamodb:BatchGetItem",
        because="nobody watches what is ended here, and one connection at a time is looked up",
        by_chance=True,
    ),
    Unneeded(
        functions="desk sweeper",
        sid="CloseLater",
        actions="sqs:SendMessage",
        because="only a redrive into a scope needs it, begun by a person at a command",
    ),
    Unneeded(
        functions="desk uploads",
        sid="Requests",
        actions="dynamodb:BatchGetItem dynamodb:Query dynamodb:UpdateItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="desk",
        sid="Await",
        actions="dynamodb:PutItem",
        because="only a redrive needs it, begun by a person at a command",
    ),
    Unneeded(
        functions="pusher",
        sid="Connections",
        actions="dynamodb:BatchGetItem dynamodb:BatchWriteItem",
        because="nobody watches what is ended here, and one connection at a time is looked up",
        by_chance=True,
    ),
    Unneeded(
        functions="pusher",
        sid="Deliveries",
        actions="dynamodb:Query",
        because="a connection's own message has told it before",
        by_chance=True,
    ),
    Unneeded(
        functions="pusher",
        sid="Requests",
        actions="dynamodb:GetItem dynamodb:BatchGetItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="pusher sweeper",
        sid="Post",
        actions="execute-api:ManageConnections",
        because="a connection's own message has told it before; nobody watches what the sweeper ends",
        by_chance=True,
    ),
    Unneeded(
        functions="sweeper",
        sid="Nets",
        actions="sqs:GetQueueAttributes",
        because="Lambda asks it for a mapping, and the sweeper has none",
    ),
    Unneeded(
        functions="sweeper",
        sid="Emit",
        actions="events:PutEvents",
        because="nothing is left unpublished by a crash",
        by_chance=True,
    ),
    Unneeded(
        functions="sweeper",
        sid="Requests",
        actions="dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:UpdateItem",
        because="who begins, settles or retries a request depends on who comes first",
        by_chance=True,
    ),
    Unneeded(
        functions="sweeper",
        sid="Letters",
        actions="dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:UpdateItem dynamodb:BatchWriteItem",
        because="what fell into a net here was never begun, and has no record or outputs",
        by_chance=True,
    ),
    Unneeded(
        functions="sweeper",
        sid="Connections",
        actions="dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:BatchWriteItem",
        because="nobody watches what is ended here, and one connection at a time is looked up",
        by_chance=True,
    ),
    Unneeded(
        functions="keeper",
        sid="Versions",
        actions="dynamodb:UpdateItem",
        because="nothing but passages is looked at; a switch of versions is a person's",
        by_chance=True,
    ),
    Unneeded(
        functions="keeper",
        sid="Requests",
        actions="dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:PutItem dynamodb:UpdateItem",
        because="no erasure is cut off here",
        by_chance=True,
    ),
    Unneeded(
        functions="keeper", sid="Due", actions="dynamodb:Query", because="no erasure is cut off here", by_chance=True
    ),
    Unneeded(
        functions="keeper",
        sid="Held",
        actions="dynamodb:GetItem dynamodb:BatchGetItem dynamodb:Query dynamodb:BatchWriteItem",
        because="no erasure is cut off here",
        by_chance=True,
    ),
    Unneeded(
        functions="keeper",
        sid="HeldBlobs",
        actions="s3:DeleteObject",
        because="no erasure is cut off here, and no long text expires",
        by_chance=True,
    ),
    Unneeded(
        functions="keeper",
        sid="ListBlobs",
        actions="s3:ListBucket",
        because="no erasure is cut off here, and no long text expires",
        by_chance=True,
    ),
    Unneeded(
        functions="collector editor validator",
        sid="PutOff",
        actions="sqs:SendMessage",
        because="no scope here stays open for longer than a message can wait",
    ),
    Unneeded(
        functions="api keeper",
        sid="AllPlans",
        actions="s3:GetObject",
        because="nothing here was begun under a plan that is gone",
        by_chance=True,
    ),
)
