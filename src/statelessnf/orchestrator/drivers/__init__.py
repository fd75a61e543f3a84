"""How instances are started, watched and ended: one contract (driver.py), and who fulfils it."""
