"""The stacks: what must be kept (state) apart from what can be thrown away and made again (service)."""
