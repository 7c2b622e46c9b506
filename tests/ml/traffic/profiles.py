"""How fast providers answer: the wait for the first token, and the pace of those after it.

Rounded medians as https://artificialanalysis.ai/models tells them (output speed and latency), from
memory of 2025 and not checked since; ollama's are of an 8 B model on a CPU and on a small GPU. `together` is how many
tokens a piece of the stream has: Gemini and Cohere send several at once, others one.
"""

from __future__ import annotations

import random
from typing import NamedTuple


class Profile(NamedTuple):
    """Seconds to the first token, tokens a second, tokens a piece; `jitter` spreads the pauses."""

    first: float
    rate: float
    together: int = 1
    jitter: float = 0.4

    def wait(self, chance: random.Random) -> float:
        """Return the seconds to the first token of an answer."""
        return min(self.first * chance.lognormvariate(0, 0.4), 12.0)

    def pause(self, chance: random.Random) -> float:
        """Return the seconds between two pieces."""
        mean = self.together / self.rate
        return mean * chance.gammavariate(1 / self.jitter**2, self.jitter**2)


PROFILES = {
    "gpt-4o": Profile(0.5, 110),
    "gpt-4o-mini": Profile(0.4, 65),
    "o4-mini": Profile(4.0, 130),
    "claude-sonnet": Profile(1.1, 62, 2, 0.7),
    "claude-haiku": Profile(0.7, 95, 2, 0.6),
    "gemini-flash": Profile(0.5, 180, 25, 0.5),
    "gemini-pro": Profile(3.0, 120, 25, 0.6),
    "mistral-small": Profile(0.35, 130),
    "llama-groq": Profile(0.25, 270, 2, 0.3),
    "command-a": Profile(0.3, 75, 3),
    "deepseek": Profile(1.8, 28, 1, 0.6),
    "ollama-cpu": Profile(1.5, 9, 1, 0.15),
    "ollama-gpu": Profile(0.3, 55, 1, 0.1),
}
