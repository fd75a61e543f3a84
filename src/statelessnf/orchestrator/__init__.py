"""One network function of any size: watches instances, decides how many there are, and who gets which packets.

`observe -> plan -> apply`: what is wanted and what is seen are frozen values (model.py), `plan` is a pure function of
them (plan.py), and everything that touches the world is behind two seams: drivers (start and stop instances) and
steering (which instance gets which packets). It keeps its own state in the store (state.py): killed and started again,
it adopts what runs.
"""
