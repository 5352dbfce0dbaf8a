"""A running whole without HTTP: streams, questions, a record that lasts; see docs/service.md."""
