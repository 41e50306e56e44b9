"""The few types that everything else shares."""
