"""AWS services other than the table: clients, keys, sealed credentials, queues, the quarantine bucket."""
