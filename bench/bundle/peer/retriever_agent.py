"""The retriever as a guide to this kind of system writes it: everything is made while the module is imported."""

import json
import os
from typing import Any

import boto3
from qdrant_client import QdrantClient
from sentence_transformers import SentenceTransformer

MODEL = SentenceTransformer(os.environ["MODEL_NAME"], device="cpu")
QDRANT = QdrantClient(url=os.environ["QDRANT_URL"], check_compatibility=False)
COLLECTION = os.environ.get("QDRANT_COLLECTION", "documents")
EVENTS = boto3.client("events")


def lambda_handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Search for what the query is near to, and publish what was found."""
    vector = MODEL.encode(event["query_text"]).tolist()
    found = QDRANT.query_points(collection_name=COLLECTION, query=vector, limit=5, with_payload=True).points
    docs = [{"doc_id": each.id, "score": each.score, "content": (each.payload or {}).get("text", "")} for each in found]
    detail = {"plan_id": event["plan_id"], "docs": docs, "metadata": event.get("metadata", {})}
    EVENTS.put_events(
        Entries=[
            {
                "Source": "retriever.agent",
                "DetailType": "DocsRetrieved",
                "Detail": json.dumps(detail),
                "EventBusName": os.environ["EVENT_BUS_NAME"],
            }
        ]
    )
    return {"statusCode": 200}
