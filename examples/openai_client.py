"""OpenAI's own client asks a live stream: python examples/openai_client.py URL STREAM QUESTION.

URL is that of `hermes serve`, such as http://127.0.0.1:8000; a key is needed where the service asks for one.
"""

import os
import sys

from openai import OpenAI


def main(url: str, stream: str, question: str) -> None:
    """Ask, and print the answer as it comes."""
    client = OpenAI(base_url=f"{url}/v1", api_key=os.environ.get("HERMES_KEY", "none needed"))
    parts = [
        {"type": "video_url", "video_url": {"url": f"stream://{stream}"}},
        {"type": "text", "text": question},
    ]
    model = client.models.list().data[0].id
    messages = [{"role": "user", "content": parts}]
    for chunk in client.chat.completions.create(model=model, messages=messages, stream=True):
        print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
    print()


main(*sys.argv[1:4])
