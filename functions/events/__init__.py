"""The event contracts: one file a workflow, and what they share."""
