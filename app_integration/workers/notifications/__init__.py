"""Stores what users are told, whether they have read it, and pushes it to those who are there."""
