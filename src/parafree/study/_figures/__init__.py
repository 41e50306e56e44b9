"""The figures of a study's report: one file per figure, each a function from a table."""
