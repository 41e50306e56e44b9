"""Re-measures the claim of each paper."""
