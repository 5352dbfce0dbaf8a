"""OpenAI's chat completions over a stream, pictures or a file."""
