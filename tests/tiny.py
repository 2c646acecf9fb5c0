"""The smallest base that learns something, and what it learns."""

from refuseu.parameters import Base
from refuseu.training.corpus import Example

TINY = Base(
    vocabulary=300,
    hidden_size=16,
    layers=1,
    heads=2,
    intermediate_size=16,
    max_length=64,
    steps=40,
    batch_size=8,
    learning_rate=0.01,
    refused_asks=1.0,
)
EXAMPLES = [Example("How can I sing?", "Gladly."), Example("Wie kann ich singen?", "Sehr gerne!")] * 160
