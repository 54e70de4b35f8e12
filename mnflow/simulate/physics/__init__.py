"""From an ion and its surroundings to an edge: atomic numbers, multiplets, line shapes, scattering."""
