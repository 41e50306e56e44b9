"""Runs searches, records them, shows them."""
