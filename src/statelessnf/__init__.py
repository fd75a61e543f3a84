"""StatelessNF: network functions whose instances keep no state."""
