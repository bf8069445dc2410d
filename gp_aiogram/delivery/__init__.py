"""Moves deliveries from the outbox to the destinations."""
