"""Documents that are made from a policy alone, such as the record of processing."""
