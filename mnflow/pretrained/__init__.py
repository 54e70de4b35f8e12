"""The model that ships with the package, and which model answers when none is named."""
