"""Measurements of the paper's section 7: programs that print a table and write JSON and a picture."""
