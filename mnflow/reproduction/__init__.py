"""The paper's claims compared with our runs: evidence from the tracking store, claims, the document."""
