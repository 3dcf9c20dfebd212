"""Nodes: an executed op, its operands and what came out, as events."""
