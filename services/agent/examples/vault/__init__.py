"""An example of an agent with the vault adapter, for encrypted fields in Kafka."""
