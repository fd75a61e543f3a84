"""The orchestrator's REST API (docs/api.md): app and server, metrics, and the client that the commands are."""
