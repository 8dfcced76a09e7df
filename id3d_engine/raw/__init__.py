"""`--topology dmtet`: the sculpted surface itself as the head, with keys and maps of the wrapped template."""
