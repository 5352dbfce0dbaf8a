"""The synthetic world: streams of moving shapes with questions whose answers are exact."""
