"""Subjects: networks with several firewalls between clients and a server, which the same programs measure."""
