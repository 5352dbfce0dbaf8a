"""An example of a package that joins hermes-stream: a policy, a model family and a command."""
