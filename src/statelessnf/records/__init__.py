"""The operator's view of the state in the store: records, decoded by the function whose they are (§6 of the paper)."""
