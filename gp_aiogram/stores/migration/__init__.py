"""Moves what a SQLite store holds into a store that many processes share."""
