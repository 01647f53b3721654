"""What a person is told when an input is wrong: where it is wrong, and what to do."""

from __future__ import annotations


class TalusError(Exception):
    """Base of the errors this package raises on purpose; the text is meant for a person."""


class ConfigError(TalusError):
    """One or more mistakes in a TOML or JSON document, each named with its path."""

    def __init__(self, document: str, mistakes: tuple[str, ...]) -> None:
        self.document = document
        self.mistakes = mistakes
        super().__init__("\n".join(f"{document}: {mistake}" for mistake in mistakes))


class BundleError(TalusError):
    """A bundle that must not be armed: damaged, incomplete, or computing something else here."""


class RuntimeMissingError(TalusError):
    """No installed inference runtime can run an artifact."""
