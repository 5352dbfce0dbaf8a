"""Which memory knows what: python examples/compare_policies.py [SEED].

Several policies watch the same generated stream with the same budget, and answer the same questions. The
sessions share a model; a policy is a name. ``hermes compare`` does this with annotated videos of yours, with
intervals and figures.
"""

import sys

from hermes_stream import Session, load_model
from hermes_stream.synthetic.recording import recorded_world

POLICIES = ("hermes", "hermes_paper", "window", "random")
BUDGET_TOKENS = 138

model = load_model("tiny")
seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
with recorded_world(seed, duration_seconds=60, num_questions=20) as recording:
    for policy in POLICIES:
        session = Session(model, policy, budget_tokens=BUDGET_TOKENS)
        graded = list(recording.play(session))
        right = sum(one.is_right for one in graded)
        recalled = [one.is_right for one in graded if not one.question.kind.startswith("now")]
        print(
            f"{policy:12} {right:2} of {len(graded)} right, of the past {sum(recalled)} of {len(recalled)}, "
            f"{session.stats.cache_bytes:,} bytes"
        )
