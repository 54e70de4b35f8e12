"""The paper's claims beside what our own runs say: evidence from the tracking store, claims, the written
table.
"""
