"""The model registry: gate, registration, promotion, rollback, verification."""
