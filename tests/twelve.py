"""The paper's languages; whoever adds one (docs/languages.md) has more."""

TWELVE = frozenset({"en", "de", "fr", "it", "es", "pt", "pl", "cs", "sk", "sl", "lt", "lv"})
