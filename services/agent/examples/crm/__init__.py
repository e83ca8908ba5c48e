"""An example of an agent beside a CRM, with the SQL adapter."""
