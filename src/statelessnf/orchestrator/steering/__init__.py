"""Who gets which packets: one contract (steering.py), and the switches that fulfil it."""
