"""Source, routing, fusion and sink: the stream and what feeds it."""
