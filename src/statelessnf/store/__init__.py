"""The store from the control plane: addresses, the embedded server, checks at connect, a simulated store for tests."""
