"""`snf demo`: three stories about one firewall under its orchestrator, for whoever watches."""
