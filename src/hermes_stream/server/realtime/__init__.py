"""OpenAI's Realtime events over a stream: pictures in, answers out, on one WebSocket."""
