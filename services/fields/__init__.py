"""Field encryption for publishers, and for whoever reads what they published.

A field goes onto the bus as a token under the keys of its record; when a term is over its key is destroyed,
and every copy of the log, in any backup, has lost the field. `encrypting.FieldEncryption` writes,
`revealing.Revealing` reads; `tokens` is the form on the wire.
"""
