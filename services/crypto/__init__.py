"""Keys and what they do: envelopes, signatures, encrypted fields and crypto-shredding."""
