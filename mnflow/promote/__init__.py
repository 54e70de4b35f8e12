"""The model registry: gate, model card, registration, promotion, rollback, verification."""
