"""Who writes stories and judges texts: the reference, Anthropic or OpenAI."""
