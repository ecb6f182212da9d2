"""Who makes images, looks at them and judges texts: the reference, or OpenAI."""
