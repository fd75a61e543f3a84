"""Whole topologies on one machine, in network namespaces: clients, switch, instances, servers.

Needs root. A lab leaves nothing behind: not after an exception, not after Ctrl-C or SIGTERM, and what a lab
killed outright left is removed when the next one starts.
"""
