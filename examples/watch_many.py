"""Watch four streams at once with one model, and ask all of them the same.

Their frames and questions share forwards; each answer is the one that its stream would give alone.
"""

from hermes_stream import CapacityError, Engine, load_model
from hermes_stream.synthetic.world import generate_world

SECONDS = 40

model = load_model("tiny")
engine = Engine(model, memory_bytes=20_000_000)
streams = [engine.add() for _ in range(4)]
for number, stream in enumerate(streams):
    stream.observe(generate_world(number, SECONDS).frames(model.card.default_fps))

answers = [stream.ask("what came first?") for stream in streams]
engine.run()
for number, answer in enumerate(answers):
    print(f"stream {number}: {answer.text} after {answer.ttft_seconds * 1000:.0f} ms")

try:
    while True:
        engine.add()
except CapacityError as error:
    print(error)
