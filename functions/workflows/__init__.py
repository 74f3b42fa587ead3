"""The workflows: which agents, which entry, which answer."""
