"""An example of an agent with a webhook: a mailer."""
