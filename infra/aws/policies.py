"""Policies that resources have themselves: who may reach them from the other side, and how."""

import json
from collections.abc import Mapping, Sequence
from typing import Any


def document(*statements: Mapping[str, Any]) -> str:
    """A policy of these statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def without_tls(action: str, *resources: str) -> dict[str, Any]:
    """Nobody gets in without TLS."""
    return {
        "Sid": "OnlyByTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": list(resources),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


def service(sid: str, name: str, actions: Sequence[str], resource: str, condition: Mapping[str, Any]) -> dict[str, Any]:
    """A service of AWS gets in under a condition."""
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": {"Service": name},
        "Action": list(actions),
        "Resource": resource,
        "Condition": condition,
    }


def trust(principal: str, account: str = "") -> str:
    """Who may take a role: a service; only on behalf of an account, where it says on whose behalf it comes."""
    condition = {"Condition": {"StringEquals": {"aws:SourceAccount": account}}} if account else {}
    return document({"Effect": "Allow", "Principal": {"Service": principal}, "Action": "sts:AssumeRole", **condition})


LAMBDA = "lambda.amazonaws.com"
EVENTS = "events.amazonaws.com"
S3 = "s3.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"
